"""What hospitals do in the round under way, by what was written down of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from medfed.core.events import (
    ReplyComing,
    ReplyCounted,
    RoundFinished,
    RoundStarted,
    RunStarted,
    SiteMissing,
)
from medfed.services.console.doing import doings
from medfed.services.console.place import Place
from medfed.services.console.recording import Recorder
from medfed.services.console.runs import Runs
from medfed.services.console.studies import Studies
from medfed.storage.database.tables import EventRow
from medfed.storage.database.types import now

SITES = ("north", "south", "west")


@pytest.fixture
def runs(database, tmp_path):
    return Runs(database, Place.open(tmp_path / "console"))


@pytest.fixture
def make_run(runs, coordinator, text):
    studies = Studies(runs.database)
    row = studies.create(coordinator, text)
    studies.approve(coordinator, row.id, row.digest)

    def make(*events) -> str:
        run = runs.start(coordinator, row.id).id
        recorder = Recorder(runs.database, run, 0)
        for event in (RunStarted("r", "d", "t", SITES, 3), *events):
            recorder(event)
        recorder.end(lambda row: None)
        return run

    return make


def doing(runs, *ids):
    with runs.database.read() as session:
        return doings(session, [runs.find(run) for run in ids])


def test_each_step_of_a_round_is_told(runs, make_run):
    begun = RoundStarted(1, "train", SITES)
    run = make_run(
        begun,
        ReplyComing("north"),
        ReplyCounted(1, "south", 0.1, 9),
        SiteMissing(1, "west", "", ""),
    )
    assert doing(runs, run) == {"north": "coming", "south": "waiting", "west": "missing"}
    assert doing(runs, make_run()) == {}
    assert doing(runs, make_run(begun)) == dict.fromkeys(SITES, "train")
    over = make_run(begun, RoundFinished(1, SITES, 1.0, 3, 4))
    assert doing(runs, over) == {}
    answered = make_run(begun, *(ReplyCounted(1, site, 0.1, 9) for site in SITES))
    assert doing(runs, answered) == {}, "the coordinator is at work, and nobody else"
    assert doing(runs, over, make_run(begun))["north"] == "train"


def test_whoever_takes_far_longer_than_the_last_round_is_late(runs, make_run):
    run = make_run(
        RoundFinished(1, SITES, 2.0, 3, 4),
        RoundStarted(2, "train", SITES),
        ReplyCounted(2, "west", 1, 9),
    )
    assert doing(runs, run)["north"] == "train"
    with runs.database.write() as session:
        session.execute(update(EventRow).values(at=now() - timedelta(seconds=5)))
    assert doing(runs, run) == {"north": "late", "south": "late", "west": "waiting"}
