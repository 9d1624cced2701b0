"""The page of settings, at a coordinator's and at a hospital's."""

from __future__ import annotations

from consoles import csrf_of

EVIL = "<script>alert(1)</script>"


def test_each_setting_says_where_it_is_set(stage, hospital):
    page = stage.client("auditor").get("/settings/").text
    for how in ("--data, MEDFED_CONSOLE", "--federation", "set on this page", "as installed"):
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
