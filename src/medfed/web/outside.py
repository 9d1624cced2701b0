"""Speaking OpenID Connect with the hospital's identity provider, by Authlib."""

from typing import Any, Protocol, cast

from flask import Flask, current_app
from flask.typing import ResponseReturnValue

from medfed.core.errors import AccessError, RunError
from medfed.services.accounts.login import RECENTLY
from medfed.services.accounts.outsiders import Provider, asked_at
from medfed.services.accounts.roles import ROLES
from medfed.services.console import Console
from medfed.services.trouble import Missing
from medfed.storage.database.types import now

SECONDS = 10
"""How long a provider may take to answer."""


class _Speaker(Protocol):
    def authorize_redirect(self, redirect_uri: str, **more: Any) -> ResponseReturnValue: ...
    def authorize_access_token(self, **more: Any) -> dict[str, Any]: ...
    def load_server_metadata(self) -> dict[str, Any]: ...


def register(app: Flask, console: Console) -> None:
    """Let people log in elsewhere, where the console's folder says so.

    Raises:
        RunError: It says so badly, or the library is not installed.
    """
    # The shipped ones too: of a console that is new there are none yet.
    known = dict.fromkeys([*ROLES, *(role.name for role in console.accounts.roles())])
    provider = Provider.read(console.place.path, list(known))
    app.extensions["medfed-provider"] = provider
    if provider is None:
        return
    try:
        from authlib.integrations.flask_client import OAuth
    except ImportError:
        remedy = 'Install it: pip install "medfed[oidc]"'
        raise RunError("log-in by OpenID Connect needs Authlib", remedy=remedy) from None
    OAuth(app).register(
        name="outside",
        server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        client_kwargs={
            "scope": "openid profile",
            "code_challenge_method": "S256",
            "default_timeout": SECONDS,
        },
    )


def provider() -> Provider:
    """Where people of this console log in.

    Raises:
        RunError: Only here.
    """
    found = cast("Provider | None", current_app.extensions["medfed-provider"])
    if found is None:
        raise Missing("there is no such page", remedy="Go back to the overview")
    return found


def ask(back: str, *, again: bool) -> ResponseReturnValue:
    """Send somebody to the provider; ``again`` has them show anew who they are.

    Raises:
        AccessError: The provider does not answer, or is another than it was said to be.
    """
    more = {"prompt": "login", "max_age": "0"} if again else {}
    return cast("ResponseReturnValue", _told(lambda: _speaker().authorize_redirect(back, **more)))


def answer(*, again: bool) -> dict[str, Any]:
    """What the provider says of who comes back: state, nonce, PKCE and signature are checked.

    Raises:
        AccessError: Any of them is wrong, or with ``again`` the person was not asked just now.
    """
    claims: dict[str, Any] = _told(lambda: _speaker().authorize_access_token()["userinfo"])
    if again and now() - asked_at(claims) > RECENTLY:
        message = "the identity provider did not ask you again"
        raise AccessError(message, remedy="Log out, then log in again")
    return claims


def _speaker() -> _Speaker:
    wanted, oauth = provider().issuer, current_app.extensions["authlib.integrations.flask_client"]
    speaker = cast("_Speaker", oauth.outside)
    if _told(speaker.load_server_metadata).get("issuer") != wanted:
        raise AccessError("the identity provider is not the one that was agreed", remedy=REMEDY)
    return speaker


REMEDY = "Try again; if it stays, log in by a password or tell whoever runs the console"


def _told(ask_: Any) -> Any:
    """What goes wrong between two services as one sentence; the details are nobody's business."""
    from authlib.common.errors import AuthlibBaseError
    from joserfc.errors import JoseError
    from requests import RequestException

    try:
        return ask_()
    except (AuthlibBaseError, JoseError, RequestException, ValueError, KeyError) as error:
        current_app.logger.warning("log-in elsewhere failed: %s", type(error).__name__)
        message = "the identity provider did not confirm who you are"
        raise AccessError(message, remedy=REMEDY) from error
