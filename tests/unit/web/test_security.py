"""Attacks that a console withstands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from accounting import PASSWORD
from consoles import WANG, csrf_of, stage_of
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from medfed.core.errors import RunError
from medfed.services import audit
from medfed.services.preferences import DEFAULT
from medfed.storage.database.tables import SessionRow
from medfed.storage.database.types import now
from medfed.web import WebOptions
from medfed.web.pages.access import inside
from medfed.web.security import POLICY

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def name_of(stage) -> str:
    """What this console calls its cookie."""
    return stage.app.config["SESSION_COOKIE_NAME"]


def test_forms_without_their_token_are_refused(stage):
    client = stage.client("coordinator")
    for path in ("/studies/new", f"/runs/{stage.run}/stop", "/logout", "/studies/check"):
        assert client.post(path, data={"toml": "x"}).status_code == 400, path
    made = client.post("/api/v1/studies", json={"toml": "x"})
    assert (made.status_code, made.json["error"]["kind"]) == (400, "BadRequest")
    stranger = stage.client()
    assert stranger.post("/login", data={"name": "viewer", "password": PASSWORD}).status_code == 400


def test_forged_requests_are_in_the_record(stage):
    client, stranger = stage.client("coordinator"), stage.client()
    for _ in range(4):
        client.post("/studies/new", data={"toml": "x"})
        stranger.post("/login", data={"name": "viewer", "password": PASSWORD})
    client.post("/api/v1/studies", json={"toml": "x"})
    token = {"Authorization": "Bearer medfed_no-such-token"}
    assert stranger.get("/api/v1/studies", headers=token).status_code == 401
    rows = [row for row in audit.entries(stage.console.database) if not row.allowed]
    assert {(row.actor, row.subject, row.action) for row in rows} == {
        ("coordinator", "/studies/new", "request.send"),
        ("coordinator", "/api/v1/studies", "request.send"),
        ("nobody", "/login", "request.send"),
        ("nobody", "/api/v1/studies", "request.send"),
    }
    page = stage.client("auditor").get("/audit/?q=request.send").text
    assert "it came from no page of this console, or from one too old" in page
    assert "times in this minute" in page


def test_a_session_planted_before_the_log_in_is_worth_nothing(stage):
    client = stage.client()
    client.get("/login")
    planted = client.get_cookie(name_of(stage)).value
    stage.post(client, "/login", name="viewer", password=PASSWORD)
    other = stage.client()
    other.set_cookie(name_of(stage), planted)
    assert other.get("/studies/").status_code == 302
    assert client.get_cookie(name_of(stage)).value != planted


def test_a_cookie_is_worth_nothing_after_the_log_out(stage):
    client = stage.client("viewer")
    stolen = client.get_cookie(name_of(stage)).value
    assert stage.post(client, "/logout", "/profile/").status_code == 302
    thief = stage.client()
    thief.set_cookie(name_of(stage), stolen)
    assert thief.get("/studies/").headers["Location"].startswith("/login")


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example",
        "javascript:alert(1)", "/\t/evil.example", "evil.example", "///evil.example", "",
    ],
)  # fmt: skip
def test_nobody_is_sent_to_another_host(stage, target):
    client = stage.client()
    answer = client.post(
        "/login",
        query_string={"next": target},
        data={"csrf_token": csrf_of(client), "name": "viewer", "password": PASSWORD},
    )
    assert answer.headers["Location"] == "/"


def test_one_goes_on_where_one_was(stage):
    client = stage.client()
    target = "/runs/?page=2"
    answer = client.post(
        "/login",
        query_string={"next": target},
        data={"csrf_token": csrf_of(client), "name": "viewer", "password": PASSWORD},
    )
    assert answer.headers["Location"] == target


def test_any_target_stays_inside(stage):
    @given(st.text(max_size=40))
    def holds(target: str) -> None:
        with stage.app.test_request_context():
            found = inside(target)
        assert found.startswith("/")
        assert not found.startswith(("//", "/\\"))

    holds()


def test_every_answer_carries_the_headers(stage):
    client = stage.client("coordinator")
    for path in ("/", "/login", "/nowhere", "/static/console.css", "/api/v1/runs", "/healthz"):
        with client.get(path) as answer:
            headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Strict-Transport-Security" not in headers
    assert client.get("/").headers["Cache-Control"] == "no-store"
    assert "'unsafe-inline'" not in "".join(POLICY.values())


def test_pages_hold_no_inline_script_or_style(stage):
    client = stage.client("coordinator")
    for path in ("/", "/studies/new", f"/runs/{stage.run}", "/models/1", "/profile/"):
        text = client.get(path).text
        assert "style=" not in text, path
        assert " onclick" not in text, path
        assert "<script>" not in text, path
        assert "http://" not in text.replace("http://www.w3.org", ""), path


def test_a_report_can_do_nothing_to_the_console(stage):
    answer = stage.client("viewer").get(f"/runs/{stage.run}/report")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.text == "<h1>Report</h1>"


def test_cookies_are_hidden_from_scripts(stage):
    answer = stage.client().get("/login")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Domain" not in cookie


def test_behind_tls_the_cookie_is_bound_to_the_host(tmp_path, sqlite_url):
    options = WebOptions(url="https://console.example.org")
    stage = stage_of(tmp_path / "console", sqlite_url, options)
    client = stage.app.test_client()
    proxy = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    answer = client.get("/login", headers={**proxy, "X-Forwarded-Host": "console.example.org"})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-medfed=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    other = client.get("/login", headers={**proxy, "X-Forwarded-Host": "evil.example"})
    assert other.status_code == 400


@pytest.mark.parametrize("url", ["console.example.org", "ftp://x", "https://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(RunError, match="not the address"):
        WebOptions(url=url)


def test_who_is_known_is_told_that_their_password_is_wrong(stage):
    client = stage.client("viewer")
    new = "an umbrella in the library"
    refused = stage.post(client, "/password", "/password", old="not it", new=new, again=new)
    assert refused.status_code == 403
    assert "The present password is wrong." in refused.text


def test_guessing_passwords_locks_the_name(stage):
    client = stage.client()
    for _ in range(DEFAULT.free_failures):
        assert stage.post(client, "/login", name="viewer", password="x").status_code == 403
    answer = stage.post(client, "/login", name="viewer", password=PASSWORD)
    assert answer.status_code == 429
    assert "Wait" in answer.text


def test_a_cookie_alone_makes_no_users_over_the_api_either(stage):
    client = stage.client("administrator")
    token = csrf_of(client, "/profile/")
    with stage.console.database.write() as session:
        session.execute(update(SessionRow).values(confirmed=now() - timedelta(hours=1)))
    body, header = {"name": "evil", "roles": ["administrator"]}, {"X-CSRFToken": token}
    made = client.post("/api/v1/users", json=body, headers=header)
    assert (made.status_code, made.json["error"]["kind"]) == (403, "Unconfirmed")
    form = {"csrf_token": token, "name": "t", "days": "1", "scopes": "read"}
    answer = client.post("/profile/tokens", data=form)
    assert answer.headers["Location"] == "/confirm?next=/profile/"
    acts = [row for row in audit.entries(stage.console.database) if not row.allowed]
    assert {(row.action, row.subject) for row in acts} == {
        ("user.manage", "user evil"),
        ("token.manage", "/profile/tokens"),
    }
    assert {row.reason for row in acts} == {"the password was not given lately"}


@pytest.mark.parametrize("toml", ["a=" + "[" * 5000, "a=" + "9" * 5000, "a" + ".a" * 40_000 + "=1"])
def test_no_text_of_a_study_brings_the_console_down(stage, toml):
    answer = stage.post(stage.client("clinician"), "/studies/check", "/profile/", toml=toml)
    assert (answer.status_code, answer.json["ok"]) == (200, False)


def test_a_study_with_half_a_character_is_refused_in_words(stage):
    client = stage.client("coordinator")
    header = {"X-CSRFToken": csrf_of(client, "/profile/")}
    made = client.post("/api/v1/studies", json={"toml": "title = '\ud800'"}, headers=header)
    assert (made.status_code, made.json["error"]["kind"]) == (422, "StudyError")


def test_half_a_character_in_any_field_is_refused_in_words(stage):
    client = stage.client("administrator")
    header = {"X-CSRFToken": csrf_of(client, "/profile/")}
    body = {"name": "li.wei", "roles": ["\ud800"]}
    made = client.post("/api/v1/users", json=body, headers=header)
    assert (made.status_code, made.json["error"]["kind"]) == (422, "Unstorable")


def test_no_text_field_becomes_html(stage):
    """Whatever people type in comes back as text, on every page that shows it."""
    boss, author = stage.client("administrator"), stage.client("coordinator")
    stage.post(boss, "/users/new", name="mallory", full_name=EVIL, roles=["viewer"])
    stage.post(boss, "/users/new", name=EVIL)
    text = stage.console.studies.find(1).toml
    text = text.replace("Breast cancer, three hospitals", EVIL.replace('"', "'"))
    stage.post(author, "/studies/new", toml=f"{text}\n# {EVIL}\n")
    stage.post(author, "/studies/new", toml=EVIL)
    stage.post(author, "/profile/tokens", name=EVIL, days="1", scopes="read")
    stage.post(stage.client(), "/login", name=EVIL, password="x")
    stage.app.test_client().get("/", headers={"User-Agent": EVIL})
    row = stage.console.studies.find(2)
    stage.console.studies.approve(WANG, 2, row.digest)
    run = stage.console.runs.start(WANG, 2)
    for client, paths in (
        (author, ["/", "/studies/", "/studies/2", "/studies/2/edit", "/profile/", "/runs/",
                  f"/runs/{run.id}", "/models/1"]),
        (boss, ["/users/", "/users/mallory", "/audit/", f"/audit/?q={EVIL}"]),
    ):  # fmt: skip
        for path in paths:
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert "<script>alert" not in answer.text, path
            assert "<img src=x" not in answer.text, path


def test_paths_do_not_lead_out_of_a_run(stage):
    client = stage.client("coordinator")
    for name in ("../../secrets.json", "..%2f..%2fsecrets.json", "run.json", ".lock", "%00"):
        for path in (f"/runs/{stage.run}/files/{name}", f"/api/v1/runs/{stage.run}/files/{name}"):
            assert client.get(path).status_code in (404, 400), path
    assert client.get(f"/runs/..{stage.run}/files/model.safetensors").status_code == 404


def test_too_much_is_refused_before_it_is_read(stage):
    client = stage.client("coordinator")
    answer = stage.post(client, "/studies/new", toml="x" * 2_000_000)
    assert answer.status_code == 413


def test_two_consoles_of_one_machine_do_not_log_each_other_out(stage, hospital):
    assert name_of(stage) != name_of(hospital)
    assert name_of(stage).startswith("medfed-")
