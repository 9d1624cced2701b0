"""The page of the record: what is asked for, and taken along."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import databases
import pytest
from accounting import FAST
from consoles import Stage, peopled
from sqlalchemy import update

from medfed.services import audit
from medfed.services.console import Console
from medfed.storage.database.tables import AuditRow
from medfed.storage.database.types import now
from medfed.web import WebOptions, create_app


@pytest.fixture
def auditor(stage):
    """Somebody who looks; before, a stranger typed a formula for a name, and a role was denied."""
    stage.post(stage.client(), "/login", name="=cmd()", password="x")
    assert stage.client("viewer").get("/users/").status_code == 403
    return stage.client("auditor")


def rows_of(client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/audit/record.csv?{query}")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == "attachment; filename=record.csv"
    assert answer.data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))


def test_what_is_asked_for_is_shown_and_taken_along(stage, auditor):
    denied = auditor.get("/audit/?outcome=denied").text
    assert "user.read" in denied
    assert "study.approve" not in denied
    assert "study.approve" in auditor.get("/audit/?outcome=done").text
    assert "outcome=denied" in denied, "the file holds the same"
    everything, refused = rows_of(auditor), rows_of(auditor, "outcome=denied")
    assert {row["allowed"] for row in refused} == {"False"}
    assert [row for row in everything if row["allowed"] == "False"] == refused
    assert [row["subject"] for row in rows_of(auditor, "q=user.read")] == ["/users/"]
    assert everything[0]["reason"] == "exported", "whoever takes the record along is in it"
    assert (everything[0]["actor"], everything[0]["action"]) == ("auditor", "audit.read")
    assert len(everything) == len(audit.entries(stage.console.database, limit=9999)) - 2


def test_days_are_bounds_and_nonsense_is_none(stage, auditor):
    with stage.console.database.write() as session:
        long_ago = update(AuditRow).where(AuditRow.action == "study.approve")
        session.execute(long_ago.values(at=now() - timedelta(days=10)))
    yesterday, last_week = (now().date() - timedelta(days=days) for days in (1, 7))
    assert "study.approve" not in auditor.get(f"/audit/?since={yesterday}").text
    old = rows_of(auditor, f"until={last_week}")
    assert [row["action"] for row in old] == ["study.approve"]
    api = auditor.get(f"/api/v1/audit?until={last_week}").json["items"]
    assert [row["action"] for row in api] == ["study.approve"]
    assert auditor.get("/api/v1/audit?allowed=false&q=user.read").json["total"] == 1
    assert auditor.get("/api/v1/audit?since=never").status_code == 422
    for nonsense in ("since=never&until=9999-12-31&outcome=perhaps", "until=0001-01-01"):
        assert auditor.get(f"/audit/?{nonsense}").status_code == 200


def test_a_long_record_is_whole_and_no_cell_is_a_formula(stage, auditor, monkeypatch):
    monkeypatch.setattr("medfed.web.pages.audit.AT_ONCE", 3)
    rows = rows_of(auditor)
    numbers = [int(row["id"]) for row in rows]
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(rows) == len(audit.entries(stage.console.database, limit=9999))
    with stage.console.database.write() as session:
        session.execute(update(AuditRow).where(AuditRow.id == numbers[-1]).values(subject="=1+1"))
    assert rows_of(auditor)[-1]["subject"] == "'=1+1"


@pytest.mark.needs_package("postgresql")
def test_a_record_that_is_cut_off_says_so_in_its_last_line(tmp_path, postgres, monkeypatch):
    monkeypatch.setattr("medfed.web.pages.audit.AT_ONCE", 2)
    with databases.postgres_database(postgres) as url:
        console = peopled(Console.open(tmp_path / "console", url, bcrypt_rounds=FAST))
        stage = Stage(console, create_app(console, WebOptions(live=False)), 0, "")
        auditor = stage.client("auditor")
        assert "NOT COMPLETE" not in auditor.get("/audit/record.csv").text
        console.database.mirror()  # from now on a copy is read where the database is away
        began = auditor.get("/audit/record.csv", buffered=False)
        pieces = began.iter_encoded()
        lines = [next(pieces), next(pieces)]
        with databases.away(console.database):
            lines += pieces
            whole = b"".join(lines).decode("utf-8-sig").splitlines()
            assert len(whole) == 4, "the first two acts were sent before"
            assert whole[-1].startswith("THE RECORD IS NOT COMPLETE")
            last = auditor.get("/audit/record.csv").text.splitlines()[-1]
            assert "NOT COMPLETE" in last, "nor is one that began while the database was away"
        began.close()
        console.close()
