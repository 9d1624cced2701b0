"""The API: one shape of errors, pages of lists, and nothing that brings it down."""

from __future__ import annotations

import tomllib

import pytest
import schemathesis
from accounting import BREAST_CANCER, EXAMPLES, identity
from consoles import WANG, csrf_of, finish
from hypothesis import HealthCheck, given, settings

from medfed.core.files import write_json
from medfed.core.study_file import parse_study
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


def test_a_plan_is_written_as_text_and_checked(call):
    plan = tomllib.loads(BREAST_CANCER)
    answer = call("POST", "/studies/compose", json={"plan": plan}).json
    assert (answer["ok"], answer["digest"]) == (True, parse_study(BREAST_CANCER).digest)
    assert answer["toml"].startswith("title = ")
    plan["min_sites"] = 9
    problem = call("POST", "/studies/compose", json={"plan": plan}).json["problems"][0]
    assert (problem["field"], problem["line"]) == ("min_sites", 5)
    deep: dict = {}
    for _ in range(900):
        deep = {"a": deep}
    assert call("POST", "/studies/compose", json={"plan": deep}).status_code < 500


def test_a_comparison_over_the_api(call, stage):
    asked = call("POST", "/studies/1/comparisons", json={"seeds": 2, "strategies": ["fedprox"]})
    assert (asked.status_code, asked.json["kind"]) == (201, "comparison")
    assert call("GET", f"/runs/{asked.json['id']}/comparison").status_code == 404
    assert call("POST", "/studies/1/comparisons", json={"recipes": ["x"]}).status_code == 422
    assert call("POST", "/studies/1/runs?engine=pigeon").status_code == 422
    second = stage.console.runs.start(WANG, stage.study)
    finish(stage.console, second)
    beside = call("GET", f"/runs/side-by-side?run={stage.run}&run={second.id}").json
    assert beside["figures"][0]["values"][0]["value"] == 0.91
    assert call("GET", f"/runs/side-by-side?run={stage.run}").status_code == 422


def test_what_inputs_are_worth_as_json_and_as_a_picture(call, stage):
    path = f"/runs/{stage.run}/feature-importance"
    assert call("GET", path).status_code == 404
    worth = {"radius": {"value": 0.2, "low": 0.1, "high": 0.3}, "area": {"value": 0.4}}
    folder = stage.console.place.run_folder(stage.run)
    write_json(folder / "result.json", {"importance": worth})
    found = call("GET", path).json
    assert [each["name"] for each in found["inputs"]] == ["area", "radius"]
    assert found["metric"] == "auc"
    picture = call("GET", f"{path}.png")
    assert (picture.mimetype, picture.data[:4]) == ("image/png", b"\x89PNG")
    viewer = stage.client("viewer")
    drawn = viewer.get(f"/api/v1/runs/{stage.run}/feature-importance.svg")
    assert drawn.mimetype == "image/svg+xml"
    assert "when the input is shuffled" in drawn.text
    stage.post(viewer, "/language", "/", language="zh_Hans_CN")
    chinese = viewer.get(f"/api/v1/runs/{stage.run}/feature-importance.svg").text
    assert "when the input is shuffled" not in chinese
    assert "radius" in chinese
    alias = viewer.get(f"/api/runs/{stage.run}/feature-importance.png")
    assert (alias.headers["Content-Language"], alias.data[:4]) == ("zh-CN", b"\x89PNG")
    assert alias.data != picture.data
    stage.post(viewer, "/language", "/", language="en")
    again = viewer.get(f"/api/runs/{stage.run}/feature-importance.png")
    assert (again.headers["Content-Language"], again.data) == ("en", picture.data)
    assert viewer.get(f"/api/runs/{stage.run}/feature-importance").json == found
    page = viewer.get(f"/runs/{stage.run}").text
    assert "data-importance" in page
    assert "<b>0.200</b>" in page


def test_privacy_is_told_only_where_a_ledger_says_so(call, stage):
    path = f"/runs/{stage.run}/privacy"
    assert call("GET", path).json == {"privacy": None}
    spent = [{"site": "north", "unit": "patient", "epsilon": 1.5, "delta": 1e-5, "entries": 3}]
    folder = stage.console.place.run_folder(stage.run)
    write_json(folder / "result.json", {"privacy": {"spent": spent, "elsewhere": []}})
    assert call("GET", path).json["privacy"]["spent"] == spent


def test_releases_over_the_api(call, stage):
    made = call("POST", "/models/1/releases", json={"site": "north"})
    assert (made.status_code, made.json["releases"][0]["site"]) == (201, "north")
    assert call("DELETE", "/models/1/releases/south").status_code == 404
    assert call("DELETE", "/models/1/releases/north").json["releases"] == []
    known = call("GET", f"/models/by-digest/{'ab' * 32}").json
    assert (known["id"], known["withdrawn"]) == (1, None)
    withdrawn = call("POST", "/models/1/withdraw", json={"reason": "wrong labels"}).json
    assert withdrawn["reason"] == "wrong labels"
    assert call("GET", f"/models/by-digest/{'ab' * 32}").json["withdrawn"]
    assert call("POST", "/models/1/withdraw", json={"reason": "again"}).status_code == 409
    assert call("GET", f"/runs/{stage.run}/files/model.safetensors").status_code == 409
    assert call("GET", "/models/by-digest/none").status_code == 404
    write_json(stage.console.place.run_folder(stage.run) / "model_card.json", {"schema": 1})
    with call("GET", "/models/1/card") as card:
        assert card.json == {"schema": 1}


def test_the_parts_are_explained(call):
    answer = call("GET", "/parts").json
    lr = answer["parts"]["strategy"]["fedavg"]["options"][0]
    assert (lr["name"], lr["form"], lr["default"], lr["above"]) == ("lr", "number", 0.1, 0)
    assert "pooled" not in answer["parts"]["source"]
    assert answer["fields"]["cohort.where"]["form"] == "texts"
    assert answer["fields"]["title"]["required"]


def test_a_study_is_copied(call):
    copy = call("POST", "/studies", json={"toml": BREAST_CANCER}).json["id"]
    made = call("POST", f"/studies/{copy}/duplicate")
    assert (made.status_code, made.json["state"]) == (201, "draft")
    assert made.json["title"].endswith("(2)")
    assert call("POST", "/studies/99/duplicate").status_code == 404


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


def test_health(stage):
    client = stage.app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ok"}


def test_not_ready_without_a_database(stage, monkeypatch):
    monkeypatch.setattr(type(stage.console.database), "alive", lambda self: False)
    assert stage.app.test_client().get("/readyz").status_code == 503


# --- whatever anybody sends -----------------------------------------------------------------------


FACES = [
    ("stage", "coordinator", 41),
    ("hospital", "data-steward", 44),
    ("clinic", "clinician", 44),
]


@pytest.mark.parametrize(("face", "name", "count"), FACES[:2])
def test_nothing_that_is_sent_brings_the_api_down(request, face, name, count):
    send_anything(request, face, name, count, examples=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("face", "name", "count"), FACES)
def test_however_much_is_sent_the_api_stays_up(request, face, name, count):
    send_anything(request, face, name, count, examples=20)


def send_anything(request, face: str, name: str, count: int, examples: int) -> None:
    """Call every operation with what its description allows, as somebody who may."""
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

        @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            answer = case.call(headers=headers)
            assert answer.status_code < 500, (case, answer.text)
            if answer.status_code >= 400:
                assert set(answer.json()) == {"error"}, answer.text

        holds()
        tried.add(operation.label)
    assert len(tried) >= count


def test_a_plan_is_explained_before_it_is_kept(stage):
    client = stage.client("researcher")
    token = {"X-CSRFToken": csrf_of(client, "/profile/")}
    plan = tomllib.loads((EXAMPLES / "breast_cancer_secure.toml").read_text("utf-8"))

    def ask(**changes):
        there = "/api/v1/studies/protections"
        return client.post(there, json={"plan": {**plan, **changes}}, headers=token)

    (said,) = ask().json["protections"]
    assert said["name"] == "secure-sum"
    assert said["sentences"][0].startswith("Protects each site's update")
    assert ask(aggregator={"name": "mean"}, report="sites").json == {"protections": []}
    wrong = ask(rounds=0)
    assert (wrong.status_code, wrong.json["error"]["problems"][0]["field"]) == (422, "rounds")
