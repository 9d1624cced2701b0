"""The pages of roles, and the API's."""

from __future__ import annotations

import html
import re

from accounting import PASSWORD
from consoles import csrf_of

from medfed.services import audit
from medfed.services.accounts import role_rights
from medfed.services.accounts.roles import ACTIONS, EVERYBODY

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
