"""Errors as pages, or in the API's one shape."""

import logging
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, jsonify, redirect, render_template, request, url_for
from flask.globals import request_ctx
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from medfed.core.errors import (
    AccessError,
    DataError,
    MedfedError,
    Problem,
    SiteError,
    StudyError,
)
from medfed.services.accounts.accounts import NoSuchUser
from medfed.services.accounts.lockout import Locked
from medfed.services.accounts.login import Unconfirmed, WrongPassword
from medfed.services.accounts.rights import Denied
from medfed.services.trouble import Busy, Conflict, Missing, NoSpace, Refused, TooLarge
from medfed.storage.database.engine import Away, Unstorable
from medfed.web import labels, words
from medfed.web.said import said, sentence

log = logging.getLogger(__name__)


def handle_errors(app: APIFlask) -> None:
    """Turn whatever a view raises into an answer that a person, or a program, can use."""
    app.error_processor(_fields)  # first: it takes all HTTP errors, the next lines take them back
    app.register_error_handler(Denied, _denied)
    app.register_error_handler(MedfedError, _foreseen)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


STATUSES: tuple[tuple[type[MedfedError], int], ...] = (
    (Missing, 404),
    (NoSuchUser, 404),
    (Conflict, 409),
    (TooLarge, 413),
    (NoSpace, 507),
    (Locked, 429),
    (Busy, 429),
    (WrongPassword, 403),
    (Unconfirmed, 403),
    (AccessError, 422),
    (StudyError, 422),
    (SiteError, 422),
    (DataError, 422),
    (Unstorable, 422),
    (Refused, 422),
)
"""The first that fits counts."""


def status_of(error: MedfedError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, Denied):
        return 401 if error.decision.why == "anonymous" else 403
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 503)


def problem_json(problem: Problem, plan: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One thing wrong with a study, in sentences in the reader's language.

    Args:
        problem: What is wrong.
        plan: The study that it is of, where it is at hand: it says which parts it is about.
    """
    return {
        "field": problem.field,
        "label": labels.field(problem.field, plan),
        "message": sentence(said(problem.message)),
        "remedy": sentence(said(problem.remedy)),
        "line": problem.line,
    }


def problems_json(problems: Sequence[Problem], text: str) -> list[dict[str, Any]]:
    """All that is wrong with a study's text, which is TOML if it got as far as problems."""
    plan = tomllib.loads(text) if problems else {}
    return [problem_json(each, plan) for each in problems]


def _denied(error: Denied) -> ResponseReturnValue:
    if not _for_programs():
        if error.decision.why == "anonymous":
            path = request.full_path.rstrip("?") if request.method == "GET" else None
            return redirect(url_for("access.login", next=path if path != "/" else None))
        if error.decision.why == "change-password":
            return redirect(url_for("access.password"))
    return _foreseen(error)


def _foreseen(error: MedfedError) -> ResponseReturnValue:
    status = status_of(error)
    if type(error) is Away:  # it names the database's address
        log.error("%s", error)
        error = Away("the database cannot be used", remedy="Tell whoever runs the console")
    message, remedy = map(sentence, words.error(error)[:2])
    if _for_programs():
        if "X-CSRFToken" in request.headers:  # a page's script asks, and shows it to a person
            error.message, error.remedy = message, remedy
        return _json(status, type(error).__name__, error)
    return render_template("error.html", status=status, message=message, remedy=remedy), status


def _http(error: HTTPException) -> ResponseReturnValue:
    if error.code is not None and error.code < 400:
        return error.get_response()  # a redirect
    status = error.code or 500
    if request_ctx.url_adapter is None:  # the host is none of ours: nothing is said about this one
        return Response(status=status)
    message, remedy = words.http(status)
    if _for_programs():
        about = MedfedError(error.description or "", remedy="Look at the API's description")
        return _json(status, (error.name or "Error").replace(" ", ""), about)
    return render_template("error.html", status=status, message=message, remedy=remedy), status


def _fields(error: HTTPError) -> ResponseReturnValue:
    """What APIFlask found wrong with the fields of a request."""
    about = MedfedError(error.message or "", remedy="Look at the API's description")
    return _json(error.status_code, "ValidationError", about, error.detail)


def _unforeseen(error: Exception) -> ResponseReturnValue:
    # The details go into the console's own log, never to the page.
    log.error("an error that nobody foresaw in %s", request.endpoint, exc_info=error)
    message = _("Something went wrong that nobody foresaw.")
    remedy = _("It is in the console's log. Try again; if it stays, tell whoever runs the console.")
    if _for_programs():
        return _json(500, "Unforeseen", MedfedError(str(message), remedy=str(remedy)))
    return render_template("error.html", status=500, message=message, remedy=remedy), 500


def _json(status: int, kind: str, error: MedfedError, detail: Any = None) -> ResponseReturnValue:
    problems = [problem_json(each) for each in getattr(error, "problems", ())]
    if isinstance(detail, dict):
        problems += [
            {"field": name, "label": "", "message": str(what), "remedy": "", "line": None}
            for place in detail.values()
            for name, what in (place.items() if isinstance(place, dict) else [("", place)])
        ]
    about = {
        "kind": kind,
        "message": said(error.message),
        "remedy": said(error.remedy),
        "problems": problems,
    }
    answer = jsonify(error=about)
    answer.status_code = status
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _for_programs() -> bool:
    return request.path.startswith("/api/") or request.path in ("/metrics", "/healthz", "/readyz")
