"""How orders name the phases of a conversation, and its parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.aggregators.secure.phases import Phase, in_parts

NAME = "0123456789abcdef"


@given(st.integers(1, 200), st.integers(0, 5000))
def test_the_parts_of_a_step_share_all_there_is(of, count):
    things = list(range(count))
    phases = in_parts("encrypt", NAME, of)
    assert [thing for phase in phases for thing in things[phase.share(count)]] == things
    sizes = [len(things[phase.share(count)]) for phase in phases]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 9999), st.data())
def test_a_phase_is_read_as_it_was_written(of, data):
    phase = Phase("encrypt", NAME, data.draw(st.integers(1, of)), of)
    assert Phase.read(str(phase)) == phase


def test_a_step_that_is_answered_at_once_has_no_part_in_its_name():
    assert [str(one) for one in in_parts("keys", NAME, 1)] == [f"keys-{NAME}"]


@pytest.mark.parametrize("part", ["-0-3", "-4-3", "-1-1", "-01-3", "-1", "-1-3-5", "-1-0", "--1-3"])
def test_what_names_no_part_is_no_phase(part):
    assert Phase.read(f"encrypt-{NAME}{part}") is None


@pytest.mark.parametrize("text", ["", "keys", f"KEYS-{NAME}", f"keys-{NAME[1:]}", f"{NAME}-keys"])
def test_what_names_no_conversation_is_no_phase(text):
    assert Phase.read(text) is None
