"""What each input is worth: by how much the AUC falls when it is shuffled among patients.

Sites shuffle among their own test patients and give histograms of the scores, which add up; the
fall is that of the pooled AUC. The figure and its interval come from replicates: in each, every
site draws its patients again with replacement and shuffles anew, and the same draw serves the plain
and the shuffled scores. So the interval covers both the luck of the shuffle and that of the
patients, without anybody pairing patients outside their hospital.

(Breiman, Machine Learning 45 (2001); columns that carry the same information share their worth.)
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medfed.core.seeding import generator
from medfed.core.task import Interval
from medfed.core.update import Array, Stats
from medfed.tasks.metrics import auc, histogram

REPLICATES = 20
BINS = 256
"""A coarser grid than the figures': there is a histogram per column and replicate."""
PLAIN = "plain"
SHUFFLED = "shuffled/"

Score = Callable[[Sequence[int], NDArray[np.int64]], Array]
"""Scores of all patients with some inputs taken from the patients in another order."""


def permuted_stats(
    logits: Array, labels: Array, groups: Mapping[str, Sequence[int]], score: Score, seed: int
) -> Stats:
    """A site's contribution.

    Args:
        logits: Scores of the test patients.
        labels: Their labels.
        groups: For each column, the inputs made of it: they are shuffled together.
        score: Scores the patients anew.
        seed: Where the draws and shuffles start.
    """
    patients = len(labels)
    drawn = generator(seed, "patients").integers(0, patients, (REPLICATES, patients))
    stats = {PLAIN: _histograms(logits[drawn], labels[drawn])}
    for column, inputs in groups.items():
        rng = generator(seed, "shuffle", column)
        orders = [rng.permutation(patients) for _ in range(REPLICATES)]
        scores = np.stack([score(inputs, order) for order in orders])
        resampled = np.take_along_axis(scores, drawn, axis=1)
        stats[SHUFFLED + column] = _histograms(resampled, labels[drawn])
    return stats


def importance(total: Stats) -> dict[str, Interval]:
    """The fall of the AUC for each column, greatest first; empty where there is no AUC."""
    if PLAIN not in total:
        return {}
    plain = auc(np.asarray(total[PLAIN], np.float64))
    found = {}
    for name, counts in total.items():
        falls = plain - auc(np.asarray(counts, np.float64))
        falls = falls[np.isfinite(falls)]
        if name.startswith(SHUFFLED) and len(falls) > 1:
            found[name.removeprefix(SHUFFLED)] = _interval(falls)
    return dict(sorted(found.items(), key=lambda item: -item[1].value))


def _interval(falls: Array) -> Interval:
    """The mean of the replicates; their own spread is that of the estimate."""
    value, spread = float(falls.mean()), 1.96 * float(falls.std(ddof=1))
    return Interval(value, value - spread, value + spread)


def _histograms(logits: Array, labels: Array) -> NDArray[np.int32]:
    """One histogram per replicate; each has its own labels."""
    return np.stack([histogram(z, y, BINS) for z, y in zip(logits, labels, strict=True)])
