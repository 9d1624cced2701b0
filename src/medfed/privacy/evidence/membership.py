"""Was this patient among those trained on? Scores by which an attacker guesses; higher is yes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Inside = NDArray[np.bool_]
"""Which patients (columns) each shadow model (row) was trained on."""

MOST = 50.0
"""Confidences beyond ±50 are cut: float32 losses say no more than that."""
FEWEST = 2
"""Shadow models with, and without, each patient: fewer give no spread."""


def loss_scores(losses: NDArray[Any]) -> Scores:
    """The attack by threshold: who has a small loss was trained on.

    Yeom, Giacomelli, Fredrikson, Jha: "Privacy Risk in Machine Learning", CSF 2018
    (arXiv 1709.01604), adversary 2, at every threshold instead of at the mean training loss.
    """
    return -np.asarray(losses, np.float64)


def confidences(losses: NDArray[Any]) -> Scores:
    """φ = log(p / (1 − p)) for the probability p = exp(−loss) given to the true class.

    Carlini et al. 2022 (see `likelihood_ratios`), section IV.C: on this scale the losses of one
    patient under many models are about normally distributed.

    Args:
        losses: Cross-entropies, 0 or more, of any shape.
    """
    loss = np.asarray(losses, np.float64)
    with np.errstate(divide="ignore"):
        return np.clip(-loss - np.log(-np.expm1(-loss)), -MOST, MOST)


def assign(patients: int, shadows: int, share: float, rng: np.random.Generator) -> Inside:
    """Who is trained on by which shadow model: each patient by the same number of them.

    Args:
        patients: How many there are.
        shadows: How many models, twice `FEWEST` or more.
        share: The share of the patients that a model should be trained on.
        rng: Draws.

    Returns:
        Shape (shadows, patients).
    """
    many = int(np.clip(round(share * shadows), FEWEST, shadows - FEWEST))
    order = rng.random((shadows, patients)).argsort(axis=0)
    return order < many


def likelihood_ratios(observed: Scores, shadow: Scores, inside: Inside) -> Scores:
    """LiRA: how much likelier a patient's confidence is from models that saw the patient.

    Carlini, Chien, Nasr, Song, Terzis, Tramèr: "Membership Inference Attacks From First
    Principles", IEEE S&P 2022 (arXiv 2112.03570), algorithm 1 (online), with one variance over
    all patients for models with and one for models without them (section VI.A: better than one a
    patient where shadow models are few).

    Args:
        observed: Confidence of each patient under the model attacked, shape (patients,).
        shadow: The same under each shadow model, shape (shadows, patients).
        inside: Which shadow models saw whom; each patient is seen, and is not, by `FEWEST` or more.

    Returns:
        The logarithm of the ratio, shape (patients,).
    """
    seen = _log_normal(observed, shadow, inside)
    return seen - _log_normal(observed, shadow, ~inside)


def _log_normal(observed: Scores, shadow: Scores, which: Inside) -> Scores:
    """Logarithm of the normal density of each patient's confidence, up to a constant."""
    count = which.sum(axis=0)
    mean = np.where(which, shadow, 0.0).sum(axis=0) / count
    within = np.where(which, shadow - mean, 0.0)
    # A floor, because models that hardly differ would else make every difference decisive.
    variance = max(float((within**2).sum() / (count - 1).sum()), 1e-6)
    return -0.5 * ((observed - mean) ** 2 / variance + np.log(variance))
