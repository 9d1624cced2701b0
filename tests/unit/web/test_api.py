"""The API: one shape of errors, pages of lists, and nothing that brings it down."""

from __future__ import annotations

import pytest
import schemathesis
from accounting import BREAST_CANCER, identity
from consoles import csrf_of
from hypothesis import HealthCheck, given, settings

from medfed.services.accounts import tokens

BASE = "/api/v1"


@pytest.fixture
def call(stage):
    """Calls the API as a coordinator's program does."""
    return caller(stage, "coordinator", ["read", "studies", "runs", "models"])


def caller(stage, name: str, scopes: list[str]):
    accounts = stage.console.accounts
    secret = tokens.make_token(accounts.database, identity(accounts, name), "t", scopes, 1)
    client = stage.app.test_client()

    def call(method: str, path: str, **more):
        headers = {"Authorization": f"Bearer {secret}"}
        return client.open(BASE + path, method=method, headers=headers, **more)

    return call


def test_a_study_from_its_text_to_a_run(call, stage):
    made = call("POST", "/studies", json={"toml": BREAST_CANCER})
    assert made.status_code == 201
    number, digest = made.json["id"], made.json["digest"]
    refused = call("POST", f"/studies/{number}/runs")
    assert (refused.status_code, refused.json["error"]["kind"]) == (409, "Conflict")
    assert call("POST", f"/studies/{number}/approve", json={"digest": digest}).status_code == 200
    run = call("POST", f"/studies/{number}/runs")
    assert (run.status_code, run.json["state"]) == (201, "queued")
    assert call("POST", f"/runs/{run.json['id']}/stop").json["state"] == "stopped"
    changed = call("PUT", f"/studies/{number}", json={"toml": BREAST_CANCER + "#\n", "version": 1})
    assert (changed.json["version"], changed.json["state"]) == (2, "approved")
    stale = call("PUT", f"/studies/{number}", json={"toml": BREAST_CANCER, "version": 1})
    assert stale.status_code == 409


def test_a_finished_run_and_its_model(call, stage):
    assert call("GET", f"/runs/{stage.run}").json["state"] == "finished"
    rounds = call("GET", f"/runs/{stage.run}/rounds").json
    assert [each["round"] for each in rounds["items"]] == [0, 1, 2]
    assert rounds["items"][0]["site_metrics"]["south"] == {"auc": None}
    events = call("GET", f"/runs/{stage.run}/events?after=5&limit=2").json
    assert [each["number"] for each in events["items"]] == [6, 7]
    assert events["total"] == 8
    assert events["items"][-1]["text"] == "Round 2 is finished: 1 hospitals, 0.50 s."
    (model,) = call("GET", "/models").json["items"]
    assert model["metrics"]["overall"]["auc"]["low"] == 0.85
    with call("GET", f"/runs/{stage.run}/files/model.safetensors") as answer:
        assert answer.data == b"model"


def test_lists_come_in_pages(call, stage):
    for _ in range(3):
        call("POST", "/studies", json={"toml": BREAST_CANCER})
    first = call("GET", "/studies?limit=2").json
    second = call("GET", "/studies?limit=2&offset=2").json
    assert [each["id"] for each in first["items"] + second["items"]] == [4, 3, 2, 1]
    assert first["total"] == 4


def test_users_over_the_api(stage):
    call = caller(stage, "administrator", ["users", "read"])
    new = {"name": "li.wei", "roles": ["viewer"]}
    assert call("POST", "/users", json=new).status_code == 403  # no token makes users
    browser = stage.client("administrator")
    header = {"X-CSRFToken": csrf_of(browser, "/profile/")}
    made = browser.post(f"{BASE}/users", json=new, headers=header)
    assert made.status_code == 201
    assert made.json["password"]
    change = {"full_name": "Li Wei", "roles": ["auditor"], "active": True}
    changed = browser.put(f"{BASE}/users/li.wei", json=change, headers=header)
    assert changed.json["roles"] == ["auditor"]
    assert "li.wei" in [user["name"] for user in call("GET", "/users").json["items"]]
    acts = call("GET", "/audit?q=user.manage&limit=1").json["items"]
    assert acts[0]["subject"] == "user li.wei"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/studies/999", None, 404),
        ("GET", "/nowhere", None, 404),
        ("DELETE", "/studies", None, 405),
        ("GET", "/studies?limit=0", None, 422),
        ("GET", "/studies?limit=many", None, 422),
        ("POST", "/studies", {"toml": "title = 3"}, 422),
        ("POST", "/studies", {}, 422),
        ("POST", "/studies", [1], 422),
        ("POST", "/users", {"name": "x y", "roles": []}, 403),
    ],
)
def test_errors_have_one_shape(call, method, path, body, status):
    answer = call(method, path, **({} if body is None else {"json": body}))
    assert answer.status_code == status, answer.text
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"kind", "message", "remedy", "problems"}
    assert answer.json["error"]["message"]


def test_what_is_wrong_with_a_field_is_named(call):
    answer = call("POST", "/studies", json={"toml": "title = 3"})
    problems = {each["field"] for each in answer.json["error"]["problems"]}
    assert {"title", "sites", "task"} <= problems
    answer = call("GET", "/studies?limit=0")
    assert answer.json["error"]["problems"][0]["field"] == "limit"


def test_the_description_is_openapi_3_1(call):
    spec = call("GET", "/openapi.json").json
    assert spec["openapi"].startswith("3.1")
    assert all(path.startswith(BASE) for path in spec["paths"])
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                assert operation["summary"], path
                assert {"401", "403"} <= set(operation["responses"]), path


def test_metrics_and_health(stage):
    client = stage.app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ok"}
    text = stage.client("auditor").get("/metrics").text
    assert 'medfed_runs{state="finished"} 1.0' in text
    assert "medfed_events 8.0" in text


def test_not_ready_without_a_database(stage, monkeypatch):
    monkeypatch.setattr(type(stage.console.database), "alive", lambda self: False)
    assert stage.app.test_client().get("/readyz").status_code == 503


# --- whatever anybody sends -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("face", "name", "count"),
    [("stage", "coordinator", 19), ("hospital", "data-steward", 31), ("clinic", "clinician", 31)],
)
def test_nothing_that_is_sent_brings_the_api_down(request, face, name, count):
    stage = request.getfixturevalue(face)
    accounts = stage.console.accounts
    boss = identity(accounts, "administrator")
    accounts.change(boss, name, full_name="", roles=[name, "administrator"], active=True)
    who = identity(accounts, name)
    secret = tokens.make_token(accounts.database, who, "fuzz", list(tokens.SCOPES), 1)
    headers = {"Authorization": f"Bearer {secret}"}
    schema = schemathesis.openapi.from_wsgi(f"{BASE}/openapi.json", stage.app, headers=headers)
    tried = set()
    for operation in (result.ok() for result in schema.get_all_operations()):

        @settings(max_examples=10, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            answer = case.call(headers=headers)
            assert answer.status_code < 500, (case, answer.text)
            if answer.status_code >= 400:
                assert set(answer.json()) == {"error"}, answer.text

        holds()
        tried.add(operation.label)
    assert len(tried) >= count
