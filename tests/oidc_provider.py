"""An identity provider for tests, in a process of its own: oidc-provider-mock with PKCE demanded.

    python oidc_provider.py PORT        # prints a line when it answers

Whoever asks for a code by form names the person; the claims of each are in PEOPLE. A person called
`turned` gets an ID token with another nonce, `forged` one that somebody else signed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import time
import urllib.parse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

STAFF = ["research"]
PEOPLE: dict[str, dict[str, object]] = {
    "0001": {
        "preferred_username": "Li.Wei@hospital.example", "name": "Li Wei", "groups": STAFF,
    },
    "0002": {
        "preferred_username": "admin", "email": "viewer", "name": "Mallory", "groups": STAFF,
    },
    "0003": {"preferred_username": "guest", "groups": ["guests"]},
    "0004": {"preferred_username": "new", "groups": ["boss", "research", 7]},
    "turned": {"groups": STAFF},
    "forged": {"groups": STAFF},
}  # fmt: skip
GROUPS = {"research": ["researcher"], "boss": ["administrator"]}
SECRET = "a secret between the console and the provider"


@contextmanager
def identity_provider(port: int) -> Iterator[str]:
    """The provider's issuer, while it runs."""
    command = [sys.executable, "-W", "ignore", __file__, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield f"http://localhost:{port}"
        process.terminate()


class DemandingPkce:
    """Wraps the provider: a code goes only to whoever began the conversation (RFC 7636)."""

    def __init__(self, application) -> None:
        self.application = application
        self.challenges: dict[str, str] = {}

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/oauth2/authorize" and environ["REQUEST_METHOD"] == "POST":
            return self._authorize(environ, start_response)
        if path == "/oauth2/token" and not self._verified(environ):
            start_response("400 Bad Request", [("Content-Type", "application/json")])
            return [b'{"error": "invalid_grant"}']
        return self.application(environ, start_response)

    def _authorize(self, environ, start_response):
        asked = urllib.parse.parse_qs(environ["QUERY_STRING"])
        assert asked["code_challenge_method"] == ["S256"]

        def remember(status, headers, *more):
            where = dict(headers).get("Location", "")
            code = urllib.parse.parse_qs(urllib.parse.urlsplit(where).query).get("code")
            if code:
                self.challenges[code[0]] = asked["code_challenge"][0]
            return start_response(status, headers, *more)

        return self.application(environ, remember)

    def _verified(self, environ) -> bool:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        form = urllib.parse.parse_qs(body.decode())
        verifier = form.get("code_verifier", [""])[0].encode()
        hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        return self.challenges.pop(form["code"][0], None) == hashed


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def main(port: int) -> None:
    """Serve until ended."""
    warnings.simplefilter("ignore")
    import oidc_provider_mock
    from joserfc import jwt
    from joserfc.jwk import RSAKey
    from oidc_provider_mock import _app
    from werkzeug.serving import make_server

    users = [oidc_provider_mock.User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]

    class Odd(_app.OpenIDCode):
        """Says when it asked, and cheats where it is told to."""

        def get_authorization_code_claims(self, authorization_code):
            claims = super().get_authorization_code_claims(authorization_code)
            turned = {"nonce": "another"} if authorization_code.user_id == "turned" else {}
            return {**claims, "auth_time": int(time.time()), **turned}

        def encode_id_token(self, token, request):
            made = super().encode_id_token(token, request)
            if request.user.sub != "forged":
                return made
            header, claims = (json.loads(_decoded(part)) for part in made.split(".")[:2])
            return jwt.encode(header, claims, RSAKey.generate_key(2048))

    _app.OpenIDCode = Odd
    application = oidc_provider_mock.app(require_nonce=True, user_claims=users)
    server = make_server("localhost", port, DemandingPkce(application), threaded=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
