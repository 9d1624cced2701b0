"""Every use of chance has a stream of its own, the same on every machine."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.seeding import derive, generator


def test_streams_are_the_same_for_ever():
    assert derive(1, "north", 2, "train") == 6130693942130405046
    assert derive(0) == derive(0)


@given(st.integers(0, 2**70), st.lists(st.integers() | st.text("ab"), max_size=3))
def test_seeds_fit_everywhere(seed, labels):
    assert 0 <= derive(seed, *labels) < 2**63
    assert generator(seed, *labels).random() == generator(seed, *labels).random()


def test_purposes_do_not_share_a_stream():
    seeds = {derive(1, *labels) for labels in (("a",), ("b",), ("a", "b"), ("ab",), ("a", 1), ())}
    assert len(seeds) == 6
    assert not np.isclose(generator(1, "a").random(), generator(1, "b").random())
