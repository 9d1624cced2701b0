"""Inversion of a first layer: exact for one patient, a mean for several."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medfed.privacy.evidence.inversion import closest, correlations, errors, invert


def gradients(rows, labels, units=5, seed=0):
    """Weight and bias gradient of the first layer of a small network, by PyTorch."""
    torch.manual_seed(seed)
    first = torch.nn.Linear(rows.shape[1], units)
    net = torch.nn.Sequential(first, torch.nn.Tanh(), torch.nn.Linear(units, 1))
    logits = net(torch.tensor(rows, dtype=torch.float32))[:, 0]
    torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.tensor(labels, dtype=torch.float32)
    ).backward()
    return first.weight.grad.numpy(), first.bias.grad.numpy()


@given(st.integers(0, 1000))
def test_every_unit_gives_the_row_of_the_only_patient(seed):
    row = np.random.default_rng(seed).normal(0, 2, (1, 7))
    guesses = invert(*gradients(row, [seed % 2], seed=seed))
    assert guesses.shape == (5, 7)
    assert errors(guesses, np.repeat(row, 5, axis=0)).max() < 1e-3
    assert correlations(guesses, np.repeat(row, 5, axis=0)).min() > 0.9999


def test_several_patients_give_a_mean_of_their_rows():
    """By hand: weights 1 and 3 of the two rows."""
    rows, moved = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 3.0])
    (guess,) = invert((moved @ rows)[None], moved.sum()[None])
    assert guess.tolist() == [0.25, 0.75]


def test_units_that_did_not_move_say_nothing():
    weight, bias = np.ones((4, 3)), np.array([0.0, 2.0, -4.0, 1e-12])
    assert invert(weight, bias).tolist() == [[-0.25] * 3, [0.5] * 3]
    assert invert(weight, np.zeros(4)).shape == (0, 3)


def test_errors_are_relative_to_the_row():
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
    guesses = np.array([[3.0, 3.0], [0.0, 1.0], [0.0, 0.0]])
    assert errors(guesses, rows).tolist() == [0.2, np.inf, 0.0]
    assert np.isnan(correlations(guesses, rows)).all()  # equal inputs correlate with nothing


def test_the_closest_guess_is_that_of_a_plain_search(monkeypatch):
    rng = np.random.default_rng(0)
    guesses, rows = rng.normal(size=(40, 6)), rng.normal(size=(30, 6))
    found = closest(guesses, rows)
    for row, guess in zip(rows, found, strict=True):
        best = min(guesses, key=lambda one: np.linalg.norm(one - row))
        assert guess.tolist() == best.tolist()
    assert closest(guesses, rows[:0]).shape == (0, 6)


def test_a_row_correlates_as_numpy_says():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 9)), rng.normal(size=(3, 9))
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    assert correlations(a, b) == pytest.approx(expected)
