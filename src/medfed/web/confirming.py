"""Asking a person for the password again before an act that needs it."""

from flask import current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from medfed.services.accounts.login import Unconfirmed
from medfed.web.rules import console, refused, rule_of, user


def confirm_first(back: str) -> ResponseReturnValue | None:
    """The way to the password, where it was not given lately; an act sent without it is recorded.

    Args:
        back: Where to go on afterwards.
    """
    if console().accounts.confirmed(user()):
        return None
    if request.method == "POST":
        refused(rule_of(current_app, request.endpoint or "") or "", Unconfirmed().message)
    return redirect(url_for("access.confirm", next=back))
