"""Submitting a study to a coordinator that runs elsewhere, and following it to its end."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from medfed.core.errors import RunError

EVERY = 0.5
"""Seconds between looks at the run."""
QUIET = 120.0
"""Seconds without an answer from the coordinator before the asker gives up; the run goes on."""


class Control:
    """A coordinator's door for researchers.

    Args:
        url: Where it is, such as ``http://127.0.0.1:9093``.
        token: What lets one in.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    def submit(self, name: str, study: str, *, resume: bool = False) -> None:
        """Begin a run.

        Raises:
            RunError: With the coordinator's words.
        """
        self._ask("POST", f"/v1/runs/{name}", {"study": study, "resume": resume})

    def status(self) -> dict[str, Any]:
        """The federation as it stands; see `medfed.services.federation.status.Status`."""
        return self._ask("GET", "/v1/status")

    def follow(self, name: str, say: Callable[[str], None]) -> dict[str, Any]:
        """Wait for the end of a run: its result, or the error it ended with.

        Raises:
            RunError: The coordinator no longer answers, or the run was killed.
        """
        told, heard, gone = "", time.monotonic(), 0
        while True:
            try:
                state = self._ask("GET", f"/v1/runs/{name}")
                heard = time.monotonic()
            except _Away as error:
                if time.monotonic() - heard > QUIET:
                    raise error.told from None
                time.sleep(EVERY)
                continue
            if state["end"] is not None:
                return dict(state["end"])
            gone = gone + 1 if state["activity"] and not state["alive"] else 0
            if gone > 10:  # its last words come a moment after its last breath
                raise RunError(f"the run {name} was killed", remedy="Go on with it by --resume")
            line = _line(state["activity"])
            if line and line != told:
                told = line
                say(line)
            time.sleep(EVERY)

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        content = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        asked = urllib.request.Request(  # noqa: S310  # the scheme was checked
            self._url + path, content, headers, method=method
        )
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310  # as above
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise _told(error) from None
        except (OSError, ValueError) as error:
            message = f"no coordinator answers at {self._url}"
            raise _Away(RunError(message, remedy="Is it running, and is this its port?")) from error


class _Away(RunError):
    """Nobody answers."""

    def __init__(self, told: RunError) -> None:
        super().__init__(told.message, remedy=told.remedy)
        self.told = told


def _told(error: urllib.error.HTTPError) -> RunError:
    try:
        given = json.load(error)["error"]
        return RunError(str(given["message"]), remedy=str(given["remedy"]))
    except (ValueError, LookupError, TypeError):
        return RunError(f"the coordinator answered with HTTP status {error.code}")


def _line(now: dict[str, Any] | None) -> str:
    if not now:
        return ""
    waiting = f", waiting for {', '.join(now['waiting'])}" if now["waiting"] else ""
    stage = f"round {now['round']} of {now['rounds']}"
    if now["round"] == 0:
        stage = "before the first round"
    elif now["round"] > now["rounds"]:
        stage = "the final figures"
    return f"{stage}{waiting}"
