"""Who may call which route: every route times every role."""

from __future__ import annotations

import re

import pytest
from accounting import FAST, identity
from consoles import Stage, csrf_of

from medfed.services.accounts import may, role_rights, tokens
from medfed.services.accounts.roles import ACTIONS, ROLES
from medfed.services.console import Console, Faces
from medfed.services.sites import create_site
from medfed.web import WebOptions, create_app
from medfed.web.rules import KNOWN, PUBLIC, rule_of

# What takes part in the matrix; a new route must be entered here with what it needs.
ALWAYS = {
    "access.confirm": KNOWN,
    "access.language": PUBLIC,
    "access.login": PUBLIC,
    "access.logout": KNOWN,
    "access.password": KNOWN,
    "api.people.change_role": "user.manage",
    "api.people.change_user": "user.manage",
    "api.people.create_user": "user.manage",
    "api.people.get_me": KNOWN,
    "api.people.make_role": "user.manage",
    "api.people.remove_role": "user.manage",
    "api.people.rename_role": "user.manage",
    "api.people.list_acts": "audit.read",
    "api.people.list_roles": "user.read",
    "api.people.list_users": "user.read",
    "api.settings.change_settings": "settings.change",
    "api.settings.get_settings": "settings.read",
    "audit.export": "audit.read",
    "audit.index": "audit.read",
    "guide.index": "help.read",
    "guide.page": "help.read",
    "health.healthz": PUBLIC,
    "health.metrics": "metrics.read",
    "health.readyz": PUBLIC,
    "openapi.spec": "help.read",
    "outside.ask": PUBLIC,
    "outside.back": PUBLIC,
    "overview.index": "overview.read",
    "people.edit": "user.manage",
    "people.index": "user.read",
    "people.new": "user.manage",
    "people.new_password": "user.manage",
    "profile.end_session": "session.revoke",
    "profile.index": "session.read",
    "profile.make_token": "token.manage",
    "profile.revoke_token": "token.manage",
    "roles.edit": "user.manage",
    "roles.index": "user.read",
    "roles.new": "user.manage",
    "roles.remove": "user.manage",
    "roles.rename": "user.manage",
    "settings.change": "settings.change",
    "settings.index": "settings.read",
    "static": PUBLIC,
}
COORDINATOR = {
    "aliases.get_importance": "run.read",
    "aliases.get_importance_png": "run.read",
    "api.models.get_card": "model.read",
    "api.models.get_model": "model.read",
    "api.models.get_model_by_digest": "model.read",
    "api.models.list_models": "model.read",
    "api.models.release_model": "model.release",
    "api.models.take_back_model": "model.release",
    "api.models.withdraw_model": "model.withdraw",
    "api.parts.list_parts": "study.read",
    "api.runs.compare_runs": "run.read",
    "api.runs.get_comparison": "run.read",
    "api.runs.get_file": "model.download",
    "api.runs.get_importance": "run.read",
    "api.runs.get_importance_png": "run.read",
    "api.runs.get_importance_svg": "run.read",
    "api.runs.get_privacy": "run.read",
    "api.runs.get_run": "run.read",
    "api.runs.list_events": "run.read",
    "api.runs.list_rounds": "run.read",
    "api.runs.list_runs": "run.read",
    "api.runs.resume_run": "run.stop",
    "api.runs.stop_run": "run.stop",
    "api.sites.invite_site": "site.invite",
    "api.sites.list_sites": "overview.read",
    "api.studies.approve_study": "study.approve",
    "api.studies.change_study": "study.edit",
    "api.studies.check_study": "study.read",
    "api.studies.compose_study": "study.read",
    "api.studies.create_study": "study.create",
    "api.studies.duplicate_study": "study.create",
    "api.studies.explain_protections": "study.read",
    "api.studies.get_study": "study.read",
    "api.studies.list_studies": "study.read",
    "api.studies.start_comparison": "run.start",
    "api.studies.start_run": "run.start",
    "comparisons.file": "run.read",
    "comparisons.index": "run.read",
    "comparisons.new": "run.start",
    "models.index": "model.read",
    "models.release": "model.release",
    "models.show": "model.read",
    "models.withdraw": "model.withdraw",
    "runs.download": "model.download",
    "runs.index": "run.read",
    "runs.report": "run.read",
    "runs.resume": "run.stop",
    "runs.show": "run.read",
    "runs.stop": "run.stop",
    "sites.index": "overview.read",
    "sites.invite": "site.invite",
    "studies.approve": "study.approve",
    "studies.check_text": "study.read",
    "studies.duplicate": "study.create",
    "studies.edit": "study.edit",
    "studies.edit_by_wizard": "study.edit",
    "studies.index": "study.read",
    "studies.new": "study.create",
    "studies.new_by_wizard": "study.create",
    "studies.show": "study.read",
    "studies.start": "run.start",
}
HOSPITAL = {
    "api.data.delete_scan": "data.delete",
    "api.data.get_scan": "data.read",
    "api.data.get_slice": "data.view",
    "api.data.list_scans": "data.read",
    "api.imports.begin_import": "data.add",
    "api.imports.drop_import": "data.add",
    "api.imports.get_import": "data.read",
    "api.imports.import_again": "data.add",
    "api.imports.list_files": "data.add",
    "api.imports.list_imports": "data.read",
    "api.imports.start_import": "data.add",
    "api.inference.create_inference": "inference.run",
    "api.inference.get_inference": "inference.view",
    "api.inference.get_released": "model.read",
    "api.inference.get_result_file": "inference.export",
    "api.inference.list_findings": "inference.view",
    "api.inference.list_inferences": "inference.read",
    "api.inference.list_released": "model.read",
    "api.inference.reopen_inference": "inference.review",
    "api.inference.repeat_inference": "inference.run",
    "api.inference.review_finding": "inference.review",
    "api.inference.send_inference": "inference.export",
    "api.inference.sign_inference": "inference.review",
    "api.inference.withdraw_released": "model.admit",
    "api.inference.ask_released": "model.admit",
    "api.participation.approve_participation": "participation.decide",
    "api.participation.dismiss_study": "participation.decide",
    "api.participation.get_participation": "participation.read",
    "api.participation.list_participation": "participation.read",
    "api.participation.propose_study": "participation.decide",
    "api.participation.withdraw_participation": "participation.decide",
    "api.privacy.get_privacy_spent": "participation.read",
    "api.privacy.list_privacy_runs": "participation.read",
    "api.privacy.set_privacy_limit": "participation.decide",
    "api.receipts.get_verdict": "receipt.read",
    "api.receipts.list_receipts": "receipt.read",
    "api.receipts.list_run_receipts": "receipt.read",
    "api.uploads.announce": "data.add",
    "api.uploads.describe": "data.add",
    "api.uploads.go_on": "data.add",
    "api.tables.delete_table": "data.delete",
    "api.tables.list_tables": "data.read",
    "data.delete": "data.delete",
    "data.index": "data.read",
    "data.picture": "data.view",
    "data.show": "data.view",
    "data.thumbnail": "data.view",
    "imports.again": "data.add",
    "imports.drop": "data.add",
    "imports.index": "data.read",
    "imports.new": "data.add",
    "imports.show": "data.read",
    "inference.again": "inference.run",
    "inference.download": "inference.export",
    "inference.form": "inference.run",
    "inference.index": "inference.read",
    "inference.judge": "inference.review",
    "inference.look": "inference.run",
    "inference.new": "inference.run",
    "inference.reopen": "inference.review",
    "inference.report": "inference.view",
    "inference.send": "inference.export",
    "inference.show": "inference.view",
    "inference.sign": "inference.review",
    "inference.view_file": "inference.view",
    "participation.approve": "participation.decide",
    "participation.dismiss": "participation.decide",
    "participation.index": "participation.read",
    "participation.propose": "participation.decide",
    "participation.show": "participation.read",
    "participation.withdraw": "participation.decide",
    "privacy.index": "participation.read",
    "privacy.set_limit": "participation.decide",
    "receipts.download": "receipt.read",
    "receipts.download_all": "receipt.read",
    "receipts.index": "receipt.read",
    "receipts.show": "receipt.read",
    "released.admit": "model.admit",
    "released.ask": "model.admit",
    "released.index": "model.read",
    "released.show": "model.read",
    "released.withdraw": "model.admit",
    "tables.delete": "data.delete",
    "tables.show": "data.read",
}
BOTH = {"taking_over.admit": "model.admit"}
"""What only a console of both faces has."""
EXPECTED = {**ALWAYS, **COORDINATOR, **HOSPITAL, **BOTH}
FILL = {"number": "1", "name": "viewer", "filename": "console.css", "sha256": "ab" * 32}
FILL |= {"scan": "s-1", "plane": "axial", "index": "1", "job": "1", "upload": "1"}
FILL |= {"inference": "x", "part": "x", "digest": "ab" * 32, "unit": "patient"}


def calls(stage) -> list[tuple[str, str, str]]:
    """Each route once for each method: endpoint, method, path."""
    found = []
    for rule in stage.app.url_map.iter_rules():
        values = {**FILL, "run": stage.run or "none"}
        if "files" in rule.rule:
            values["name"] = "model.safetensors"
        path = re.sub(r"<(?:[^:>]+:)?(\w+)>", lambda m, v=values: v[m[1]], rule.rule)
        methods = sorted(rule.methods - {"HEAD", "OPTIONS"})
        found += [(rule.endpoint, method, path) for method in methods]
    return found


@pytest.fixture(params=["coordinator", "hospital"])
def face(request) -> Stage:
    """Either console."""
    return request.getfixturevalue("stage" if request.param == "coordinator" else "hospital")


def rules_of(stage) -> dict[str, str | None]:
    endpoints = {rule.endpoint for rule in stage.app.url_map.iter_rules()}
    return {endpoint: rule_of(stage.app, endpoint) for endpoint in endpoints}


def test_every_route_has_the_rule_that_is_meant(stage, hospital):
    assert rules_of(stage) == {**ALWAYS, **COORDINATOR}
    assert rules_of(hospital) == {**ALWAYS, **HOSPITAL}
    assert {rule for rule in EXPECTED.values() if "." in rule} <= set(ACTIONS)


def test_one_console_may_show_both_faces(tmp_path):
    faces = Faces(site=tmp_path / "site")
    create_site(tmp_path / "site", "north", None)
    console = Console.open(tmp_path / "console", faces=faces, bcrypt_rounds=FAST)
    app = create_app(console, WebOptions(live=False))
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert {endpoint: rule_of(app, endpoint) for endpoint in endpoints} == EXPECTED
    assert console.first_roles == ("coordinator", "data-steward")


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_let_in_and_kept_out_as_its_rights_say(face, role):
    let_in_and_kept_out(face, role)


def test_a_role_that_was_changed_is_let_in_and_kept_out_as_its_new_rights_say(face):
    boss = identity(face.console.accounts, "administrator")
    wanted = {action: "all" for action in ACTIONS if action.endswith((".read", ".view"))}
    wanted |= {"study.edit": "own", "data.add": "all", "token.manage": "all"}
    role_rights.change_role(face.console.database, boss, "viewer", wanted)
    let_in_and_kept_out(face, "viewer")
    assert face.client("viewer").get("/audit/").status_code == 200
    wanted = dict.fromkeys(("user.read", "audit.read", "session.revoke"), "all")
    role_rights.change_role(face.console.database, boss, "viewer", wanted)
    let_in_and_kept_out(face, "viewer")
    assert face.client("viewer").get("/").status_code == 403


def let_in_and_kept_out(face, role: str) -> None:
    """Try every route as somebody with this role."""
    client = face.client(role)
    who = identity(face.console.accounts, role)
    token = csrf_of(client, "/profile/")
    # Those that end this very session come last.
    late = {"access.logout": 2, "profile.end_session": 1}
    for endpoint, method, path in sorted(calls(face), key=lambda c: late.get(c[0], 0)):
        if endpoint in late or EXPECTED[endpoint] in (PUBLIC, KNOWN):
            continue
        with client.open(path, method=method, headers={"X-CSRFToken": token}) as answer:
            answer.get_data()
        if may(who, EXPECTED[endpoint]):
            own = answer.status_code == 403 and "yours" in answer.text
            assert answer.status_code not in (401, 403, 500) or own, (endpoint, answer.text)
        else:
            assert answer.status_code == 403, (endpoint, method)


def test_strangers_are_sent_to_the_log_in_or_told_so(face):
    client = face.client()
    token = csrf_of(client)
    for endpoint, method, path in calls(face):
        if EXPECTED[endpoint] == PUBLIC:
            continue
        answer = client.open(path, method=method, headers={"X-CSRFToken": token})
        if path.startswith("/api/") or path == "/metrics":
            assert answer.status_code == 401, endpoint
        else:
            assert answer.status_code == 302, endpoint
            assert answer.headers["Location"].startswith("/login"), endpoint


def test_a_route_without_a_rule_is_open_to_nobody(stage):
    stage.app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    answer = stage.client("administrator").get("/forgotten")
    assert answer.status_code == 403
    assert "secret" not in answer.text


def test_whoever_must_change_the_password_gets_no_further(stage):
    user, password = stage.console.accounts.create(
        identity(stage.console.accounts, "administrator"), "li.wei", "", ["coordinator"]
    )
    client = stage.client()
    answer = stage.post(client, "/login", name=user.name, password=password)
    assert answer.status_code == 302
    assert client.get("/studies/").headers["Location"] == "/password"
    assert client.get("/api/v1/studies").status_code == 403
    assert client.get("/api/v1/me").status_code == 200


def test_a_researcher_touches_only_what_is_theirs(stage):
    client = stage.client("researcher")
    text = stage.console.studies.find(1).toml
    assert stage.post(client, "/studies/1/edit", toml=text, version=1).status_code == 403
    assert stage.post(client, f"/runs/{stage.run}/stop").status_code == 403
    made = stage.post(client, "/studies/new", toml=text).headers["Location"]
    assert client.get(f"{made}/edit").status_code == 200


def test_a_hospitals_token_reads_what_is_said_of_models_and_nothing_else(stage):
    who = identity(stage.console.accounts, "coordinator")
    secret = tokens.make_token(stage.console.database, who, "north", ["recall"], 1)
    headers, client = {"Authorization": f"Bearer {secret}"}, stage.client()
    digest = client.get("/api/v1/models", headers=headers).json["items"][0]["sha256"]
    assert client.get(f"/api/v1/models/by-digest/{digest}", headers=headers).status_code == 200
    for path, given in (
        ("/models/1/releases", {"site": "north"}),
        ("/models/1/withdraw", {"reason": "no"}),
    ):
        assert client.post(f"/api/v1{path}", headers=headers, json=given).status_code == 403
    gone = client.delete("/api/v1/models/1/releases/north", headers=headers)
    assert gone.status_code == 403
    for path in ("/studies", "/runs", f"/runs/{stage.run}/files/model.safetensors"):
        assert client.get(f"/api/v1{path}", headers=headers).status_code == 403


def test_a_token_reaches_only_what_it_is_for(stage):
    who = identity(stage.console.accounts, "coordinator")
    secret = tokens.make_token(stage.console.database, who, "t", ["models"], 1)
    headers = {"Authorization": f"Bearer {secret}"}
    client = stage.client()
    assert client.get("/api/v1/models", headers=headers).status_code == 200
    assert client.get("/api/v1/studies", headers=headers).status_code == 403
    # A token is never helped out by a cookie that comes along.
    wrong = {"Authorization": "Bearer medfed_wrong"}
    assert stage.client("coordinator").get("/api/v1/models", headers=wrong).status_code == 401
