"""The coordinator's door for researchers: begin a run, follow it, see the federation.

It listens on loopback only and asks for a token that lies in the coordinator's folder: whoever may
read that folder may use it, on this machine or through a tunnel of their own.
"""

import hmac
import json
import os
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from medfed.core.errors import MedfedError, RunError
from medfed.core.files import write_atomic
from medfed.core.own_process import own_process
from medfed.core.study_file import parse_study
from medfed.services.federation.activity import activities
from medfed.services.federation.status import status_of

TOKEN = "control.token"  # noqa: S105  # the file's name
RUNS = "runs"
MAX_BODY = 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def control_token(home: Path) -> str:
    """The token of a coordinator's folder; made when there is none."""
    file = home / TOKEN
    if not file.exists():
        write_atomic(file, secrets.token_urlsafe(32).encode())
    return file.read_text("ascii").strip()


def control_app(home: Path, encrypt_with: str | None = None) -> Flask:
    """The WSGI application of a coordinator's folder.

    Args:
        home: The folder.
        encrypt_with: What its runs are encrypted with: a key file, or ``passphrase``.
    """
    token = control_token(home)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.before_request
    def ask_for_token() -> Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(given.encode(), token.encode()):
            return None
        remedy = f"Set MEDFED_TOKEN to what {TOKEN} in the coordinator's folder holds"
        return _no(401, RunError("the coordinator does not know this token", remedy=remedy))

    @app.get("/v1/status")
    def status() -> Response:
        return _json(200, status_of(home).to_json())

    @app.post("/v1/runs/<name>")
    def begin(name: str) -> Response:
        given = request.get_json(silent=True)
        if not isinstance(given, dict) or not isinstance(given.get("study"), str):
            return _no(400, RunError("a run is begun with a study file"))
        resume = bool(given.get("resume"))
        begin_run(home, name, given["study"], resume=resume, encrypt_with=encrypt_with)
        return _json(202, {"schema": 1, "name": name})

    @app.get("/v1/runs/<name>")
    def follow(name: str) -> Response:
        return _json(200, run_state(home, name))

    @app.errorhandler(MedfedError)
    def refused(error: MedfedError) -> Response:
        return _no(409, error)

    @app.errorhandler(HTTPException)
    def not_there(error: HTTPException) -> Response:
        return _no(error.code or 500, RunError(error.name))

    return app


def begin_run(
    home: Path, name: str, study: str, *, resume: bool, encrypt_with: str | None = None
) -> None:
    """Start a run as a process of its own, which lives on when the coordinator's ends.

    Raises:
        StudyError: The study cannot be used.
        RunError: The name is taken.
    """
    parse_study(study)
    place = _place(home, name)
    if place.exists() and not resume:
        raise RunError(f"there is a run called {name} already", remedy="Resume it, or rename it")
    place.parent.mkdir(exist_ok=True, mode=0o700)
    file = place.with_suffix(".toml")
    write_atomic(file, study.encode())
    command = [*own_process(), "run", str(file), "--json"]
    command += ["--engine", "flower", "--coordinator", str(home), "--out", str(place)]
    command += ["--encrypt-with", encrypt_with] if encrypt_with else []
    with place.with_suffix(".out").open("wb") as out, place.with_suffix(".log").open("ab") as log:
        subprocess.Popen(
            [*command, *(["--resume"] if resume else [])],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "MEDFED_DATA": ""},
        )


def run_state(home: Path, name: str) -> dict[str, Any]:
    """How a run stands: what it does, and its last line of JSON once it has ended.

    Raises:
        RunError: There is none of this name.
    """
    place = _place(home, name)
    if not place.with_suffix(".out").exists():
        raise RunError(f"there is no run called {name}")
    lines = place.with_suffix(".out").read_text("utf-8").strip().splitlines()
    mine = [each for each in activities(home) if each.folder == str(place.resolve())]
    now = mine[-1] if mine else None
    return {
        "schema": 1,
        "name": name,
        "activity": vars(now) if now else None,
        "alive": bool(now and now.alive),
        "end": json.loads(lines[-1]) if lines else None,
    }


def _place(home: Path, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise RunError(f"{name[:100]!r} is not a name for a run")
    return home / RUNS / name


def _no(status: int, error: MedfedError) -> Response:
    return _json(status, {"error": {"message": error.message, "remedy": error.remedy}})


def _json(status: int, value: Any) -> Response:
    text = json.dumps(value, ensure_ascii=False) + "\n"
    return Response(
        text, status, mimetype="application/json", headers={"Cache-Control": "no-store"}
    )
