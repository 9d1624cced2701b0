"""Updates that add up, and replies whose statistics do not."""

import numpy as np

from medfed.core.update import Update, add_stats, add_updates, group, grouped, odd_ones


def test_groups_are_prefixes():
    tensors = {"fc.weight": np.ones(2), "fc.bias": np.zeros(1)}
    both = {**grouped("model", tensors), **grouped("models", tensors)}
    assert group("model", both).keys() == tensors.keys()
    assert group("mod", both) == {}


def test_updates_add_up():
    one = Update({"m/a": np.ones(2)}, {"m": 2.0}, {"n": np.array(1)})
    two = Update({"m/a": np.full(2, 3.0)}, {"m": 6.0}, {"n": np.array(2), "k": np.array(5)})
    total = add_updates([one, two])
    np.testing.assert_allclose(total.mean("m")["a"], 0.5)
    assert total.stats["n"] == 3
    assert total.stats["k"] == 5
    assert total.mean("absent") == {}
    np.testing.assert_array_equal(one.tensors["m/a"], 1)


def test_adding_leaves_what_was_given_alone():
    stats = {"a": np.array([1.0])}
    add_stats([stats, stats])
    assert stats["a"] == 1


def test_the_odd_one_is_whoever_differs_from_most():
    usual, odd = {"h": np.zeros((2, 8))}, {"h": np.zeros(8)}
    assert odd_ones({"a": odd, "b": usual, "c": usual}).keys() == {"a"}
    assert odd_ones({"a": usual, "b": odd}).keys() == {"b"}
    assert odd_ones({"a": usual, "b": {}, "c": {"x": np.array(1)}}) == {}
    assert "has shape [8] and not [2, 8]" in odd_ones({"a": usual, "b": odd})["b"]
