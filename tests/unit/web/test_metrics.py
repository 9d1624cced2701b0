"""What Prometheus reads of a console."""

from __future__ import annotations

import json
from base64 import b64encode

import databases
from accounting import FAST, PASSWORD, identity
from consoles import Stage, peopled
from prometheus_client.parser import text_string_to_metric_families

from medfed.services.accounts import tokens
from medfed.services.accounts.roles import ROLES
from medfed.services.console import Console
from medfed.storage.database.mirrored import OLDEST
from medfed.storage.database.types import now
from medfed.web import WebOptions, create_app

Found = dict[tuple[str, frozenset], float]


def token_of(stage) -> str:
    who = identity(stage.console.accounts, "auditor")
    return tokens.make_token(stage.console.database, who, "prometheus", ["metrics"], 1)


def read(stage, secret: str = "") -> Found:
    """All samples, as Prometheus itself parses them."""
    secret, client = secret or token_of(stage), stage.client()
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    there = {"Authorization": f"Bearer {secret}"}
    assert client.get("/api/v1/users", headers=there).status_code == 403
    assert answer.mimetype == "text/plain"
    return parsed(answer.text)


def parsed(text: str) -> Found:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Found, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_what_a_coordinators_console_does_is_told(stage):
    client = stage.client("viewer")
    for path in ("/studies/", "/no-such-page", "/api/v1/studies", "/users/"):
        client.get(path)
    outbox = stage.console.place.path / "runs" / "r.outbox.jsonl"
    outbox.write_text(json.dumps([[1, "t", {}], [2, "t", {}]]) + "\n")
    (outbox.with_name("damaged.outbox.jsonl")).write_text("{\n")
    socket = stage.app.extensions["medfed-live"].test_client(stage.app, flask_test_client=client)
    found = read(stage)
    assert value(found, "medfed_runs", state="finished") == 1
    assert value(found, "medfed_runs", state="running") == 0
    assert value(found, "medfed_sites", state="local") == 1
    assert value(found, "medfed_events") == 8
    assert value(found, "medfed_sessions") == 2
    assert value(found, "medfed_people_online") == 2
    assert value(found, "medfed_live_pages") == 1
    assert value(found, "medfed_outbox_events") == 2
    assert value(found, "medfed_degraded") == 0
    assert value(found, "medfed_free_bytes") > 0
    assert value(found, "medfed_refused_last_hour", action="user.read") == 1
    assert value(found, "medfed_http_requests_total", method="GET", status="4xx") == 2
    assert value(found, "medfed_http_requests_total", method="GET", status="2xx") >= 2
    assert value(found, "medfed_http_request_seconds_count", kind="api") == 1
    assert value(found, "process_cpu_seconds_total") > 0
    (build,) = (labels for name, labels in found if name == "medfed_build_info")
    assert {"version", "python"} == set(dict(build))
    socket.disconnect()
    assert value(read(stage), "medfed_live_pages") == 0


def test_a_strange_method_makes_no_label_of_its_own(stage):
    stage.client().open("/", method="EVIL\N{SNOWMAN}")
    methods = {dict(labels).get("method") for _name, labels in read(stage)}
    assert methods <= {None, "GET", "POST", "other"}


def test_no_label_names_anybody_or_anything(stage):
    client = stage.client("viewer")
    client.get(f"/runs/{stage.run}")
    client.get("/users/alice")
    stage.post(stage.client(), "/login", name=PASSWORD, password="x")
    text = str(read(stage))
    for secret in ("viewer", "alice", stage.run, PASSWORD, "north", "127.0.0.1"):
        assert secret not in text, secret


def test_a_hospitals_console_tells_of_its_jobs_and_what_it_received(hospital):
    steward = identity(hospital.console.accounts, "data-steward")
    secret = tokens.make_token(hospital.console.database, steward, "t", ["data"], 1)
    token = {"Authorization": f"Bearer {secret}"}
    client = hospital.client()
    job = client.post("/api/v1/imports", json={}, headers=token).json["id"]
    encoded = b64encode(job.encode()).decode()
    metadata = f"import {encoded},filename {b64encode(b'ct.mhd').decode()}"
    tus = {**token, "Tus-Resumable": "1.0.0"}
    made = client.post(
        "/api/v1/uploads",
        headers={**tus, "Upload-Length": "5", "Upload-Metadata": metadata},
    )
    assert made.status_code == 201, made.text
    sent = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert client.patch(made.headers["Location"], data=b"12345", headers=sent).status_code == 204
    found = read(hospital)
    assert value(found, "medfed_upload_bytes_total") == 5
    assert value(found, "medfed_jobs", state="open") == 1
    assert value(found, "medfed_http_request_seconds_count", kind="upload") == 2
    assert not any(name == "medfed_sites" for name, _ in found)


def test_figures_are_told_while_the_database_is_away(tmp_path, postgres, monkeypatch):
    with databases.postgres_database(postgres) as url:
        console = peopled(Console.open(tmp_path / "console", url, bcrypt_rounds=FAST))
        stage = Stage(console, create_app(console, WebOptions(live=False)), 0, "")
        secret = token_of(stage)
        assert value(read(stage, secret), "medfed_database_away") == 0
        there = {"Authorization": f"Bearer {secret}"}
        with databases.away(console.database):  # and there is no mirror yet
            found = parsed(stage.client().get("/metrics", headers=there).text)
            assert value(found, "medfed_database_away") == 1
            assert not any(name == "medfed_users" for name, _ in found)
        console.database.look()
        console.database.mirror()
        with databases.away(console.database):
            answer = stage.client().get("/metrics", headers=there)
            assert answer.status_code == 200, answer.text
            found = parsed(answer.text)
            assert value(found, "medfed_database_away") == value(found, "medfed_degraded") == 1
            assert value(found, "medfed_users") == len(ROLES) + 1
            assert value(found, "process_cpu_seconds_total") > 0
            assert stage.client().get("/api/v1/users", headers=there).status_code == 403
            monkeypatch.setattr(tokens, "now", lambda: now() + OLDEST)
            assert stage.client().get("/metrics", headers=there).status_code == 503
            monkeypatch.undo()
        console.database.look()
        assert stage.client().get("/metrics", headers=there).status_code == 200
        who = identity(console.accounts, "auditor")
        tokens.revoke_token(console.database, who, tokens.tokens_of(console.database, who)[0].id)
        with databases.away(console.database):
            assert stage.client().get("/metrics", headers=there).status_code == 503
        console.close()
