"""A run's activity file follows its events."""

import os

from medfed.core.events import (
    Notice,
    ReplyCounted,
    RoundStarted,
    RunFinished,
    RunStarted,
    SiteMissing,
)
from medfed.services.federation.activity import FOLDER, NOTICES, ActivityFile, activities


def test_it_says_who_is_waited_for_who_answered_and_who_is_missing(tmp_path):
    tell = ActivityFile(tmp_path, "r1", tmp_path)
    tell(RunStarted("r1", "digest", "A title", ("a", "b", "c"), 5, 2))
    tell(RoundStarted(3, "train", ("a", "b", "c")))
    tell(ReplyCounted(3, "a", 1.0, 10))
    tell(SiteMissing(3, "b", "late", "no reply within 8 s"))
    (now,) = activities(tmp_path)
    assert (now.title, now.rounds, now.round, now.purpose) == ("A title", 5, 3, "train")
    assert (now.waiting, now.answered) == (["c"], ["a"])
    assert now.missing == {"b": "late: no reply within 8 s"}
    assert now.process == os.getpid()
    assert now.alive
    tell(RoundStarted(4, "train", ("a",)))
    (now,) = activities(tmp_path)
    assert (now.waiting, now.answered, now.missing) == (["a"], [], {})


def test_the_last_notices_are_kept_and_the_end_is_told_once(tmp_path):
    tell = ActivityFile(tmp_path, "r1", tmp_path)
    for number in range(NOTICES + 2):
        tell(Notice(str(number)))
    tell(RunFinished(5, "all rounds are done"))
    tell.ended("stopped")
    (now,) = activities(tmp_path)
    assert now.notices == [str(n) for n in range(2, NOTICES + 2)]
    assert now.done == "all rounds are done"


def test_a_file_that_cannot_be_read_is_left_out(tmp_path):
    ActivityFile(tmp_path, "r1", tmp_path)(Notice("x"))
    (tmp_path / FOLDER / "r2.json").write_text("{")
    (tmp_path / FOLDER / "r3.json").write_text('{"unknown": 1}')
    assert [each.run for each in activities(tmp_path)] == ["r1"]
    assert activities(tmp_path / "none") == []
