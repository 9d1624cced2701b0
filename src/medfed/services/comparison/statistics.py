"""Paired bootstrap intervals over patients and training seeds.

A figure depends on which patients were tested and on what training started from, and both are
redrawn: patients with replacement within each site (the sites are what they are), and the seeds
with replacement, independently of each other. Every recipe sees the same draw, so the interval of
a difference is that of *paired* differences and need not be as wide as the figures' own. A figure
is computed on the drawn patients for each seed and averaged over the drawn seeds; intervals are
the 2.5 % and 97.5 % quantiles of 2,000 draws.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8 and 13, for
strata and percentile intervals; Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1
(2007), for redrawing two crossed factors at once (it errs on the wide side); Bouthillier et al.,
Accounting for Variance in Machine Learning Benchmarks (MLSys 2021), for why seeds must count.

What it does not cover: other training patients, other hospitals. With few seeds the spread over
them is known badly, and with one seed not at all: then no difference is claimed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfed.core.seeding import generator
from medfed.core.task import Interval, ManyFigures, Task
from medfed.core.update import Array, Stats
from medfed.services.reports.speech import later

DRAWS = 2000
_CHUNK = 250
"""Draws at a time: bounds the memory that totals take."""

MEAN = later("mean of sites")
ALL = later("all patients")

Draws = NDArray[np.float64]
"""A figure on the patients as they are, then on each draw."""


@dataclass(frozen=True)
class Redrawn:
    """One draw of everything a row; the first row is the patients and seeds as they are.

    Attributes:
        patients: For each site, how often each test patient was drawn.
        seeds: How often each seed was drawn, as a share.
    """

    patients: Mapping[str, NDArray[np.float64]]
    seeds: NDArray[np.float64]

    @classmethod
    def draw(cls, counts: Mapping[str, int], seeds: int, draws: int = DRAWS) -> "Redrawn":
        """Draw; the same counts give the same draws.

        Args:
            counts: Test patients of each site.
            seeds: How many seeds there are.
            draws: How many draws.
        """
        patients = {site: _redraw(n, draws, "patients", site) for site, n in counts.items()}
        return cls(patients, _redraw(seeds, draws, "seeds") / seeds)


def _redraw(count: int, draws: int, *labels: object) -> NDArray[np.float64]:
    rng = generator(0, "comparison", *labels)
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=draws)
    return np.concatenate([np.ones((1, count)), drawn])


Table = Mapping[str, Mapping[str, Draws]]
"""A recipe's figures, averaged over seeds: by metric, then by site, `MEAN` and `ALL`."""


def recipe_table(
    task: Task, by_seed: Sequence[Mapping[str, Mapping[str, Array]]], redrawn: Redrawn
) -> dict[str, dict[str, Draws]]:
    """A recipe's figures on every draw.

    Args:
        task: Turns totals into figures.
        by_seed: For every seed, the records of each site's test patients.
        redrawn: The draws, the same for every recipe.
    """
    parts = [site_figures(task, records, redrawn) for records in by_seed]
    table: dict[str, dict[str, Draws]] = {}
    for metric in parts[0]:
        places: dict[str, Draws] = {}
        for place in parts[0][metric]:
            cube = np.stack([part[metric][place] for part in parts], axis=1)
            places[place] = np.sum(cube * redrawn.seeds, axis=1)
        table[metric] = _known({MEAN: mean_of_sites(places), **places})
    return {metric: places for metric, places in table.items() if places}


def site_figures(
    task: Task, records: Mapping[str, Mapping[str, Array]], redrawn: Redrawn
) -> dict[str, dict[str, Draws]]:
    """One seed's figures on every draw, by metric and site, and for all patients together."""
    rows = len(redrawn.seeds)
    pieces: list[dict[str, Mapping[str, Array]]] = []
    for start in range(0, rows, _CHUNK):
        totals: dict[str, Stats] = {}
        for site, own in records.items():
            weights = redrawn.patients[site][start : start + _CHUNK]
            totals[site] = {name: np.tensordot(weights, v, 1) for name, v in own.items()}
        totals[ALL] = _sum(list(totals.values()))
        pieces.append({place: many_figures(task, total) for place, total in totals.items()})
    return {
        metric: {
            place: np.concatenate([piece[place][metric] for piece in pieces])
            for place in (*records, ALL)
        }
        for metric in task.higher_is_better
    }


def many_figures(task: Task, totals: Stats) -> dict[str, Array]:
    """Metrics of many totals, NaN where undefined; one after another where the task must."""
    if isinstance(task, ManyFigures):
        given = dict(task.figures(totals))
    else:
        rows = len(next(iter(totals.values())))
        many = [task.summarise({k: v[row] for k, v in totals.items()}) for row in range(rows)]
        given = {
            name: np.array([m[name].value if name in m else np.nan for m in many])
            for name in task.higher_is_better
        }
    rows = len(next(iter(totals.values())))
    return {name: given.get(name, np.full(rows, np.nan)) for name in task.higher_is_better}


def mean_of_sites(places: Mapping[str, Draws], only: Sequence[str] | None = None) -> Draws:
    """The plain mean over sites whose figure is defined, each hospital counting once."""
    chosen = [
        draws
        for place, draws in places.items()
        if place not in (ALL, MEAN) and (only is None or place in only) and np.isfinite(draws[0])
    ]
    if not chosen:
        return np.full(len(next(iter(places.values()))), np.nan)
    return np.asarray(np.mean(chosen, axis=0), np.float64)


def interval(draws: Draws) -> Interval:
    """The figure with its 95 % interval; draws in which it is undefined are left out."""
    redrawn = draws[1:][np.isfinite(draws[1:])]
    if not redrawn.size:
        return Interval(float(draws[0]))
    low, high = np.quantile(redrawn, (0.025, 0.975))
    return Interval(float(draws[0]), float(low), float(high))


def undefined_share(draws: Draws) -> float:
    """The share of draws in which a figure is undefined, for want of a class."""
    return float(np.mean(~np.isfinite(draws[1:])))


def differences(ours: Mapping[str, Draws], theirs: Mapping[str, Draws]) -> dict[str, Draws]:
    """Paired differences of one metric: by place, over what both recipes have."""
    sites = [place for place in ours if place in theirs and place not in (MEAN, ALL)]
    found = {}
    if sites:
        found[MEAN] = mean_of_sites(ours, sites) - mean_of_sites(theirs, sites)
    found |= {place: ours[place] - theirs[place] for place in sites}
    if ALL in ours and ALL in theirs and _sites(ours) == _sites(theirs):
        found[ALL] = ours[ALL] - theirs[ALL]
    return found


def is_shown(difference: Interval, seeds: int) -> bool:
    """Whether a difference may be claimed: several seeds, and an interval without 0."""
    if seeds < 2 or difference.low is None or difference.high is None:
        return False
    return difference.low > 0.0 or difference.high < 0.0


def _sites(places: Mapping[str, Draws]) -> set[str]:
    return set(places) - {MEAN, ALL}


def _known(places: Mapping[str, Draws]) -> dict[str, Draws]:
    return {place: draws for place, draws in places.items() if np.isfinite(draws[0])}


def _sum(many: Sequence[Stats]) -> dict[str, Array]:
    total: dict[str, Array] = {}
    for stats in many:
        for name, value in stats.items():
            total[name] = total[name] + value if name in total else value
    return total
