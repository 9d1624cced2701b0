"""How sites' changes lie to that of all."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medfed.aggregators.chunks import combine
from medfed.aggregators.mean import adder
from medfed.core.packing import PackedUpdate, pack_half
from medfed.core.update import Update
from medfed.federation.likeness import SAMPLE, changes

VECTOR = arrays(np.float64, 5, elements=st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))


def update_of(vector, weight=1.0, **more):
    return Update({"model/x": weight * np.asarray(vector), **more}, {"model": weight, "control": 1})


def found(*updates):
    packed = [PackedUpdate(f"s{i}", update) for i, update in enumerate(updates)]
    return changes(packed, combine(packed, adder()))


def test_directions_lengths_and_weights():
    told = found(update_of([3.0, 0.0], 10.0), update_of([0.0, 4.0], 5.0))
    assert told["s0"] == pytest.approx({"cosine": 30 / math.hypot(30, 20), "norm": 3, "weight": 10})
    assert told["s1"] == pytest.approx({"cosine": 20 / math.hypot(30, 20), "norm": 4, "weight": 5})


@given(VECTOR, VECTOR, st.floats(0.1, 1e4))
def test_a_cosine_lies_between_minus_one_and_one_and_agrees_with_the_textbook(one, other, weight):
    told = found(update_of(one, weight), update_of(other, weight))
    for site, vector in (("s0", one), ("s1", other)):
        both = np.linalg.norm(vector) * np.linalg.norm(one + other)
        if site not in told:
            assert both < 1e-9
            continue
        assert told[site]["cosine"] == pytest.approx(vector @ (one + other) / both, abs=1e-6)
        assert -1 <= told[site]["cosine"] <= 1


def test_only_the_models_own_tensors_count_however_they_are_packed():
    x = np.ones(100, np.float32)
    odd = {"buffers/n": np.full(3, 1e9), "control/x": -x}
    packed = Update({**pack_half("model/x", x), **odd}, {"model": 1, "control": 1, "buffers": 1})
    told = found(packed, packed)
    assert told["s0"] == pytest.approx({"cosine": 1.0, "norm": 10.0, "weight": 1.0})


def test_who_has_no_direction_is_left_out_and_of_a_large_tensor_the_beginning_counts():
    ahead, rest = np.ones(SAMPLE), np.full(9, 1e6)
    told = found(update_of(np.r_[ahead, rest]), update_of(np.r_[0 * ahead, rest]))
    assert set(told) == {"s0"}
    assert told["s0"]["norm"] == pytest.approx(math.sqrt(SAMPLE))
    assert found(update_of([1e200, 1.0]), update_of([1.0, 1.0])) == {}


THREADED = """
import numpy as np
from medfed.core.packing import PackedUpdate
from medfed.core.update import Update
from medfed.federation.likeness import changes
draw = np.random.default_rng(0).standard_normal
one, other = (Update({"model/x": draw(1 << 16)}, {"model": 1.0}) for _ in range(2))
print(changes([PackedUpdate("s", one)], other)["s"])
"""


def test_the_count_of_threads_changes_no_bit():
    """They stand in metrics.jsonl, which is the same for the same study."""
    found = {
        subprocess.run(
            [sys.executable, "-c", THREADED],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            check=True,
            capture_output=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1
