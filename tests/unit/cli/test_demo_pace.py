"""The demo says how long it took, and fails only far beyond that."""

from __future__ import annotations

import pytest

from medfed.cli.demo_pace import FAR, FIRST_SECONDS, REST_SECONDS, Pace
from medfed.core.errors import RunError


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr("medfed.cli.demo_pace.time.monotonic", lambda: Clock.now)
    return Clock


def timed(clock, first: float, drawing: float, rest: float) -> Pace:
    pace = Pace(_began=clock.now)
    clock.now += first
    pace.first_page()
    with pace.apart():
        clock.now += drawing
    clock.now += rest
    pace.all_done()
    return pace


def test_both_spans_are_told_without_the_drawing_of_patients(clock):
    pace = timed(clock, 4.25, 1000.0, 61.0)
    assert "First page after 4.2 s (expected: 15)" in pace.words
    assert "all done 61.0 s later (expected: 90)" in pace.words
    pace.complain()


@pytest.mark.parametrize(("first", "rest"), [(FIRST_SECONDS, 0.0), (0.0, REST_SECONDS)])
def test_only_what_is_far_too_long_is_an_error(clock, first, rest):
    timed(clock, FAR * first, 0.0, FAR * rest).complain()
    with pytest.raises(RunError, match="5 times as slow"):
        timed(clock, FAR * first + 1, 0.0, FAR * rest + 1).complain()
