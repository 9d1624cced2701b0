"""In which language pages are: a person's own, on every machine; else the browser's."""

from __future__ import annotations

import pytest
from accounting import PASSWORD
from consoles import Stage, stage_of

from medfed.services.accounts import tokens
from medfed.storage.database.engine import Away
from medfed.web import WebOptions

CHINESE = "zh_Hans_CN"


def language_of(client, path: str = "/login") -> str:
    page = client.get(path, follow_redirects=True).text
    return page.split('<html lang="', 1)[1].split('"', 1)[0]


def test_a_persons_language_goes_where_they_log_in(stage: Stage):
    stage.post(stage.client("viewer"), "/language", "/", language=CHINESE)
    elsewhere = stage.client("viewer")  # another browser
    assert language_of(elsewhere, "/") == "zh-CN"
    assert language_of(stage.client("auditor"), "/") == "en"
    stage.post(elsewhere, "/language", "/", language="en")
    assert language_of(stage.client("viewer"), "/") == "en"


def test_what_is_chosen_at_the_door_stays_after_it(stage: Stage):
    browser = stage.app.test_client()
    stage.post(browser, "/language", language=CHINESE)
    assert language_of(browser) == "zh-CN"
    stage.post(browser, "/login", name="viewer", password=PASSWORD)
    assert language_of(browser, "/") == "zh-CN"
    assert language_of(stage.client("viewer"), "/") == "zh-CN"
    stage.post(browser, "/logout", "/")
    assert language_of(browser) == "zh-CN"  # the log-in page, too


def test_a_persons_own_choice_counts_more_than_the_last_ones_at_this_browser(stage: Stage):
    stage.post(stage.client("viewer"), "/language", "/", language="en")
    shared = stage.client("auditor")
    stage.post(shared, "/language", "/", language=CHINESE)
    stage.post(shared, "/logout", "/")
    stage.post(shared, "/login", name="viewer", password=PASSWORD)
    assert language_of(shared, "/") == "en"


def test_a_language_that_there_is_not_changes_nothing(stage: Stage):
    client = stage.client("viewer")
    answer = stage.post(client, "/language", "/", language="tlh")
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (302, False)
    assert language_of(client, "/") == "en"


def test_programs_are_answered_in_the_language_they_ask_for(stage: Stage):
    browser = stage.client("viewer")
    stage.post(browser, "/language", "/", language=CHINESE)
    who = stage.console.accounts.identify(stage.console.accounts.log_in("viewer", PASSWORD))
    assert who
    secret = tokens.make_token(stage.console.database, who, "nightly", ["read"], 1)
    headers = {"Authorization": f"Bearer {secret}"}
    answer = stage.app.test_client().get("/api/v1/studies/99", headers=headers)
    assert answer.json["error"]["message"].isascii()
    assert not browser.get("/api/v1/studies/99").json["error"]["message"].isascii()


def test_a_choice_is_taken_while_the_database_is_away(stage: Stage, monkeypatch):
    client = stage.client("viewer")

    def away(self, who, language) -> None:
        raise Away("the database cannot be used")

    monkeypatch.setattr("medfed.services.accounts.accounts.Accounts.read_in", away)
    stage.post(client, "/language", "/", language=CHINESE)
    assert language_of(client, "/") == "zh-CN"


@pytest.mark.parametrize("https", [True, False])
def test_the_cookie_is_kept_long_and_from_scripts(tmp_path, https):
    url = "https://console.example.org" if https else ""
    stage = stage_of(tmp_path, "", WebOptions(url, live=False))
    base = url or "http://localhost"
    client = stage.app.test_client()
    page = client.get("/login", base_url=base).text
    token = page.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]
    answer = client.post(
        "/language",
        base_url=base,
        headers={"Referer": f"{base}/login"},
        data={"csrf_token": token, "language": CHINESE},
    )
    (cookie,) = (c for c in answer.headers.getlist("Set-Cookie") if "-language=" in c)
    assert ("Secure" in cookie, cookie.startswith("__Host-")) == (https, https)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=31536000" in cookie
