"""Membership inference on a run's model, with the site's own patients as the test of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.data import SetName
from medfed.core.errors import MedfedError
from medfed.core.seeding import derive, generator
from medfed.core.task import LocalJob, PatientJob, Task
from medfed.core.update import Tensors
from medfed.privacy.evidence.membership import (
    FEWEST,
    assign,
    confidences,
    likelihood_ratios,
    loss_scores,
)
from medfed.privacy.evidence.success import AtRate, Success, success
from medfed.services.evidence.lines import Lines
from medfed.services.evidence.opening import Finished
from medfed.services.evidence.rehearsal import alone
from medfed.services.evidence.tables import Table

SHADOWS = 64
LEAST_SHADOWS = 4 * FEWEST
MOST_SHARE = 0.75
"""Of the patients, at most, are trained on by a shadow model: the others are needed as well."""

Losses = NDArray[np.float64]
Tick = Callable[[int, int], None]
"""Told how many shadow models there are, of how many."""


def loss_threshold(run: Finished, job: LocalJob, table: Table | None) -> dict[str, Any]:
    """The attack by the loss alone; for any task that scores patients one by one."""
    members, others = _losses(run, job, table)
    if not len(members) or not len(others):
        return {"done": False, "reason": "the task gives no loss of a single patient"}
    reached = success(loss_scores(members), loss_scores(others))
    why = {} if table is not None else {"why_weak": "a stronger attack was not tried"}
    return {"done": True, "weak": bool(why), **why, **_plain(reached)}


def lira(run: Finished, table: Table | None, shadows: int, tick: Tick) -> dict[str, Any]:
    """LiRA with shadow models of the site's own patients; tables only."""
    if table is None:
        return {"done": False, "reason": "shadow models are trained for studies of tables only"}
    share = min(table.trained / table.patients, MOST_SHARE)
    seed = run.study.seed
    inside = assign(table.patients, shadows, share, generator(seed, run.site, "shadows"))
    initial = run.task.initial(seed, run.facts)
    seen: list[Losses] = []
    lines = Lines(run.study, run.site) if run.study.privacy else None
    for number, who in enumerate(inside):
        tick(number, shadows)
        job = table.learning_from(who, derive(seed, run.site, "shadow", number))
        try:
            model = alone(run.study, initial, job, run.rounds, lines)
        except MedfedError as error:
            reason = f"a shadow model could not be trained: {error.message}"
            return {"done": False, "reason": reason}
        seen.append(confidences(table.losses(model)))
    tick(shadows, shadows)
    observed = confidences(table.losses(run.model))
    scores = likelihood_ratios(observed, np.stack(seen), inside)
    reached = success(scores[: table.trained], scores[table.trained :])
    weak = _weakness(lines)
    about = {"shadows": shadows, "patients_per_shadow": round(float(inside.sum(axis=1).mean()))}
    return {"done": True, "weak": bool(weak), **weak, **about, **_plain(reached)}


def _weakness(lines: Lines | None) -> dict[str, str]:
    """Why shadow models are not made as the model attacked was, if they are not."""
    if lines is None or not lines.at_coordinator:
        return {}
    return {"why_weak": "one site’s shadow models lack the noise that the coordinator adds"}


def _losses(run: Finished, job: LocalJob, table: Table | None) -> tuple[Losses, Losses]:
    """Losses of the patients trained on, and of those held out."""
    if table is not None:
        losses = table.losses(run.model)
        return losses[: table.trained], losses[table.trained :]
    members, others = (_each(run.task, job, run.model, name) for name in ("train", "test"))
    return members, others


def _each(task: Task, job: LocalJob, model: Tensors, on: SetName) -> Losses:
    """Each patient's loss by the task's own figures; who has none is left out."""
    stats = job.evaluate_each(model, on) if isinstance(job, PatientJob) else None
    figures = [task.summarise(one).get("loss") for one in stats or ()]
    losses = np.array([figure.value for figure in figures if figure is not None], np.float64)
    return losses[np.isfinite(losses)]


def _plain(reached: Success) -> dict[str, Any]:
    return {
        "members": reached.members,
        "others": reached.others,
        "auc": {**reached.auc.to_json(), "p": reached.p},
        "at": [_at(one) for one in reached.at],
        "shown": reached.shown,
    }


def _at(one: AtRate) -> dict[str, Any]:
    return {
        "rate": one.rate,
        "found": one.found,
        "share": one.share.to_json(),
        "false_alarms": one.alarms,
        "false_alarm_share": one.alarm_share.to_json(),
        "guessing": {"mean": one.guessing, "high": one.guessing_high},
        "p": one.p,
        "shown": one.shown,
    }
