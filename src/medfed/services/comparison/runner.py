"""Running all recipes of a comparison, or going on with them, to one answer.

The folder of a comparison::

    plan.json                     the study it belongs to
    runs/RECIPE-SEED[-SITE]/      ordinary runs: finished ones are not repeated, stopped ones go on
    scores/RECIPE-SEED[-SITE].npz what each test patient contributes; stays on this machine
    comparison.json               the answer
    comparison.html  sites.png/.svg  differences.png/.svg
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medfed.core.cores import cores
from medfed.core.data import SiteData
from medfed.core.errors import DataError, QuorumError, Refused, RunError, StudyError
from medfed.core.events import ComparedRun, ComparisonAt, ComparisonStarted, Notice
from medfed.core.files import write_json
from medfed.core.options import did_you_mean
from medfed.core.study import Study
from medfed.services.comparison import answer, scoring, statistics
from medfed.services.comparison.ledgers import check_payers, check_room, price_notes
from medfed.services.comparison.private import check_private
from medfed.services.comparison.recipes import Fit, Recipe, fixed_split, make_recipes
from medfed.services.comparison.statement import statement
from medfed.services.runs import Listener, RunOptions, start
from medfed.storage.run_folder import RunFolder

SCHEMA = 1
SEEDS = 3
"""How many seeds, where nobody says."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What to compare, and where.

    Attributes:
        out: The comparison's folder; one that is there already is gone on with.
        data: The folder of the sites' data; None where the study brings its own.
        ledgers: Folder of the hospitals' site folders, in whose ledgers the runs pay; None gives
            each run ledgers of its own.
        recipes: Names of built-in recipes, or paths of other study files.
        strategies: Strategies to try in the place of the study's.
        seeds: What training starts from; the split stays that of the study's own seed.
        workers: Processes that runs are shared out to; 0 for one run after another in this one.
        metric: The metric of the statement and the plots; the study's own when None.
    """

    out: Path
    data: Path | None = None
    ledgers: Path | None = None
    recipes: tuple[str, ...] = ("federated", "local", "leave-one-out", "pooled")
    strategies: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    workers: int = 0
    metric: str | None = None


def compare(
    study: Study, options: CompareOptions, on_event: Listener = lambda _: None
) -> dict[str, Any]:
    """Run every recipe with every seed, and say what the differences are.

    Args:
        study: The study.
        options: What to compare, and where.
        on_event: Told everything that happens.

    Returns:
        The answer, as ``comparison.json`` holds it.

    Raises:
        MedfedError: With what is wrong and what to do; what was done so far is kept.
    """
    seeds = options.seeds or tuple(range(study.seed, study.seed + SEEDS))
    _check(study, options, seeds)
    fixed = fixed_split(study)
    recipes = make_recipes(fixed, options.recipes, options.strategies)
    check_private(fixed, recipes)
    data = scoring.open_sites(fixed, options.data)
    _begin(options.out, study)
    fits = {recipe.name: [fit for seed in seeds for fit in recipe.fits(seed)] for recipe in recipes}
    runs = sum(map(len, fits.values()))
    on_event(ComparisonStarted(tuple(fits), seeds, runs))
    every = [fit for own in fits.values() for fit in own]
    begun = [fit for fit in every if run_folder(options.out, fit).exists]
    check_payers(study, [run_folder(options.out, fit).path for fit in begun], options.ledgers)
    if options.ledgers:
        todo = [(fit, run_folder(options.out, fit)) for fit in every]
        check_room(study, [each for each in todo if not _finished(*each)], options.ledgers)
    notes = _notes(data, seeds) + price_notes(every, paid=options.ledgers is not None)
    failed = _run_all(recipes, fits, options, on_event)
    records = _score_all(fits, failed, data, options.out, on_event)
    left_out_notes = [f"{name} was left out: {why}" for name, why in failed.items()]
    notes += left_out_notes
    for note in notes:
        on_event(Notice(note))
    return _conclude(study, options, recipes, seeds, data, records, notes)


def _check(study: Study, options: CompareOptions, seeds: Sequence[int]) -> None:
    if len(set(seeds)) < len(seeds) or any(seed < 0 for seed in seeds):
        remedy = "Give each seed once, 0 or greater"
        raise StudyError(f"the seeds {', '.join(map(str, seeds))} cannot be used", remedy=remedy)
    known = study.make_task().higher_is_better
    if options.metric is not None and options.metric not in known:
        remedy = did_you_mean(options.metric, known)
        raise StudyError(f"the task does not report {options.metric!r}", remedy=remedy)


def _begin(out: Path, study: Study) -> None:
    """Make the folder, or see that it belongs to this study."""
    file = out / "plan.json"
    if file.exists():
        if json.loads(file.read_bytes())["study"] != study.digest:
            message = f"{out} holds the comparison of another study"
            raise RunError(message, remedy="Choose another folder with --out")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        remedy = "Choose another folder with --out"
        raise RunError(f"{out} is no comparison's folder and not empty", remedy=remedy)
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, {"schema": SCHEMA, "study": study.digest, "title": study.title})


def _notes(data: Mapping[str, SiteData], seeds: Sequence[int]) -> list[str]:
    empty = [site for site, own in data.items() if not own.count("test")]
    if len(empty) == len(data):
        remedy = "Raise test in [split]"
        raise DataError("no hospital has a test patient to compare models on", remedy=remedy)
    notes = [f"{site} has no test patient and no figures" for site in empty]
    if len(seeds) == 1:
        notes.append("one seed only: how much chance in training matters is unknown")
    return notes


def _run_all(
    recipes: Sequence[Recipe],
    fits: Mapping[str, Sequence[Fit]],
    options: CompareOptions,
    on_event: Listener,
) -> dict[str, str]:
    """Run what is not finished; what could not be run, with the reason."""
    todo = [fit for own in fits.values() for fit in own]
    spared = {fit.name for recipe in recipes if recipe.spares for fit in fits[recipe.name]}
    failed: dict[str, str] = {}
    for name, run in _runner(options)(todo, options, on_event):
        try:
            run()
        except QuorumError as error:
            if name not in spared:
                raise
            failed[name] = error.message
        on_event(ComparedRun(name))
    return failed


Done = Iterator[tuple[str, Callable[[], Any]]]
"""A run's name, and what either returns or raises what became of it."""


def _runner(options: CompareOptions) -> Callable[..., Done]:
    return _in_processes if options.workers else _one_by_one


def _one_by_one(todo: Sequence[Fit], options: CompareOptions, on_event: Listener) -> Done:
    for fit in todo:
        on_event(ComparisonAt(fit.name))
        yield fit.name, partial(_run, fit, options, on_event)


def _in_processes(todo: Sequence[Fit], options: CompareOptions, on_event: Listener) -> Done:
    on_event(ComparisonAt(f"{options.workers} at a time"))
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()  # of whoever called: not ours to end
    with ProcessPoolExecutor(min(options.workers, len(todo)), mp_context=context) as pool:
        try:
            futures = {pool.submit(_run, fit, options): fit.name for fit in todo}
            for future in as_completed(futures):
                yield futures[future], future.result
        except BaseException:
            for process in set(multiprocessing.active_children()).difference(others):
                process.terminate()  # what it wrote is whole; the same command goes on
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _run(fit: Fit, options: CompareOptions, on_event: Listener = lambda _: None) -> None:
    """Run one study to its end, unless it is there already."""
    folder = run_folder(options.out, fit)
    there = RunOptions(
        out=folder.path,
        data=options.data,
        ledgers=options.ledgers,
        resume=folder.exists,
        threads=_threads(fit.study, options.workers),
        report=False,
    )
    if not _finished(fit, folder):
        start(fit.study, there, None, on_event)


def _finished(fit: Fit, folder: RunFolder) -> bool:
    return folder.result() is not None and folder.study().digest == fit.study.digest


def _threads(study: Study, workers: int) -> int | None:
    """A process's part of the cores; more threads than cores wait for each other and spin."""
    if not workers:
        return None
    part = max(1, cores() // workers)
    return min(part, study.make_task().execution().threads)


def run_folder(out: Path, fit: Fit) -> RunFolder:
    """Where a run of a comparison lies."""
    return RunFolder(out / "runs" / fit.name)


Records = dict[str, list[dict[str, scoring.Records]]]
"""By recipe, for every seed, the records of each site."""


def _score_all(
    fits: Mapping[str, Sequence[Fit]],
    failed: dict[str, str],
    data: Mapping[str, SiteData],
    out: Path,
    on_event: Listener,
) -> Records:
    found: dict[str, dict[int, dict[str, scoring.Records]]] = {}
    for recipe, own in fits.items():
        by_seed = found.setdefault(recipe, {fit.seed: {} for fit in own})
        for fit in own:
            if fit.name in failed:
                continue
            on_event(ComparisonAt(f"scoring {fit.name}"))
            kept = out / "scores" / f"{fit.name}.npz"
            try:
                by_seed[fit.seed] |= scoring.score(fit, run_folder(out, fit), data, kept)
            except Refused as no:  # the site left out may be unable to serve the task
                failed[fit.name] = no.message
    return {recipe: _complete(list(seeds.values()), data) for recipe, seeds in found.items()}


def _complete(
    seeds: list[dict[str, scoring.Records]], data: Mapping[str, SiteData]
) -> list[dict[str, scoring.Records]]:
    """Only the sites that have figures with every seed, in the study's order."""
    sites = [site for site in data if all(site in own for own in seeds)]
    return [{site: own[site] for site in sites} for own in seeds]


def _conclude(
    study: Study,
    options: CompareOptions,
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    data: Mapping[str, SiteData],
    records: Records,
    notes: list[str],
) -> dict[str, Any]:
    task = study.make_task()
    counts = {site: own.count("test") for site, own in data.items() if own.count("test")}
    redrawn = statistics.Redrawn.draw(counts, len(seeds))
    tables = {
        name: statistics.recipe_table(task, by_seed, redrawn)
        for name, by_seed in records.items()
        if by_seed and by_seed[0]
    }
    rows = [row for name in tables for row in answer.rows(task, name, seeds, records[name])]
    metric = options.metric or study.metric
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "study": study.digest,
        "title": study.title,
        "metric": metric,
        "seeds": list(seeds),
        "test_patients": counts,
        "recipes": {recipe.name: recipe.about for recipe in recipes},
        "rows": rows,
        "summary": answer.summary(tables),
        "differences": answer.differences(tables, len(seeds), task.higher_is_better),
        "notes": [*notes, *answer.cautions(tables, metric)],
    }
    found["statement"] = statement(found).text
    found["out"] = str(options.out.resolve())
    _write(options.out, found, study.question)
    return found


def _write(out: Path, found: Mapping[str, Any], question: str) -> None:
    from medfed.services.comparison.page import write_page  # brings Matplotlib

    write_page(out, found, question)
    write_json(out / "comparison.json", dict(found))
