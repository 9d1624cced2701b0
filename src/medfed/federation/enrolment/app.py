"""The coordinator's HTTP face for joining sites: three addresses, and nothing else.

It listens on loopback; nginx stands before it with TLS. Nobody is shown a traceback.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from medfed import __version__
from medfed.core.errors import WireError
from medfed.federation.enrolment.certificates import CA
from medfed.federation.enrolment.desk import Declined, OnEnrolled, enrol
from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.federation.enrolment.limits import TooMany
from medfed.federation.enrolment.statement import MAX_BODY, SignedStatement
from medfed.federation.keys import fingerprint, public_pem
from medfed.federation.wire import VERSION

log = logging.getLogger(__name__)
BASE = "/v1/enrol"
_GUESSES = frozenset({"malformed", "unknown-invitation"})


def enrolment_app(
    folder: Path | CoordinatorFolder,
    on_enrolled: OnEnrolled | None = None,
    *,
    limits: TooMany | None = None,
) -> Flask:
    """The WSGI application.

    Args:
        folder: The coordinator's folder.
        on_enrolled: Told of each site that enrolled, in the thread of the request. It is called
            again when a site asks again with the same keys. If it fails, the site is told to
            try again later.
        limits: How often one address may try wrong codes.
    """
    keeper = folder if isinstance(folder, CoordinatorFolder) else CoordinatorFolder(folder)
    limits = limits or TooMany()
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.get(f"{BASE}/hello")
    def hello() -> Response:
        return _json(200, _about(keeper))

    @app.get(f"{BASE}/ca.pem")
    def authority() -> Response:
        body = (keeper.path / CA).read_bytes()
        return Response(body, mimetype="application/x-pem-file")

    @app.post(BASE)
    def post() -> Response:
        who = _who()
        wait = limits.wait(who)
        if wait:
            return _declined(Declined("too-many-tries"), {"Retry-After": str(wait)})
        try:
            posted = _posted()
            new = enrol(keeper, posted, on_enrolled or _nobody)
        except Declined as no:
            log.warning("enrolment from %s declined: %s", who, no.name)
            if no.name in _GUESSES:
                limits.failed(who)
            return _declined(no)
        log.info("site %s enrolled%s", posted.statement.site, "" if new else " again, same keys")
        return _json(200, _welcome(keeper))

    @app.errorhandler(HTTPException)
    def not_there(error: HTTPException) -> Response:
        code = error.code or 500
        return _json(code, {"error": {"name": "http", "message": error.name}})

    @app.errorhandler(Exception)
    def trouble(error: Exception) -> Response:
        log.error("the enrolment failed", exc_info=error)
        return _declined(Declined("not-now"))

    return app


def _posted() -> SignedStatement:
    try:
        return SignedStatement.read(request.get_data(cache=False))
    except WireError:
        raise Declined("malformed") from None


def _about(keeper: CoordinatorFolder) -> dict[str, Any]:
    """Who answers here: enough for a site's doctor, and no name of any site."""
    return {
        "schema": 1,
        "name": keeper.settings().name,
        "software": __version__,
        "wire": VERSION,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": fingerprint(keeper.public_key()),
    }


def _welcome(keeper: CoordinatorFolder) -> dict[str, Any]:
    return {**_about(keeper), "key": public_pem(keeper.public_key()).decode()}


def _who() -> str:
    """The asker's address as nginx saw it; whoever else reaches loopback is this machine."""
    return (request.headers.get("X-Real-IP") or request.remote_addr or "")[:64]


def _declined(no: Declined, headers: Mapping[str, str] | None = None) -> Response:
    about = {"name": no.name, "message": no.message, "remedy": no.remedy}
    return _json(no.status, {"error": about}, headers)


def _json(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(value, ensure_ascii=False) + "\n"
    answer = Response(text, status, mimetype="application/json")
    answer.headers.update({"Cache-Control": "no-store", **(headers or {})})
    return answer


def _nobody(_site: object) -> None:
    """Nobody wants to know."""
