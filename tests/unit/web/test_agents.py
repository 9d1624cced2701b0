"""By what browser somebody came."""

from __future__ import annotations

import pytest

from medfed.storage.database.tables import SessionRow
from medfed.web import agents

MAC, KIT = "Macintosh; Intel Mac OS X 10_15_7", "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"
PHONE = "iPhone; CPU iPhone OS 17_5 like Mac OS X"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36", "Chrome on Linux"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36", "Chrome on ChromeOS"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/130.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
            "Firefox on Windows",
        ),
        (f"Mozilla/5.0 ({MAC}) {KIT} Version/17.5 Safari/605.1.15", "Safari on macOS"),
        (f"Mozilla/5.0 ({PHONE}) {KIT} Version/17.5 Mobile/15E148 Safari/604.1", "Safari on iOS"),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {CHROME} Mobile Safari/537.36",
         "Chrome on Android"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32.3", "python-requests"),
        ("", "unknown browser"),
        ("Mozilla/5.0 (compatible)", "unknown browser"),
    ],
)  # fmt: skip
def test_browsers_and_programs_are_named(stage, agent, words):
    with stage.app.test_request_context():
        assert agents.browser(agent) == words


def test_sessions_are_told_by_browser_and_show_the_whole_on_asking(stage):
    client = stage.client("administrator")
    whole = f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36"
    with stage.console.database.write() as session:
        for row in session.query(SessionRow):
            row.agent = whole
    for path in ("/profile/", "/users/"):
        assert f'<span title="{whole}">Chrome on Linux</span>' in client.get(path).text
