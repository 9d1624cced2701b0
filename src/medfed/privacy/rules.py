"""What a study must not do beside a privacy mechanism, whichever it is."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from medfed.core.errors import PartError, Problem, Refused
from medfed.core.mechanism import BoundedTask, CountedScores, PrivateTask
from medfed.core.registry import Part, make
from medfed.core.rehearsal import noised_facts, rehearse
from medfed.core.study import Study
from medfed.core.task import LocalJob
from medfed.core.update import Stats

LOSSES = ("train/loss_sum", "train/examples")
"""Statistics of the training patients that no noise protects."""


def plain_job(job: LocalJob) -> None:
    """Complain about a workplace that is private already: a second wrapper would undo the first.

    Raises:
        Refused: ``not-private``.
    """
    if getattr(job, "private", False):
        message = "two mechanisms that protect patients cannot be at work together"
        raise Refused("not-private", message, remedy="Remove all but one under [[privacy]]")


def without_losses(stats: Stats) -> Stats:
    """Statistics of an update but for sums over training patients."""
    return {name: value for name, value in stats.items() if name not in LOSSES}


def common(study: Study, open_sets: Collection[str]) -> list[Problem]:
    """Figures and facts that would leave without noise, and work that nobody has counted."""
    return [*_strategy(study), *_task(study), *_choice(study, open_sets)]


def by_patient(study: Study) -> list[Problem]:
    """A patient more or less must not move any other to another set."""
    split = _made("split", study.split)
    if split is None or getattr(split, "alone", False):
        return []
    message = f"{study.split.name} lets one patient decide where others fall"
    return [Problem("split.name", message, 'Write name = "hash": each falls by itself')]


def named_patients(study: Study) -> list[Problem]:
    """Patients called by the number of their row: one more renames, and moves, all behind it."""
    if getattr(_made("source", study.source), "patient", None) != "":
        return []
    message = "calls patients by their row, and one row more would rename all after it"
    return [Problem("source.patient", message, "Name the column that identifies patients")]


def everybody(study: Study) -> list[Problem]:
    """Patients chosen by what their records say: how many they are would tell it without noise."""
    if not study.cohort.where:
        return []
    message = "how many patients fulfil it would leave without noise, and tell what records say"
    return [Problem("cohort.where", message, "Remove where: noised records are everybody's")]


def unpaid(study: Study) -> list[Problem]:
    """Answers with noise for a patient, which does not hide a hospital, and for which none pays."""
    found = []
    message = "the noise of statistics hides a patient, and the whole hospital would show"
    if study.statistics:
        found.append(Problem("statistics", message, "Remove [[statistics]]: ask in another study"))
    task = _made("task", study.task)
    if task is not None and noised_facts(study):
        remedy = "Remove facts_epsilon: the declared facts stand as they are"
        found.append(Problem("task.facts_epsilon", message, remedy))
    return found


def plain_sums(study: Study) -> list[Problem]:
    """What would make the sum at the coordinator another one than that of clipped updates."""
    found = []
    aggregator = _made("aggregator", study.aggregator)
    if aggregator is not None and not aggregator.linear:
        message = f"{study.aggregator.name} gives no sum, and the noise is made for a sum"
        found.append(Problem("aggregator.name", message, 'Write name = "mean"'))
    if getattr(aggregator, "norm_limit", 0.0):
        message = "would leave out long updates by the others' lengths: one moves more than a clip"
        found.append(Problem("aggregator.norm_limit", message, "Remove norm_limit"))
    if study.compression:
        message = f"{study.compression.name} changes an update after it was clipped"
        found.append(Problem("compression.name", message, "Remove [compression]"))
    strategy = _made("strategy", study.strategy)
    if strategy is not None and (strategy.needs_sum or beside(study)):
        message = f"{study.strategy.name} needs more of a site than its clipped update"
        found.append(Problem("strategy.name", message, 'Write name = "fedavg"'))
    return found


def beside(study: Study) -> list[str]:
    """Statistics that a strategy needs beside updates."""
    return [name for name in rehearse(study)[1].stats if not name.startswith("train/")]


def counted(study: Study) -> list[Problem]:
    """A task whose figures cannot be told by few counts."""
    task = _made("task", study.task)
    if task is None or isinstance(task, CountedScores):
        return []
    message = f"the figures of {study.task.name} cannot be told by counts of patients"
    return [Problem("privacy.scores", message, 'Write scores = "none" or scores = "public"')]


def bounded(study: Study) -> Sequence[Problem]:
    """Records of which a part has no declared bounds, and so no noise."""
    task = _made("task", study.task)
    if task is None:
        return []
    if isinstance(task, BoundedTask):
        return task.unbounded()
    message = f"the records of {study.task.name} are no numbers between declared bounds"
    return [Problem("task.name", message, 'Write name = "dp-sgd" under [[privacy]]')]


def _strategy(study: Study) -> Iterator[Problem]:
    strategy = _made("strategy", study.strategy)
    if strategy is None:
        return
    name = study.strategy.name
    if strategy.personal:
        message = f"{name} makes models that stay at a site, and privacy is counted for those sent"
        yield Problem("strategy.name", message, 'Write name = "fedavg", or remove [[privacy]]')
    if strategy.asynchronous:
        message = f"how often {name} asks a site is not known beforehand, and so not its cost"
        yield Problem("strategy.name", message, 'Write name = "fedavg", or remove [[privacy]]')


def _task(study: Study) -> Sequence[Problem]:
    task = _made("task", study.task)
    if task is None:
        return []
    if isinstance(task, PrivateTask):
        return task.leaks()
    message = f"{study.task.name} does not say what of it would leave without noise"
    return [Problem("task.name", message, "Choose another task, or remove [[privacy]]")]


def _choice(study: Study, open_sets: Collection[str]) -> Iterator[Problem]:
    if "valid" in open_sets:
        return
    remedy = 'Write scores = "public" if validation patients are public, else leave it out'
    if study.stop:
        message = "looks at validation patients, whose figures do not leave under this privacy"
        yield Problem("stop", message, remedy)
    if study.keep == "best":
        message = "needs figures of validation patients, which do not leave under this privacy"
        yield Problem("keep", message, remedy)


def _made(kind: str, part: Part) -> Any:
    """The part; None where it cannot be built, which is complained of elsewhere."""
    try:
        return make(kind, part)
    except PartError:
        return None
