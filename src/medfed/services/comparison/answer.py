"""From figures on every draw to rows, intervals and differences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medfed.core.task import Task
from medfed.core.update import Array
from medfed.services.comparison import statistics
from medfed.services.comparison.statistics import (
    ALL,
    MEAN,
    Table,
    interval,
    is_shown,
    many_figures,
    undefined_share,
)
from medfed.services.reports import words

_OFTEN = 0.05
"""From this share of draws without a figure on, its interval comes with a caution."""


def rows(
    task: Task,
    recipe: str,
    seeds: Sequence[int],
    by_seed: Sequence[Mapping[str, Mapping[str, Array]]],
) -> list[dict[str, Any]]:
    """Every figure by itself: a recipe's, for each seed, site and metric."""
    found = []
    for seed, sites in zip(seeds, by_seed, strict=True):
        for site, records in sites.items():
            totals = {name: np.asarray(v).sum(axis=0)[None] for name, v in records.items()}
            for metric, values in many_figures(task, totals).items():
                if np.isfinite(values[0]):
                    value = float(values[0])
                    row = {"recipe": recipe, "seed": seed, "site": site, "metric": metric}
                    found.append({**row, "value": value})
    return found


def summary(tables: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Each recipe's figures, averaged over seeds, with intervals."""
    return [
        {"recipe": recipe, "metric": metric, "site": place, **interval(draws).to_json()}
        for recipe, table in tables.items()
        for metric, places in table.items()
        for place, draws in places.items()
    ]


def differences(
    tables: Mapping[str, Table], seeds: int, higher_is_better: Mapping[str, bool]
) -> list[dict[str, Any]]:
    """The first recipe against every other, paired; ``shown`` where the interval is clear of 0."""
    recipe, *others = tables
    found = []
    for against in others:
        for metric, ours in tables[recipe].items():
            for place, draws in statistics.differences(
                ours, tables[against].get(metric, {})
            ).items():
                difference = interval(draws)
                shown = is_shown(difference, seeds)
                better = (difference.value > 0) == higher_is_better[metric]
                found.append(
                    {
                        "recipe": recipe,
                        "against": against,
                        "metric": metric,
                        "site": place,
                        **difference.to_json(),
                        "shown": shown,
                        "better": (recipe if better else against) if shown else None,
                    }
                )
    return found


def cautions(tables: Mapping[str, Table], metric: str) -> list[str]:
    """Sites where a figure is undefined in many draws."""
    found, name = {}, words.metric_name(metric)
    for table in tables.values():
        for place, draws in table.get(metric, {}).items():
            share = undefined_share(draws)
            if share > _OFTEN and place not in (MEAN, ALL):
                note = (
                    f"{name} at {place} is undefined in {share:.0%} of the draws, for want of "
                    "patients of one class: do not rely on it"
                )
                found[place] = note
    return list(found.values())
