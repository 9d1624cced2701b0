"""Finished runs beside one another: figures with intervals, traffic, time."""

from collections.abc import Sequence
from typing import Any

from medfed.core.errors import MedfedError
from medfed.core.study import Study
from medfed.core.study_file import parse_study
from medfed.services.console.comparisons import Unusable
from medfed.services.console.models import Models
from medfed.services.console.runs import Runs
from medfed.storage.database.tables import ModelRow, RunRow

MOST = 6
OVERALL = ""
"""Stands for all hospitals where a hospital's name stands otherwise."""


def side_by_side(runs: Runs, models: Models, wanted: Sequence[str]) -> dict[str, Any]:
    """Two finished runs or more, with what sets them apart.

    Args:
        runs: The console's.
        models: The console's.
        wanted: Ids of the runs, the first the one that others are held against.

    Returns:
        ``runs`` in the given order; ``figures``, one row for each hospital and metric with an
        interval for each run; ``same_patients``, whether they were tested on the same patients.

    Raises:
        RunError: One is not there, or they are not 2 to `MOST` finished ones.
    """
    ids = list(dict.fromkeys(wanted))
    if not 2 <= len(ids) <= MOST:
        raise Unusable("that is no choice to compare", remedy=f"Choose 2 to {MOST} runs")
    rows = [runs.find(each) for each in ids]
    found = [models.of_run(each) for each in ids]
    finished = [model for model in found if model is not None]
    if len(finished) < len(found):
        raise Unusable("a run that is not finished has no figures", remedy="Choose finished runs")
    return {
        "runs": [_about(runs, row) for row in rows],
        "figures": _figures(finished),
        "same_patients": _same_patients([row.toml for row in rows]),
    }


def _about(runs: Runs, row: RunRow) -> dict[str, Any]:
    study = _study(row.toml)
    rounds = runs.rounds(row.id)
    return {
        "id": row.id,
        "title": row.title,
        "metric": row.metric,
        "strategy": study.strategy.name if study else "",
        "aggregator": study.aggregator.name if study else "",
        "privacy": [part.name for part in study.privacy] if study else [],
        "engine": row.engine,
        "rounds": row.round,
        "seconds": sum(each.seconds or 0.0 for each in rounds),
        "bytes_up": row.bytes_up,
        "bytes_down": row.bytes_down,
        "curve": [[each.round, each.metrics.get(row.metric)] for each in rounds],
    }


def _figures(models: Sequence[ModelRow]) -> list[dict[str, Any]]:
    places = {OVERALL: [model.metrics["overall"] for model in models]}
    sites = dict.fromkeys(site for model in models for site in model.metrics["sites"])
    places |= {site: [m.metrics["sites"].get(site, {}) for m in models] for site in sites}
    return [
        {"site": site, "metric": metric, "values": [each.get(metric) for each in by_run]}
        for site, by_run in places.items()
        for metric in dict.fromkeys(name for each in by_run for name in each)
    ]


def _same_patients(texts: Sequence[str]) -> bool:
    """Whether cohort, data and split are the same, and so the test patients."""
    studies = [_study(text) for text in texts]
    kept = [_who(study) for study in studies if study]
    return len(kept) == len(texts) and all(each == kept[0] for each in kept)


def _who(study: Study) -> tuple[Any, ...]:
    seed = study.split.options.get("seed")
    fixed = study.seed if seed is None else seed
    shares = [study.split.options.get(name) for name in ("test", "valid", "stratify")]
    return (study.sites, study.source, study.cohort.where, study.split.name, fixed, *shares)


def _study(text: str) -> Study | None:
    try:
        return parse_study(text)
    except MedfedError:  # a part that it names is no longer installed
        return None
