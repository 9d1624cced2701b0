"""The robust rules once more, as their papers write them, on whole vectors."""

import itertools

import numpy as np


def centred_clipping(x, start, radius, steps):
    """Karimireddy et al. 2021, algorithm 2, vector by vector."""
    v = np.array(start, float)
    for _ in range(steps):
        moves = []
        lengths = [float(np.linalg.norm(row - v)) for row in x]
        tau = radius if radius > 0 else float(np.median(lengths))
        for row, length in zip(x, lengths, strict=True):
            moves.append((row - v) * (1.0 if length <= tau else tau / length))
        v = v + sum(moves) / len(moves)
    return v


def multi_krum(x, wrong, keep):
    """Blanchard et al. 2017, section 4: the score by looking at every pair."""
    scores = []
    for i, row in enumerate(x):
        others = [float(((row - other) ** 2).sum()) for j, other in enumerate(x) if j != i]
        scores.append(sum(sorted(others)[: len(x) - wrong - 2]))
    best = sorted(range(len(x)), key=lambda i: scores[i])[:keep]
    return np.mean([x[i] for i in best], axis=0)


def nnm_trimmed_mean(x, wrong):
    """Allouah et al. 2023, algorithm 2, then the trimmed mean of Yin et al. 2018."""
    mixed = []
    for row in x:
        nearest = sorted(x, key=lambda other: float(np.linalg.norm(row - other)))
        mixed.append(np.mean(nearest[: len(x) - wrong], axis=0))
    columns = zip(*mixed, strict=True)
    return np.array([np.mean(sorted(c)[wrong : len(x) - wrong]) for c in columns])


def diameter(x):
    """The largest distance between two points."""
    return max((float(np.linalg.norm(a - b)) for a, b in itertools.combinations(x, 2)), default=0.0)
