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
from medfed.services.console.doing import arrived, doings
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


def test_replies_of_the_round_under_way_are_counted_as_they_arrive(runs, make_run):
    def here(*events):
        with runs.database.read() as session:
            return arrived(session, [runs.find(run) for run in (make_run(*events), make_run())])

    first, second = (RoundStarted(number, "train", SITES) for number in (1, 2))
    north = ReplyCounted(1, "north", 0.1, 10)
    assert here() == here(first) == {}
    assert here(first, north, ReplyCounted(1, "south", 0.1, 5)) == {"north": 10, "south": 5}
    # A round of several exchanges begins several times.
    assert here(first, north, first, north) == {"north": 20}
    done = (first, north, RoundFinished(1, SITES, 1.0, 3, 4))
    assert here(*done) == {}, "the round has told its bytes"
    assert here(*done, second, ReplyCounted(2, "west", 0.1, 7)) == {"west": 7}
    # What a lost process was sent is asked for again; questions and last figures are no rounds.
    assert here(first, north, RunStarted("r", "d", "t", SITES, 3), first) == {}
    assert here(RoundStarted(0, "query", SITES), ReplyCounted(0, "north", 0.1, 9)) == {}
    assert here(*done, RoundStarted(2, "evaluate", SITES), ReplyCounted(2, "west", 0.1, 7)) == {}
