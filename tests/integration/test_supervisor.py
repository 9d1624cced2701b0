"""Runs as processes: taken, killed, picked up, stopped, resumed."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from accounting import BREAST_CANCER, EXAMPLES

from medfed.core.errors import RunError
from medfed.core.files import read_lines
from medfed.services.accounts import Identity
from medfed.services.accounts.roles import ROLES
from medfed.services.console.comparisons import Comparison, Comparisons
from medfed.services.console.models import Models
from medfed.services.console.place import Place
from medfed.services.console.results import Results
from medfed.services.console.runs import Runs
from medfed.services.console.studies import Studies
from medfed.services.console.supervisor import ATTEMPTS, Supervisor
from medfed.services.preferences import DEFAULT
from medfed.storage.database.tables import RunRow
from medfed.storage.database.types import now
from medfed.storage.run_folder import RunFolder

WHO = Identity(id=1, name="wang", rights=frozenset(ROLES["coordinator"]))
SECONDS = 90
LIVES = (sys.executable, "-c", "import time; time.sleep(30)")
"""A process that takes any arguments and does nothing."""


class Stage:
    """A database, a folder and a supervisor that is told when to look."""

    def __init__(self, database, folder, **more) -> None:
        self.place = Place.open(folder)
        self.runs, self.studies = Runs(database, self.place), Studies(database)
        self.models = Models(database, self.place)
        self.supervisor = Supervisor(database, self.place, **more)

    def start(self, text: str) -> str:
        row = self.studies.create(WHO, text)
        self.studies.approve(WHO, row.id, row.digest)
        return self.runs.start(WHO, row.id).id

    def until(self, run: str, wanted) -> RunRow:
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up:
            self.supervisor.tick()
            row = self.runs.find(run)
            if wanted(row):
                return row
            time.sleep(0.05)
        log = self.place.log_file(run)
        pytest.fail(f"{row.state} {row.message}: {log.read_text() if log.exists() else 'no log'}")


@pytest.fixture
def stage_of(tmp_path) -> Iterator:
    """Makes stages upon one folder; ends what they started."""
    stages = []

    def make(database, **more) -> Stage:
        stages.append(Stage(database, tmp_path / "console", **more))
        return stages[-1]

    yield make
    for child in [child for stage in stages for child in stage.supervisor._children]:
        child.process.kill()
        child.process.wait()


@pytest.mark.slow
def test_a_comparison_runs_as_a_process_and_gives_its_answer(database, stage_of):
    stage = stage_of(database)
    text = BREAST_CANCER.replace("rounds = 15", "rounds = 2")
    row = stage.studies.create(WHO, text)
    stage.studies.approve(WHO, row.id, row.digest)
    run = stage.runs.compare(WHO, row.id, Comparison(("federated", "local"), seeds=1)).id
    end = stage.until(run, lambda row: row.state in ("finished", "failed"))
    assert (end.state, end.round, end.rounds) == ("finished", 4, 4)
    kinds = [event.kind for event in stage.runs.events(run)]
    assert kinds.count("ComparedRun") == 4
    assert "RoundFinished" not in kinds
    found = Comparisons(stage.place).answer(run)
    assert {row["recipe"] for row in found["summary"]} == {"federated", "local"}
    assert Comparisons(stage.place).file(run, "sites.png")
    assert stage.models.of_run(run) is None


@pytest.mark.slow
def test_what_a_private_run_spends_is_told_while_it_runs(database, stage_of):
    stage = stage_of(database)
    text = (EXAMPLES / "breast_cancer_dp.toml").read_text("utf-8")
    run = stage.start(re.sub(r"(?m)^rounds = \d+", "rounds = 3", text))
    end = stage.until(run, lambda row: row.state in ("finished", "failed"))
    assert end.state == "finished", end.message
    results = Results(stage.place)
    told = results.privacy(end)
    assert {each["unit"] for each in told["spent"]} == {"patient"}
    assert all(each["epsilon"] > 0 and each["entries"] for each in told["spent"])
    (stage.place.run_folder(run) / "result.json").unlink()  # as before the run was finished
    assert results.privacy(end) == told


@pytest.mark.slow
def test_a_run_goes_over_the_network_when_asked(database, stage_of):
    stage = stage_of(database)
    row = stage.studies.create(WHO, BREAST_CANCER.replace("rounds = 15", "rounds = 2"))
    stage.studies.approve(WHO, row.id, row.digest)
    run = stage.runs.start(WHO, row.id, "flower").id
    end = stage.until(run, lambda row: row.state in ("finished", "failed"))
    assert (end.state, end.round) == ("finished", 2), end.message
    assert RunFolder(stage.place.run_folder(run)).record()["engine"] == "flower"


@pytest.mark.slow
def test_a_killed_run_goes_on_and_a_stopped_one_when_asked(database, stage_of):
    stage = stage_of(database)
    run = stage.start(BREAST_CANCER.replace("rounds = 15", "rounds = 60"))
    stage.until(run, lambda row: row.round >= 3)
    (child,) = stage.supervisor._children
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    told = stage.runs.find(run).round
    stage.until(run, lambda row: row.fence == 2 and row.round > told)
    stage.runs.stop(WHO, run)
    row = stage.until(run, lambda row: row.state != "running")
    assert (row.state, row.message) == ("stopped", "")
    assert 0 < row.round < 60
    stage.runs.resume(WHO, run)
    row = stage.until(run, lambda row: row.state not in ("queued", "running"))
    assert (row.state, row.fence) == ("finished", 3)
    events = stage.runs.events(run, limit=9999)
    resumed = [event.body["resumed_at"] for event in events if event.kind == "RunStarted"]
    assert resumed == sorted(resumed)
    assert len(resumed) == 3
    # What the killed process had no time to tell was filled in from the run's folder.
    kept = read_lines(stage.place.run_folder(run) / "metrics.jsonl")
    rounds = stage.runs.rounds(run)
    assert [each.round for each in rounds] == list(range(61))
    assert [each.metrics["auc"] for each in rounds] == [each["metrics"]["auc"] for each in kept]
    assert [each.loss for each in rounds] == [each.get("loss") for each in kept]


def test_a_run_ends_in_a_model_and_a_report(sqlite, stage_of):
    stage = stage_of(sqlite)
    run = stage.start(BREAST_CANCER.replace("rounds = 15", "rounds = 3"))
    row = stage.until(run, lambda row: row.state not in ("queued", "running"))
    assert (row.state, row.round) == ("finished", 3)
    model = stage.models.of_run(run)
    assert model.metrics["overall"]["auc"]["value"] > 0.9
    assert set(model.metrics["sites"]) == {"north", "centre", "south"}
    assert b"<html" in stage.models.file(run, "report.html").read_bytes()
    assert "Breast cancer" in stage.models.card(model)
    for name in ("run.json", "../../secrets.json", "checkpoints"):
        with pytest.raises(RunError, match="no such file"):
            stage.models.file(run, name)
    assert [r.round for r in stage.runs.rounds(run)] == [0, 1, 2, 3]
    assert all(r.site_metrics for r in stage.runs.rounds(run))


def test_a_run_that_cannot_be_says_why(sqlite, stage_of):
    stage = stage_of(sqlite)
    run = stage.start(BREAST_CANCER.replace('target = "diagnosis"', 'target = "mood"'))
    row = stage.until(run, lambda row: row.state not in ("queued", "running"))
    assert row.state == "failed"
    assert row.message
    assert row.remedy


def test_a_process_that_always_dies_is_given_up(sqlite, stage_of):
    stage = stage_of(sqlite, command=("false",))
    run = stage.start(BREAST_CANCER)
    row = stage.until(run, lambda row: row.state == "failed")
    assert f"{ATTEMPTS} times" in row.message
    assert row.fence == ATTEMPTS


def test_two_supervisors_take_a_run_once(database, stage_of):
    stages = [stage_of(database, command=LIVES) for _ in range(2)]
    run = stages[0].start(BREAST_CANCER)
    for stage in stages:
        stage.supervisor.tick()
    assert stages[0].runs.find(run).fence == 1
    assert [len(stage.supervisor._children) for stage in stages] == [1, 0]
    with database.write() as session:
        session.get_one(RunRow, run).lease = now() - timedelta(seconds=1)
    stages[1].supervisor.tick()
    assert stages[0].runs.find(run).fence == 2


def test_a_process_that_lives_is_left_its_run(sqlite, stage_of):
    stage = stage_of(sqlite, command=LIVES)
    run = stage.start(BREAST_CANCER)
    stage.supervisor.tick()
    with sqlite.write() as session:
        session.get_one(RunRow, run).lease = now() - timedelta(seconds=1)
    stage.supervisor.tick()
    assert (stage.runs.find(run).fence, len(stage.supervisor._children)) == (1, 1)


@pytest.mark.slow
def test_a_run_waits_for_the_process_that_had_it_before(sqlite, stage_of):
    stage = stage_of(sqlite)
    run = stage.start(BREAST_CANCER.replace("rounds = 15", "rounds = 3"))
    folder = RunFolder(stage.place.run_folder(run))
    folder.path.mkdir()
    folder.lock()
    stage.supervisor.tick()
    time.sleep(5)
    assert stage.runs.find(run).state == "running"
    folder.unlock()
    row = stage.until(run, lambda row: row.state not in ("queued", "running"))
    assert (row.state, row.fence) == ("finished", 1)


@pytest.mark.parametrize("_", range(3))
def test_supervisors_together_take_no_more_than_the_machine_bears(database, stage_of, _):
    stages = [stage_of(database, command=LIVES) for _ in range(4)]
    for _ in range(6):
        stages[0].start(BREAST_CANCER)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda stage: stage.supervisor.tick(), stages))
    rows, _total = stages[0].runs.list()
    assert sum(row.state == "running" for row in rows) == DEFAULT.runs_at_once


def test_no_more_runs_at_once_than_the_machine_bears(sqlite, stage_of):
    stage = stage_of(sqlite, command=LIVES)
    ids = [stage.start(BREAST_CANCER) for _ in range(3)]
    stage.supervisor.tick()
    assert sorted(stage.runs.find(run).state for run in ids) == ["queued", "running", "running"]
    stage.runs.stop(WHO, next(r for r in ids if stage.runs.find(r).state == "queued"))
    assert sorted(stage.runs.find(run).state for run in ids) == ["running", "running", "stopped"]
