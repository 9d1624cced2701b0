"""The pages of roles, and the API's."""

from __future__ import annotations

import html
import re
from urllib.parse import quote

from accounting import PASSWORD
from consoles import csrf_of

from medfed.services import audit
from medfed.services.accounts import role_rights
from medfed.services.accounts.roles import ACTIONS, EVERYBODY

EVIL = "<script>alert(1)</script>"
SEEN = re.compile(r'name="seen" value="([^"]*)"')


def saved(stage, client, role: str, wanted, **more):
    page = f"/users/roles/{role}"
    seen = html.unescape(SEEN.search(client.get(page).text)[1])
    return stage.post(client, page, page, seen=seen, **{**wanted, **more})


def test_whoever_sees_users_sees_every_right_in_words(stage):
    page = html.unescape(stage.client("auditor").get("/users/roles/").text)
    for action, words in ACTIONS.items():
        assert (f">{words}<" in page) == (action not in EVERYBODY), words
    assert "/users/roles/viewer" not in page
    assert "/users/roles/viewer" in stage.client("administrator").get("/users/roles/").text
    assert stage.client("viewer").get("/users/roles/").status_code == 403


def test_a_role_is_changed_and_restored_in_the_browser(stage):
    boss, held = stage.client("administrator"), role_rights.shipped("viewer")
    viewer = stage.client("viewer")
    assert viewer.get("/users/").status_code == 403
    wanted = {**held, "user.read": "all", "run.stop": "own", "study.edit": "none"}
    assert saved(stage, boss, "viewer", wanted).status_code == 302
    assert viewer.get("/users/").status_code == 200, "at once, in the session that is open"
    assert "changed here" in boss.get("/users/roles/").text
    record = stage.client("auditor").get("/audit/?q=role viewer").text
    assert "see users" in record
    assert "stop and resume runs (only their own)" in record
    assert saved(stage, boss, "viewer", {}, restore="1").status_code == 302
    assert viewer.get("/users/").status_code == 403
    assert "changed here" not in boss.get("/users/roles/").text


def test_nonsense_is_refused_in_words_and_what_was_chosen_stays(stage):
    boss = stage.client("administrator")
    answer = saved(stage, boss, "viewer", {"run.start": "all"})
    assert answer.status_code == 422
    assert "Who may start runs must also see runs." in answer.text
    assert 'name="run.start" value="all" checked' in answer.text
    answer = stage.post(boss, "/users/roles/viewer", "/users/roles/viewer", seen="{", x="y")
    assert (answer.status_code, "meanwhile" in answer.text) == (409, True)
    answer = saved(stage, boss, "administrator", {"user.read": "all"})
    assert answer.status_code == 422
    assert "Nobody would be left" in answer.text
    assert boss.get("/users/roles/emperor").status_code == 404
    chinese = stage.client("administrator")
    stage.post(chinese, "/language", "/profile/", language="zh_Hans_CN")
    assert "开始运行" in saved(stage, chinese, "viewer", {"run.start": "all"}).text


def test_the_api_lists_and_changes_roles(stage):
    boss = stage.client("administrator")
    header = {"X-CSRFToken": csrf_of(boss, "/profile/")}
    listed = {each["name"]: each for each in boss.get("/api/v1/roles").json["items"]}
    assert "study.edit:own" in listed["researcher"]["rights"]
    assert listed["viewer"]["rights"] == listed["viewer"]["shipped"]
    wanted = ["study.read", "study.edit:own"]
    made = boss.put("/api/v1/roles/viewer", json={"rights": wanted}, headers=header)
    assert (made.status_code, made.json["rights"]) == (200, wanted)
    wrong = boss.put("/api/v1/roles/viewer", json={"rights": ["a.b:c"]}, headers=header)
    assert (wrong.status_code, wrong.json["error"]["remedy"]) == (422, "Choose among those shown.")
    rows = audit.entries(stage.console.database, words="role viewer")
    assert rows[0].actor == "administrator"
    plain = stage.client()
    assert plain.get("/api/v1/roles").status_code == 401
    assert PASSWORD not in made.text


def test_a_role_of_ones_own_is_made_changed_and_removed_in_the_browser(stage):
    boss, there = stage.client("administrator"), "/users/roles/夜班 1"
    new = "/users/roles/new"
    like = boss.get(f"{new}?like=viewer").text
    assert 'name="run.read" value="all" checked' in like
    assert 'name="run.start" value="all" checked' not in like
    wrong = stage.post(boss, new, new, **{"name": "夜班 1", "about": EVIL, "run.start": "all"})
    assert wrong.status_code == 422
    assert "must also see runs" in wrong.text
    assert 'value="夜班 1"' in wrong.text
    made = {"name": "夜班 1", "about": EVIL, "run.read": "all", "run.start": "all"}
    assert stage.post(boss, new, new, **made).status_code == 302
    listed = boss.get("/users/roles/").text
    assert "夜班 1" in listed
    assert "made here" in listed
    assert EVIL not in boss.get(there).text
    assert html.escape(EVIL) in boss.get(there).text
    again = stage.post(boss, new, new, **made)
    assert (again.status_code, "There is a role of this name" in again.text) == (409, True)
    viewer = "/users/viewer"
    stage.post(boss, viewer, viewer, full_name="V", active="on", roles="夜班 1")
    assert "Remove this role" not in boss.get(there).text
    refused = stage.post(boss, f"{there}/remove", there)
    assert f'action="{quote(there)}"' in refused.text  # what is changed there is saved, not removed
    assert (refused.status_code, "viewer" in refused.text) == (409, True)
    stage.post(boss, viewer, viewer, full_name="V", active="on", roles="viewer")
    assert saved(stage, boss, "夜班 1", {}, about="nothing any more").status_code == 302
    assert "nothing any more" in boss.get(there).text
    assert stage.post(boss, f"{there}/remove", there).status_code == 302
    assert boss.get(there).status_code == 404
    told = html.unescape(stage.client("auditor").get("/audit/?q=role 夜班").text)
    assert "start runs" in told
    assert "/users/roles/new" not in stage.client("auditor").get("/users/roles/").text


def test_the_api_makes_and_removes_roles(stage):
    boss = stage.client("administrator")
    header = {"X-CSRFToken": csrf_of(boss, "/profile/")}
    wanted = {"name": "nights", "about": "at night", "rights": ["run.read", "run.stop:own"]}
    made = boss.post("/api/v1/roles", json=wanted, headers=header)
    assert made.status_code == 201
    assert made.json == {**wanted, "shipped": []}
    assert boss.post("/api/v1/roles", json=wanted, headers=header).status_code == 409
    changed = boss.put("/api/v1/roles/nights", json={"rights": []}, headers=header)
    assert (changed.json["rights"], changed.json["about"]) == ([], "at night")
    assert boss.delete("/api/v1/roles/viewer", headers=header).status_code == 409
    assert boss.delete("/api/v1/roles/nights", headers=header).status_code == 204
    assert boss.delete("/api/v1/roles/nights", headers=header).status_code == 404


def test_a_role_is_renamed_and_called_like_no_other(stage):
    boss, there = stage.client("administrator"), "/users/roles/nights"
    header = {"X-CSRFToken": csrf_of(boss, "/profile/")}
    api = "/api/v1/roles"
    for taken in ("审计员", "Data Steward", "viewer"):
        wanted = {"name": taken, "rights": []}
        assert boss.post(api, json=wanted, headers=header).status_code == 409, taken
    for name in ("nights", "days"):
        rights = {"name": name, "about": "at work", "rights": ["user.read"]}
        assert boss.post(api, json=rights, headers=header).status_code == 201
    viewer = "/users/viewer"
    stage.post(boss, viewer, viewer, full_name="V", active="on", roles="nights")
    held = stage.client("viewer")
    for taken, status in (("审计员", 409), ("days", 409), ("!", 422)):
        answer = stage.post(boss, f"{there}/rename", there, name=taken)
        assert (answer.status_code, f'value="{taken}"' in answer.text) == (status, True)
    assert stage.post(boss, f"{there}/rename", there, name="nights").status_code == 302
    assert stage.post(boss, f"{there}/rename", there, name="夜班").status_code == 302
    assert boss.get(there).status_code == 404
    page = boss.get("/users/roles/夜班").text
    assert "at work" in page
    assert ">viewer</a>" in page
    assert held.get("/users/").status_code == 200, "whoever has it keeps it"
    assert audit.entries(stage.console.database, words="role nights")[0].reason == "renamed: 夜班"
    back = boss.post(f"{api}/夜班/rename", json={"name": "Nights"}, headers=header)
    assert (back.status_code, back.json["name"], back.json["about"]) == (200, "Nights", "at work")
    assert boss.post(f"{api}/viewer/rename", json={"name": "x1"}, headers=header).status_code == 409
