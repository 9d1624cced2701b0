"""The page of settings, at a coordinator's and at a hospital's."""

from __future__ import annotations

import pytest
from accounting import identity
from consoles import csrf_of

from medfed.services import audit
from medfed.services.accounts import tokens

EVIL = "<script>alert(1)</script>"


def test_each_setting_says_where_it_is_set(stage, hospital):
    page = stage.client("auditor").get("/settings/").text
    for how in ("--data or MEDFED_CONSOLE", "--federation", "set on this page", "as installed"):
        assert how in page
    assert "/settings/change" not in page
    site = hospital.console.hospital.site
    (site / "pacs.toml").write_text('address = "PACS@pacs.example:104"\n')
    page = hospital.client("administrator").get("/settings/").text
    assert page.count("set by medfed site encrypt") == 1
    assert "set by set by" not in page
    assert "PACS@pacs.example:104" in page
    assert "set in pacs.toml of the hospital’s folder" in page
    (site / "pacs.toml").write_text("address = 3\n")
    assert "pacs.toml" in hospital.client("administrator").get("/settings/").text


def test_an_administrator_sets_what_can_be_set(stage):
    boss, there = stage.client("administrator"), "/settings/change"
    wanted = {"notice": EVIL, "language": "zh_Hans_CN", "session_unused_minutes": "60"}
    assert stage.post(boss, there, there, **wanted).status_code == 302
    stranger = stage.client().get("/login", headers={"Accept-Language": "en"}).text
    assert '<html lang="zh-CN"' in stranger
    assert EVIL not in stranger
    assert "&lt;script&gt;alert(1)" in stranger
    kept = stage.client("viewer")
    stage.post(kept, "/language", "/profile/", language="en")
    assert '<html lang="en"' in kept.get("/").text, "whoever has chosen keeps it"
    chinese = stage.client("auditor").get("/audit/?q=settings.change").text
    assert "更改控制台的设置" in chinese
    answer = stage.post(boss, there, there, **wanted | {"session_unused_minutes": "1"})
    assert answer.status_code == 422
    assert "5" in answer.text
    assert EVIL not in answer.text
    assert boss.get("/settings/").text.count("60") >= 1


def test_nobody_else_does(stage):
    client = stage.client("coordinator")
    form = {"csrf_token": csrf_of(client, "/profile/"), "notice": "mine"}
    assert client.post("/settings/change", data=form).status_code == 403
    assert "mine" not in client.get("/").text


API = "/api/v1/settings"


def token_of(stage, name: str, *scopes: str) -> dict[str, str]:
    who = identity(stage.console.accounts, name)
    secret = tokens.make_token(stage.console.database, who, "t", scopes, 1)
    return {"Authorization": f"Bearer {secret}"}


def test_a_program_reads_and_sets_what_can_be_set(stage):
    client, header = stage.client(), token_of(stage, "administrator", "settings")
    before = client.get(API, headers=header).json
    assert before["set"]["session_unused_minutes"] == 120
    wanted = {"notice": EVIL, "session_unused_minutes": 30}
    answer = client.patch(API, json=wanted, headers=header)
    assert answer.status_code == 200
    assert answer.json["set"] == {**before["set"], **wanted}
    assert "&lt;script&gt;alert(1)" in stage.client().get("/login").text
    facts = {
        fact["key"]: fact["value"] for group in answer.json["groups"] for fact in group["facts"]
    }
    assert facts["session_unused_minutes"] == "30 minutes"
    acts = audit.entries(stage.console.database, words="settings.change")
    assert {(act.actor, act.reason) for act in acts} == {
        ("administrator", "from 120 to 30"), ("administrator", f"from – to {EVIL}"),
    }  # fmt: skip
    assert client.patch(API, json={}, headers=header).json["set"] == answer.json["set"]
    assert len(audit.entries(stage.console.database, words="settings.change")) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_unused_minutes": 1},
        {"session_unused_minutes": 300, "session_longest_hours": 1},
        {"runs_at_once": "many"},
        {"language": "tlh"},
        {"notice": "x" * 301},
        {"database": "sqlite://"},
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_changes(stage, wrong):
    client, header = stage.client(), token_of(stage, "administrator", "settings")
    before = client.get(API, headers=header).json["set"]
    answer = client.patch(API, json={"notice": "new", **wrong}, headers=header)
    assert answer.status_code == 422
    assert answer.json["error"]["message"]
    assert client.get(API, headers=header).json["set"] == before


def test_settings_are_set_by_who_may_and_says_so_lately(stage, monkeypatch):
    client = stage.client()
    for header in (
        token_of(stage, "administrator", "read"),
        token_of(stage, "auditor", "settings"),
        token_of(stage, "coordinator", "settings"),
    ):
        assert client.get(API, headers=header).status_code == 200
        assert client.patch(API, json={"notice": "x"}, headers=header).status_code == 403
    boss = stage.client("administrator")
    forged = boss.patch(API, json={"notice": "x"})
    assert forged.status_code == 400
    header = {"X-CSRFToken": csrf_of(boss, "/profile/")}
    monkeypatch.setattr("medfed.services.accounts.login.confirmed", lambda *_: False)
    late = boss.patch(API, json={"notice": "x"}, headers=header)
    assert (late.status_code, late.json["error"]["kind"]) == (403, "Unconfirmed")
    monkeypatch.undo()
    assert boss.patch(API, json={"notice": "x"}, headers=header).status_code == 200
