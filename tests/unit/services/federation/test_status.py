"""Who is doing what, told in words that a person can follow."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from medfed.core.errors import QuorumError
from medfed.core.events import (
    Notice,
    ReplyCounted,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    Scored,
    SiteMissing,
)
from medfed.federation.enrolment.folder import init_coordinator
from medfed.services.federation.activity import ActivityFile, activities
from medfed.services.federation.alone import alone, is_served
from medfed.services.federation.attached import told
from medfed.services.federation.status import SiteStatus, Status, in_words, status_of

SITES = ("north", "centre", "south")


@pytest.fixture
def home(tmp_path):
    return init_coordinator(tmp_path / "coord", "https://localhost:8443", name="fed").path


@pytest.fixture
def run(home, tmp_path):
    file = ActivityFile(home, "ab12", tmp_path / "out")
    file(RunStarted("ab12", "d" * 64, "Hearts", SITES, 5))
    file(RoundStarted(2, "train", SITES))
    return file


def test_a_round_is_followed_reply_by_reply(home, run):
    run(ReplyCounted(2, "north", 1.0, 10))
    run(SiteMissing(2, "centre", "too-few-patients", "fewer than 10"))
    (now,) = activities(home)
    assert (now.round, now.rounds, now.waiting, now.answered) == (2, 5, ["south"], ["north"])
    assert "fewer than 10" in now.missing["centre"]
    run(ReplyCounted(2, "south", 1.0, 10))
    run(RoundFinished(2, SITES, 3.0, 1, 1))
    run(Scored(2, {"auc": 0.8}))
    (now,) = activities(home)
    assert (now.waiting, now.metrics, now.done) == ([], {"auc": 0.8}, "")
    assert now.alive
    run(RunFinished(5, "all rounds are done"))
    assert activities(home)[0].done == "all rounds are done"


def test_only_the_last_notices_are_kept(home, run):
    for number in range(20):
        run(Notice(f"notice {number}"))
    assert activities(home)[0].notices[-1] == "notice 19"
    assert len(activities(home)[0].notices) < 10


def test_a_run_that_stops_says_why(home, tmp_path):
    heard = []

    def stop():
        with told(home, "cd", tmp_path / "out", heard.append) as tell:
            tell(RunStarted("cd", "d", "Lungs", SITES, 3))
            raise QuorumError("too few sites answered")

    with pytest.raises(QuorumError):
        stop()
    (now,) = activities(home)
    assert now.done == "stopped: too few sites answered"
    assert len(heard) == 1


def test_a_damaged_file_hides_nothing_else(home, run):
    (home / "activity" / "bad.json").write_text("{")
    assert [each.run for each in activities(home)] == ["ab12"]


def test_a_coordinator_that_does_not_run_is_told_apart(home, run):
    found = status_of(home)
    assert not found.running
    assert not is_served(home, "coordinator")
    with alone(home, "coordinator"):
        assert is_served(home, "coordinator")
    assert "not running" in next(in_words(found))


def test_the_words_name_sites_runs_and_what_is_waited_for(home, run):
    run(Scored(1, {"auc": 0.75}))
    run(Notice("south is offline; waiting for it"))
    hours_ago = (datetime.now(UTC) - timedelta(hours=3, minutes=1)).isoformat()
    sites = (
        SiteStatus("north", "online", "", hours_ago),
        SiteStatus("south", "offline", "training, round 2", hours_ago),
        SiteStatus("west", "offline", ""),
    )
    text = "\n".join(in_words(Status("fed", "https://x", True, sites, tuple(activities(home)), ())))
    for words in (
        "fed  https://x  running", "north  online", "south  offline  for 3 h; training, round 2",
        "west   offline  has not been online yet",
        '"Hearts"  round 2 of 5, waiting for north, centre, south', "auc 0.750",
        "south is offline; waiting for it",
    ):  # fmt: skip
        assert words in text


def test_a_run_whose_process_is_gone_says_how_to_go_on(home, run, monkeypatch):
    (now,) = activities(home)
    now.process = 2**22 - 3  # beyond any process number
    text = "\n".join(in_words(Status("fed", "https://x", True, (), (now,), ())))
    assert "--resume" in text
    assert now.since <= time.time()
