"""What cannot stand together in a study, each with what to do about it."""

import dataclasses
from collections import Counter
from typing import Any

from medfed.core.conditions import Condition, impossible
from medfed.core.errors import PartError, Problem, StudyError
from medfed.core.mechanism import PaidQuery
from medfed.core.options import did_you_mean
from medfed.core.registry import Part, load, make, names
from medfed.core.study import PLAIN, PLAIN_NAME, RESERVED, Study
from medfed.core.task import NamedTask, Task


def contradictions(study: Study) -> list[Problem]:
    """Pieces that are each fine and cannot stand together."""
    found: list[Problem] = []
    found += [
        Problem(field, "holds a character that is none", "Remove it")
        for field in ("title", "question")
        if "\0" in getattr(study, field)  # which PostgreSQL takes in no text
    ]
    if not study.title.strip():
        found.append(Problem("title", "is blank", "Give the study a name that people know it by"))
    found += study.guideline.problems() if study.guideline else ()
    _check_sites(study, found)
    _check_cohort(study, found)
    task = _made("task", study.task, found)
    split = _made("split", study.split, found)
    strategy = _made("strategy", study.strategy, found)
    aggregator = _made("aggregator", study.aggregator, found)
    source = _made("source", study.source, found)
    if study.compression:
        compression = _made("compression", study.compression, found)
        if compression and aggregator and compression.sparse and not aggregator.linear:
            message = f"{study.aggregator.name} would take what {study.compression.name} leaves out"
            remedy = 'Write name = "fp16" under [compression], or name = "mean" under [aggregator]'
            found.append(Problem("compression", f"{message} for zeros", remedy))
    if task is None or split is None or strategy is None or aggregator is None:
        return found
    if not aggregator.sees_sites:
        _check_unseen(study, found)
        _check_many(study, getattr(aggregator, "most_sites", None), found)
    _check_kind(study, task, source, found)
    valid = float(getattr(split, "valid", 0.0))
    _check_choice(study, task, valid, found)
    _check_strategy(study, task, strategy, aggregator, valid, found)
    _check_privacy(study, task, found)
    return found


def _check_kind(study: Study, task: Task, source: Any, found: list[Problem]) -> None:
    """A table teaches nothing about voxels, nor a scan about columns."""
    takes, gives = getattr(task, "takes", None), getattr(source, "gives", None)
    if takes is None or gives is None or takes == gives:
        return
    fit = [name for name in names("source") if getattr(load("source", name), "gives", "") == takes]
    message = f"{study.source.name} gives nothing that {study.task.name} can learn from"
    found.append(Problem("source", message, f"Choose another source: {', '.join(fit)}"))


def _check_unseen(study: Study, found: list[Problem]) -> None:
    """What cannot be where nobody sees a single site's update."""
    name = study.aggregator.name
    if study.report == "sites":
        remedy = 'Write report = "overall", or leave it out'
        message = f"under {name} nobody sees a single site's figures"
        found.append(Problem("report", message, remedy))
    if study.compression:
        message = f"saves nothing under {name}: what it sends looks random in every bit"
        found.append(Problem("compression", message, "Remove [compression]"))
    drawn = max(1, round(study.sampling.fraction * len(study.sites)))
    if study.sites and drawn < 3:
        message = f"{name} hides a site among at least three, and a round has {drawn}"
        found.append(Problem("aggregator", message, 'Name more sites, or write name = "mean"'))
    least = study.aggregator.options.get("least", 3)
    if study.sites and drawn >= 3 and least > drawn:
        message = f"asks for {least} sites in a sum, a round has {drawn}"
        found.append(Problem("aggregator.least", message, f"Give {drawn} or less"))


def _check_many(study: Study, most: int | None, found: list[Problem]) -> None:
    if most is not None and len(study.sites) > most:
        message = f"sums over {most} sites at most, and the study has {len(study.sites)}"
        found.append(Problem("aggregator", message, 'Name fewer sites, or write name = "mean"'))


def _check_privacy(study: Study, task: Task | None, found: list[Problem]) -> None:
    """Ask each mechanism what it cannot stand beside; a field of its own is given its place."""
    known = [part.name for part in study.privacy]
    for i, part in enumerate(study.privacy):
        if part.name in known[:i]:
            found.append(Problem(f"privacy[{i}].name", f"{part.name} is there twice", "Remove one"))
        at: list[Problem] = []
        mechanism = _made("mechanism", part, at)
        at += mechanism.problems(study) if mechanism else ()
        found += [_placed(p, "privacy", i) for p in at if p not in found]
    _check_one_of_patients(study, found)
    _check_statistics(study, task, found)


def _check_one_of_patients(study: Study, found: list[Problem]) -> None:
    """Each changes how a site trains: of two, one would throw the other's protection away."""
    own = [part.name for part in study.privacy if _protects_patients(part)]
    several = sorted(set(own))
    if len(several) > 1:
        message = f"{' and '.join(several)} both protect patients, and one alone can be at work"
        found.append(Problem("privacy", message, "Remove all but one"))


def _protects_patients(part: Part) -> bool:
    mechanism = _made("mechanism", part, [])
    return mechanism is not None and mechanism.unit != "hospital"


def _check_statistics(study: Study, task: Task | None, found: list[Problem]) -> None:
    for i, part in enumerate(study.statistics):
        at: list[Problem] = []
        query = _made("query", part, at)
        if query is not None and not isinstance(query, PaidQuery):
            message = f"{part.name} is answered without noise, and serves tasks only"
            at.append(Problem("statistics.name", message, f"Write one of {', '.join(_paid())}"))
        elif query is not None:
            at += query.beside(study)
        found += [_placed(p, "statistics", i) for p in at if p not in found]
    for query in task.prepare() if task is not None else ():
        if isinstance(query, PaidQuery):
            found += [problem for problem in query.beside(study) if problem not in found]


def _paid() -> list[str]:
    """Names of the queries whose answers are noised."""
    return [name for name in names("query") if hasattr(load("query", name), "cost")]


def _placed(problem: Problem, name: str, number: int) -> Problem:
    head, dot, rest = problem.field.partition(".")
    if head != name:
        return problem
    return dataclasses.replace(problem, field=f"{name}[{number}]{dot}{rest}")


def _check_strategy(
    study: Study, task: Any, strategy: Any, aggregator: Any, valid: float, found: list[Problem]
) -> None:
    if strategy.personal and study.keep == "best":
        remedy = 'Write keep = "last": a site keeps only the latest two of its own models'
        found.append(Problem("keep", "a personalised strategy cannot go back", remedy))
    if strategy.asynchronous and study.sampling.fraction < 1:
        remedy = "Remove [sampling]: an asynchronous run takes in every site as it comes"
        found.append(Problem("sampling", "contradicts an asynchronous strategy", remedy))
    if strategy.asynchronous and not aggregator.once:
        remedy = 'Write name = "mean", or choose a strategy that waits for its sites'
        message = f"{study.aggregator.name} asks several times, an asynchronous run asks once"
        found.append(Problem("aggregator", message, remedy))
    if strategy.needs_sum and not aggregator.linear:
        remedy = 'Write name = "mean", or choose another strategy'
        message = f"{study.strategy.name} follows sums over sites, which this rule does not give"
        found.append(Problem("aggregator", message, remedy))
    _check_least(study, strategy, aggregator, found)
    if isinstance(task, NamedTask) and hasattr(strategy, "misfits"):
        found += strategy.misfits(task.tensor_names())
    if study.strategy.name == "finetune" and valid <= 0:
        remedy = "Set valid in [split], such as valid = 0.2"
        message = "fine-tuning is kept where it helps on validation patients, and there are none"
        found.append(Problem("strategy", message, remedy))
    buffer = study.strategy.options.get("buffer", 1)
    if strategy.asynchronous and buffer > len(study.sites):
        message = f"waits for {buffer} replies, and the study has {len(study.sites)} sites"
        found.append(Problem("strategy.buffer", message, f"Give {len(study.sites)} or less"))


def _check_least(study: Study, strategy: Any, aggregator: Any, found: list[Problem]) -> None:
    """A robust rule holds from so many replies on; with fewer it would protect from nobody."""
    least: int = getattr(aggregator, "least_sites", 1)
    buffer = study.strategy.options.get("buffer", 1)
    replies, field = (buffer, "buffer") if strategy.asynchronous else (study.min_sites, "min_sites")
    if replies < least:
        name = study.aggregator.name
        message = f"{name} holds from {least} replies on, a round may have {replies}"
        remedy = f"Raise {field} to {least} or more, or choose another rule"
        if least > len(study.sites):
            remedy = f"Name {least} sites and give {field} = {least}, or choose another rule"
        found.append(Problem("aggregator", message, remedy))


def _made(kind: str, part: Part, found: list[Problem]) -> Any:
    """Build the part, whose own checks may complain about options together."""
    try:
        return make(kind, part)
    except PartError as error:
        found += error.problems or [Problem(kind, error.message, error.remedy or "Change it")]
        return None


def _check_sites(study: Study, found: list[Problem]) -> None:
    if not study.sites:
        found.append(Problem("sites", "is empty", "Name at least one site"))
    twice = sorted(site for site, times in Counter(study.sites).items() if times > 1)
    if twice:
        found.append(Problem("sites", f"names {', '.join(twice)} twice", "Name each site once"))
    odd = [site for site in study.sites if not PLAIN_NAME.fullmatch(site)]
    if odd:
        remedy = f"Use {PLAIN}"
        found.append(Problem("sites", f"{odd[0]!r} is not a site name", remedy))
    reserved = sorted(RESERVED.intersection(study.sites))
    if reserved:
        message = f'"{reserved[0]}" means something else here'
        found.append(Problem("sites", message, "Give the site another name"))
    drawn = max(1, round(study.sampling.fraction * len(study.sites)))
    if study.sites and study.min_sites > drawn:
        remedy = f"Give {drawn} or less, or draw more sites"
        message = f"asks for {study.min_sites} replies, a round has {drawn} sites"
        found.append(Problem("min_sites", message, remedy))


def _check_cohort(study: Study, found: list[Problem]) -> None:
    sound = []
    for text in study.cohort.where:
        try:
            Condition.parse(text)
        except StudyError as error:
            found += error.problems
        else:
            sound.append(text)
    for one, other in impossible(sound):
        message = f"nobody can meet both {one} and {other}"
        found.append(Problem("cohort.where", message, "Change or remove one of the two"))


def _check_choice(study: Study, task: Any, valid: float, found: list[Problem]) -> None:
    chooser = "stop" if study.stop else "keep"
    if (study.stop or study.keep == "best") and valid <= 0:
        remedy = "Set valid in [split], such as valid = 0.2: test patients must not steer the run"
        found.append(Problem(chooser, "needs validation patients, and the split has none", remedy))
    if study.stop and study.stop.metric not in task.higher_is_better:
        remedy = did_you_mean(study.stop.metric, task.higher_is_better)
        message = f"the task does not report {study.stop.metric!r}"
        found.append(Problem("stop.metric", message, remedy))
