"""Jobs have processes that may be lost."""

from __future__ import annotations

import time

import pytest
from consoles import hospital_of
from hospitals import Sender, series_zip

from medfed.core.errors import AccessError
from medfed.services.accounts import Identity
from medfed.services.federation.alone import alone
from medfed.services.hospital import work
from medfed.services.hospital.jobs import FAILED, FINISHED, QUEUED, RUNNING
from medfed.services.hospital.keeper import ATTEMPTS, Keeper
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database.tables import JobRow

STEWARD = Identity(id=2, name="data-steward", rights=frozenset({"data.*"}))


@pytest.fixture
def stage(tmp_path):
    return hospital_of(tmp_path / "hospital")


@pytest.fixture
def keeper(stage) -> Keeper:
    console = stage.console
    return Keeper(console.database, console.place.path, console.hospital)


def put(stage, job: str, **values) -> None:
    with stage.console.database.write() as session:
        row = session.get_one(JobRow, job)
        for name, value in values.items():
            setattr(row, name, value)


def until_over(stage, keeper, job: str) -> JobRow:
    end = time.monotonic() + 120
    while (row := stage.console.hospital.jobs.find(job)).state in (QUEUED, RUNNING):
        assert time.monotonic() < end
        keeper.tick()
        time.sleep(0.1)
    while keeper._children:
        keeper.tick()
        time.sleep(0.05)
    return row


def test_a_job_is_done_by_a_process_of_its_own(stage, keeper, tmp_path):
    sender = Sender(stage)
    job = sender.begin()
    sender.send(job, "a.zip", series_zip(tmp_path / "ct"))
    sender.call("POST", f"imports/{job}/start")
    row = until_over(stage, keeper, job)
    assert row.state == FINISHED, row.message
    assert len(row.result["imported"]) == 1
    assert row.attempts == 1


def test_a_job_whose_process_is_lost_is_begun_again_and_given_up_at_last(stage, keeper):
    job = stage.console.hospital.jobs.make(STEWARD, "import", {}, action="data.add").id
    put(stage, job, state=RUNNING, attempts=ATTEMPTS - 1)
    keeper._lost(job)
    assert stage.console.hospital.jobs.find(job).state == QUEUED
    put(stage, job, state=RUNNING, attempts=ATTEMPTS)
    keeper._lost(None)
    row = stage.console.hospital.jobs.find(job)
    assert (row.state, row.ended is not None) == (FAILED, True)
    assert "ended unexpectedly" in row.message


def test_one_of_a_kind_at_a_time(stage, keeper):
    jobs = stage.console.hospital.jobs
    for _ in range(2):
        jobs.make(STEWARD, "import", {}, action="data.add")
    first = keeper._next()
    keeper._children.append(type("Child", (), {"kind": "import", "job": first.id})())
    assert keeper._next() is None
    keeper._children.clear()
    assert keeper._next().id != first.id


def test_only_one_keeps_the_jobs_of_a_console(stage, keeper):
    with alone(stage.console.place.path, "jobs"):
        job = stage.console.hospital.jobs.make(STEWARD, "import", {}, action="data.add").id
        keeper.start()
        time.sleep(1.0)
        assert stage.console.hospital.jobs.find(job).state == QUEUED
        keeper.stop()


def test_what_is_open_for_long_is_forgotten(stage, keeper, monkeypatch):
    sender = Sender(stage)
    old, new = sender.begin(), sender.begin()
    sender.send(old, "a.raw", b"abc")
    hospital = stage.console.hospital
    created = hospital.jobs.find(old).created
    put(stage, old, created=created.replace(year=created.year - 1))
    with stage.console.database.write() as session:
        for row in hospital.uploads.of_job(old):
            session.merge(row).updated = created.replace(year=created.year - 1)
    keeper.forget_old()
    assert not hospital.jobs.folder(old).exists()
    with pytest.raises(Missing):
        hospital.jobs.find(old)
    assert hospital.jobs.find(new)


def test_who_may_not_asks_for_no_job(stage):
    jobs = stage.console.hospital.jobs
    with pytest.raises(AccessError):
        jobs.make(Identity(id=3, name="viewer"), "import", {}, action="data.add")
    job = jobs.make(STEWARD, "import", {}, action="data.add").id
    with pytest.raises(Conflict):
        jobs.queue(STEWARD, job)
    with pytest.raises(Missing):
        jobs.find(job, kind="predict")
    with pytest.raises(Missing):
        jobs.find(job, owner="other")


def test_each_kind_has_somebody_who_does_it():
    for kind in work.HANDLERS:
        assert callable(work.handler(kind))
