"""A visit to the demo's console over HTTP, as by a person with a browser."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

from medfed.core.errors import RunError

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
PAGES = (
    "/", "/studies/", "/runs/", "/models/", "/sites/", "/data/", "/imports/", "/inference/",
    "/released/", "/participation/", "/privacy/", "/receipts/", "/users/", "/audit/", "/settings/",
    "/profile/", "/help/",
)  # fmt: skip
HOSPITAL_PAGES = (
    "/", "/data/", "/imports/", "/inference/", "/released/", "/participation/", "/privacy/",
    "/receipts/", "/users/", "/audit/", "/profile/", "/help/",
)  # fmt: skip
HEALTH = ("/healthz", "/readyz")
PICTURES = 9
"""In the report: three of each hospital."""
TIMEOUT_SECONDS = 30.0
BROKEN = "Read what the console said above; then report it"


class Visitor:
    """Somebody with a browser.

    Args:
        url: Of the console.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._browser = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
        )

    def get(self, path: str) -> str:
        """The page at a path, which must be the one that was asked for.

        Raises:
            RunError: It is not there, or another was shown in its place, such as the log-in.
        """
        return self._open(path, None, path)

    def log_in(self, name: str, password: str) -> None:
        """Log in by the form.

        Raises:
            RunError: That is refused, or another password is asked for first.
        """
        found = TOKEN.search(self.get("/login"))
        if found is None:
            raise RunError("the log-in page has no form", remedy=BROKEN)
        form = {"csrf_token": found[1], "name": name, "password": password}
        self._open("/login", urllib.parse.urlencode(form).encode(), "/")

    def _open(self, path: str, form: bytes | None, expected: str) -> str:
        try:
            with self._browser.open(self.url + path, form, TIMEOUT_SECONDS) as answer:
                shown, text = urllib.parse.urlsplit(answer.url).path, answer.read()
        except OSError as error:  # HTTPError is one
            raise RunError(f"the console's page {path} failed: {error}", remedy=BROKEN) from error
        if shown != expected:
            raise RunError(f"the console showed {shown} in place of {path}", remedy=BROKEN)
        return str(text.decode("utf-8"))


def look_around(visitor: Visitor, run: str) -> None:
    """Look at every page, and at the run's.

    Raises:
        RunError: One of them is not what it should be.
    """
    for path in (*PAGES, *HEALTH):
        visitor.get(path)
    text = visitor.get(f"/runs/{run}")
    if run not in text:
        raise RunError("the page of the run does not show the run", remedy=BROKEN)


def look_at_result(visitor: Visitor, run: str) -> None:
    """Look whether a finished run is shown with its report, and its model where it is used.

    Args:
        visitor: Who looks.
        run: Its id.

    Raises:
        RunError: Something is missing.
    """
    look_around(visitor, run)
    state = _json(visitor, f"/api/v1/runs/{run}")["state"]
    pictures = visitor.get(f"/runs/{run}/report").count("data:image/png")
    scans = _json(visitor, "/api/v1/scans")["total"]
    models = _json(visitor, "/api/v1/models")["items"]
    made = next((one["sha256"] for one in models if one["run"] == run), "no model")
    said = {
        f"the run is {state}, not finished": state != "finished",
        f"its report has {pictures} pictures, not {PICTURES}": pictures < PICTURES,
        "the hospital has no scan to show": not scans,
        f"its model ({made}) is not at work at the hospital": made
        not in visitor.get("/api/v1/released"),
        **_receipts_of(visitor),
    }
    if wrong := [what for what, so in said.items() if so]:
        raise RunError(f"the console is not in order: {'; '.join(wrong)}", remedy=BROKEN)


def look_at_hospital(url: str, name: str, password: str) -> None:
    """Log in at a hospital's console, and look whether patients, model and approval are there.

    Raises:
        RunError: Something is missing.
    """
    visitor = Visitor(url)
    visitor.log_in(name, password)
    for path in (*HOSPITAL_PAGES, *HEALTH):
        visitor.get(path)
    said = {
        "has no scan": not _json(visitor, "/api/v1/scans")["total"],
        "has no model": not _json(visitor, "/api/v1/released")["total"],
        "has approved nothing": not any(
            each["approved"] for each in _json(visitor, "/api/v1/participation")["items"]
        ),
        **_receipts_of(visitor),
    }
    if wrong := [what for what, so in said.items() if so]:
        raise RunError(f"the hospital at {url} {'; '.join(wrong)}", remedy=BROKEN)


def _receipts_of(visitor: Visitor) -> dict[str, bool]:
    """What would be wrong with a hospital's receipts, and whether it is."""
    verdict = _json(visitor, "/api/v1/receipts/verdict")
    return {
        "shows nothing that left": not verdict["receipts"],
        "has a record that is not as it was signed": bool(verdict["faults"]),
    }


def _json(visitor: Visitor, path: str) -> dict[str, Any]:
    return dict(json.loads(visitor.get(path)))
