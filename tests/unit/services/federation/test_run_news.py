"""A coordinator's log tells of runs as they come and go, and of none twice."""

import json
import subprocess
import sys

import pytest

from medfed.core.events import RoundStarted, RunFinished, RunStarted
from medfed.services.federation.activity import FOLDER, ActivityFile
from medfed.services.federation.run_news import RunNews


@pytest.fixture
def run(tmp_path):
    """Makes a run that has begun in this process."""

    def begin(name, resumed_at=0):
        file = ActivityFile(tmp_path, name, tmp_path / "runs" / name)
        file(RunStarted(name, "d", "Hearts", ("a", "b"), rounds=5, resumed_at=resumed_at))
        return file

    return begin


def test_a_run_is_told_when_it_begins_and_when_it_ends(tmp_path, run):
    news = RunNews(tmp_path)
    assert list(news.fresh()) == []
    first = run("first")
    assert list(news.fresh()) == ['the run first of "Hearts" begins']
    first(RoundStarted(round=5, purpose="train", sites=("a", "b")))
    assert list(news.fresh()) == []
    first(RunFinished(rounds=5, reason="all rounds are done"))
    ended = 'the run first of "Hearts" has ended in round 5: all rounds are done'
    assert list(news.fresh()) == [ended]
    assert list(news.fresh()) == []


def test_a_run_that_came_and_went_between_two_looks_is_told_whole(tmp_path, run):
    news = RunNews(tmp_path)
    list(news.fresh())
    run("quick", resumed_at=3).ended("too few sites answered")
    assert list(news.fresh()) == [
        'the run quick of "Hearts" goes on from round 3',
        'the run quick of "Hearts" has ended in round 3: too few sites answered',
    ]


def test_what_was_over_before_is_no_news_and_who_was_killed_is(tmp_path, run):
    run("old").ended("all rounds are done")
    killed = run("killed")
    news = RunNews(tmp_path)
    assert list(news.fresh()) == ['the run killed of "Hearts" begins']
    killed(RoundStarted(round=2, purpose="train", sites=("a", "b")))
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    file = tmp_path / FOLDER / "killed.json"
    now = json.loads(file.read_text())
    news._going = {("killed", child.pid)}
    file.write_text(json.dumps({**now, "process": child.pid}))
    assert list(news.fresh()) == [
        'the run killed of "Hearts" was killed in round 2; go on with it by --resume'
    ]
