"""What a run's process writes into the database."""

from __future__ import annotations

import math
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from medfed.core.errors import DataError, RunError
from medfed.core.events import Notice, ReplyCounted, RoundFinished, RunFinished, RunStarted, Scored
from medfed.services.console.outbox import Outbox
from medfed.services.console.place import Place
from medfed.services.console.recording import Fenced, Recorder, recorded
from medfed.services.console.runs import Runs
from medfed.services.console.studies import Studies
from medfed.storage.database.bell import Bell
from medfed.storage.database.tables import RoundRow, RunRow
from medfed.storage.database.types import finite, now
from medfed.storage.run_folder import Busy

RESULT = {
    "bytes_up": 70, "bytes_down": 80, "rounds": 2, "model_sha256": "ab" * 32, "kept_round": 2,
    "metrics": {"overall": {"auc": {"value": 0.9, "low": math.nan, "high": 1.0}}, "sites": {}},
    "patients": {"overall": 10},
}  # fmt: skip
STARTED = RunStarted("r", "d", "t", ("north", "south"), 2)


@pytest.fixture
def runs(database, tmp_path):
    return Runs(database, Place.open(tmp_path / "console"))


@pytest.fixture
def run(runs, coordinator, text):
    studies = Studies(runs.database)
    row = studies.create(coordinator, text)
    studies.approve(coordinator, row.id, row.digest)
    return runs.start(coordinator, row.id).id


def a_round(number: int, seconds: float = 1.0) -> list:
    return [
        ReplyCounted(number, "north", 0.1, 10),
        Scored(number - 1, {"auc": 0.5, "odd": math.nan}, {"north": {"auc": math.inf}}, "test"),
        RoundFinished(number, ("north",), seconds, 30, 40, 0.7, {"north": None}),
    ]


def tell(recorder, *events) -> None:
    for event in events:
        recorder(event)


def test_a_run_is_written_down_to_its_model(runs, run):
    recorder = Recorder(runs.database, run, 0)
    with recorded(recorder) as tell_result:
        tell(recorder, STARTED, *a_round(1), *a_round(2), RunFinished(2, "done"))
        tell_result(RESULT)
    row = runs.find(run)
    assert (row.state, row.round, row.bytes_up, row.bytes_down) == ("finished", 2, 70, 80)
    assert row.lease is None
    first, second, third = runs.rounds(run)
    assert (first.round, first.metrics) == (0, {"auc": 0.5, "odd": None})
    assert second.site_metrics == {"north": {"auc": None}}
    assert (second.loss, second.site_loss, third.participants) == (0.7, {"north": None}, ["north"])
    events = runs.events(run)
    assert [event.number for event in events] == list(range(1, 9))
    assert runs.events(run, after=6, limit=1)[0].kind == "RoundFinished"
    assert runs.last_event(run) == 8
    (site,) = runs.sites()
    assert (site.name, site.replies, site.last_run) == ("north", 2, run)


def test_a_loss_that_is_no_number_is_none(runs, run):
    recorder = Recorder(runs.database, run, 0)
    tell(
        recorder, STARTED, RoundFinished(1, ("north",), 1.0, 30, 40, math.nan, {"north": math.inf})
    )
    recorder.end(lambda row: None)
    (row,) = runs.rounds(run)
    assert (row.loss, row.site_loss) == (None, {"north": None})


def test_rounds_done_again_count_once(runs, run):
    recorder = Recorder(runs.database, run, 0)
    tell(recorder, STARTED, *a_round(1), *a_round(2))
    tell(recorder, RunStarted("r", "d", "t", ("north",), 3, 1), *a_round(2, 9.0))
    recorder.end(lambda row: None)
    row = runs.find(run)
    assert (row.round, row.bytes_up) == (2, 60)
    assert [each.seconds for each in runs.rounds(run)] == [None, 1.0, 9.0]
    assert row.state == "running"


def test_traffic_is_counted_with_each_hospital_once(runs, run):
    recorder = Recorder(runs.database, run, 0)
    change = {"north": {"cosine": 0.5, "norm": math.inf, "weight": 3.0}}
    seen = ReplyCounted(1, "north", 0.1, 10)
    first = RoundFinished(
        1, ("north",), 1.0, 30, 40, None, {}, {"north": 30}, {"north": 40}, change
    )
    again = RoundFinished(
        1, ("north",), 1.0, 31, 46, None, {}, {"north": 31}, {"north": 41, "south": 5}
    )
    tell(recorder, STARTED, seen, first, seen, again, RoundFinished(2, (), 1.0, 1, 2))
    recorder.end(lambda row: None)
    (site,) = runs.sites()  # south never replied
    assert (site.bytes_up, site.bytes_down) == (31, 41)
    row, _ = runs.rounds(run)
    assert (row.site_up, row.site_down) == ({"north": 31}, {"north": 41, "south": 5})
    assert row.site_change == {}


def test_an_error_is_told_in_words(runs, run):
    recorder = Recorder(runs.database, run, 0)
    with pytest.raises(RunError), recorded(recorder):
        raise RunError("no data", remedy="Bring some")
    row = runs.find(run)
    assert (row.state, row.message, row.remedy) == ("failed", "no data", "Bring some")


def test_an_error_nobody_foresaw_keeps_its_details_to_itself(runs, run):
    recorder = Recorder(runs.database, run, 0)
    with pytest.raises(KeyError), recorded(recorder):
        raise KeyError("patient 4711")
    row = runs.find(run)
    assert row.state == "failed"
    assert "4711" not in row.message + row.remedy


def test_a_wish_to_stop_is_heard(runs, run, coordinator):
    with runs.database.write() as session:
        session.get_one(RunRow, run).state = "running"
    heard = threading.Event()
    recorder = Recorder(runs.database, run, 0, heard.set)
    runs.stop(coordinator, run)
    assert heard.wait(5)
    with pytest.raises(SystemExit), recorded(recorder):
        raise SystemExit(143)
    assert runs.find(run).state == "stopped"


def test_a_machine_that_goes_down_leaves_the_run_to_be_taken(runs, run):
    with runs.database.write() as session:
        session.get_one(RunRow, run).state = "running"
    recorder = Recorder(runs.database, run, 0)
    assert runs.find(run).lease is not None
    with pytest.raises(SystemExit), recorded(recorder):
        raise SystemExit(143)
    row = runs.find(run)
    assert (row.state, row.lease) == ("running", None)


def test_a_process_that_was_given_up_may_write_no_more(runs, run):
    heard = threading.Event()
    recorder = Recorder(runs.database, run, 0, heard.set)
    with runs.database.write() as session:
        session.execute(update(RunRow).values(fence=1))
    recorder(Notice("from the grave"))
    assert heard.wait(5)
    recorder.end(lambda row: setattr(row, "state", "finished"))
    assert runs.events(run) == []
    assert runs.find(run).state == "queued"
    with pytest.raises(Fenced):
        Recorder(runs.database, run, 0)


def test_events_wait_while_the_database_is_away(runs, run, monkeypatch):
    recorder = Recorder(runs.database, run, 0)
    write, away = recorder._write, threading.Event()

    def refuse(*arguments) -> None:
        if not away.is_set():
            away.set()
            raise RunError("the database cannot be used")
        write(*arguments)

    monkeypatch.setattr(recorder, "_write", refuse)
    recorder(Notice("kept"))
    assert away.wait(5)
    recorder(Notice("also kept"))
    recorder.end(lambda row: None)
    assert [event.body["message"] for event in runs.events(run)] == ["kept", "also kept"]


def test_a_folder_where_another_process_works_is_no_failure(runs, run):
    with runs.database.write() as session:
        row = session.get_one(RunRow, run)
        row.state, row.attempts = "running", 1
    recorder = Recorder(runs.database, run, 0)
    with pytest.raises(Busy), recorded(recorder):
        raise Busy(Path("runs/r"))
    row = runs.find(run)
    assert (row.state, row.lease, row.attempts, row.message) == ("running", None, 0, "")


def test_half_characters_are_written_down_readably(runs, run):
    recorder = Recorder(runs.database, run, 0)
    recorder(Notice("caf\udce9.csv\0 is damaged"))
    with pytest.raises(RunError), recorded(recorder):
        raise RunError("caf\udce9.csv\0 is damaged", remedy="Mend caf\udce9.csv")
    row = runs.find(run)
    assert (row.state, row.message) == ("failed", "caf?.csv? is damaged")
    assert runs.events(run)[0].body == {"message": "caf?.csv? is damaged"}


def test_the_lease_outlives_whatever_goes_wrong_with_events(runs, run, monkeypatch):
    monkeypatch.setattr("medfed.services.console.recording.RETRY_SECONDS", 0.01)
    recorder = Recorder(runs.database, run, 0)
    write, tries = recorder._write, []

    def refuse(*arguments) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise TypeError("nobody foresaw this")
        write(*arguments)

    monkeypatch.setattr(recorder, "_write", refuse)
    recorder(Notice("kept"))
    until = time.monotonic() + 10
    while not runs.events(run) and time.monotonic() < until:
        time.sleep(0.02)
    assert runs.events(run)[0].body == {"message": "kept"}
    tries.clear()
    recorder.end(lambda row: setattr(row, "state", "finished"))
    assert runs.find(run).state == "finished"


def test_the_bell_rings_for_events(runs, run):
    with Bell(runs.database) as bell:
        recorder = Recorder(runs.database, run, 0)
        start = time.monotonic()
        bell.wait(30.0)
        assert time.monotonic() - start < 10.0
        recorder.end(lambda row: None)


def test_time_left_follows_the_latest_rounds(runs, run):
    recorder = Recorder(runs.database, run, 0)
    tell(recorder, RunStarted("r", "d", "t", ("north", "south"), 12), *a_round(1))
    recorder.end(lambda row: None)
    assert runs.seconds_left(runs.find(run)) is None
    recorder = Recorder(runs.database, run, 0)
    tell(recorder, *a_round(2))
    recorder.end(lambda row: None)
    then = datetime(2026, 1, 1, tzinfo=UTC)
    with runs.database.write() as session:
        for number in (1, 2):
            session.get_one(RoundRow, (run, number)).finished = then + timedelta(seconds=3 * number)
    assert runs.seconds_left(runs.find(run)) == pytest.approx(30.0)


def test_a_killed_process_leaves_its_events_to_the_next(runs, run, tmp_path, monkeypatch):
    outbox = Outbox.beside(tmp_path / "runs-of-the-test")
    first = Recorder(runs.database, run, 0, outbox=outbox)
    tell(first, STARTED)
    until_there(runs, run, 1)
    write = first._write

    def kept_but_not_told(*arguments) -> None:
        write(*arguments)  # it arrived, and the answer did not
        raise RunError("the database cannot be used")

    monkeypatch.setattr(first, "_write", kept_but_not_told)
    monkeypatch.setattr(outbox, "clear", lambda: None)
    tell(first, *a_round(1))
    until_there(runs, run, 4)
    monkeypatch.setattr(first, "_write", refuse)
    tell(first, *a_round(2))
    until(lambda: len(outbox.left()) == 6)
    first._over.set()  # as if killed: nothing is written at the end
    first._thread.join()
    monkeypatch.undo()
    assert len(runs.events(run)) == 4
    second = Recorder(runs.database, run, 0, outbox=outbox)
    tell(second, RunFinished(2, "done"))
    second.end(lambda row: setattr(row, "state", "finished"))
    events = runs.events(run)
    assert [event.number for event in events] == list(range(1, 9))
    assert [event.kind for event in events[4:]] == [
        "ReplyCounted", "Scored", "RoundFinished", "RunFinished",
    ]  # fmt: skip
    row = runs.find(run)
    assert (row.round, row.bytes_up) == (2, 60)
    (site,) = runs.sites()
    assert site.replies == 2
    assert outbox.left() == []


def refuse(*_: object) -> None:
    raise RunError("the database cannot be used")


def until(done, seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def until_there(runs, run: str, number: int) -> None:
    until(lambda: runs.last_event(run) == number)


@pytest.mark.parametrize("event", [STARTED, *a_round(3), Notice("x"), RunFinished(2, "done")])
def test_events_come_back_from_the_disk(event, tmp_path):
    outbox = Outbox(tmp_path / "outbox.jsonl")
    moment = now()
    outbox.put([(1, (moment, event))])
    ((number, (at, again)),) = outbox.left()
    assert (number, at) == (1, moment)
    assert finite(again.to_json()) == finite(event.to_json())


def test_what_no_program_wrote_is_refused(tmp_path):
    (tmp_path / "outbox.jsonl").write_text(
        '[[1, "2026-01-02T03:04:05+00:00", {"event": "Surprise"}]]\n'
    )
    with pytest.raises(DataError, match="cannot be read"):
        Outbox(tmp_path / "outbox.jsonl").left()
