"""The demo's figures: three synthetic hospitals learn together, and each alone.

The run that is learnt together is one of a console, see `medfed.services.demo_console`. Every other
goes through what a person would use too: `services.runs.start` for each run, the task's own
evaluation for every figure. Nothing is chosen by the held-out patients.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfed.core.data import SiteData
from medfed.core.errors import RunError
from medfed.core.files import write_json
from medfed.core.registry import make
from medfed.core.study import Study
from medfed.core.task import Execution
from medfed.core.update import Stats, Tensors, add_stats
from medfed.services.demo_pictures import names, write_pictures
from medfed.services.demo_study import alone, demo_study
from medfed.services.reports import write_report
from medfed.services.runs import RunOptions, start
from medfed.storage.models import read_model
from medfed.storage.run_folder import RunFolder

FEDERATED = "federated"
LOCAL = "alone"
UNTRAINED = "untrained"
BACKGROUND = "all-background"
SUMMARY = "demo.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """Figures of one recipe on held-out patients: per hospital, and over all of them."""

    sites: Mapping[str, float]
    total: Stats


def judge(study: Study, run: Path, out: Path, data: Path, say: Say) -> dict[str, Any]:
    """Compare a finished run with learning alone and with knowing nothing; write its report again.

    Args:
        study: The federated study, `demo_study`.
        run: The folder of its run.
        out: The demo's folder, where `learn_alone` was.
        data: The synthetic patients.
        say: Shows a sentence.

    Returns:
        The summary, as ``demo.json`` holds it.

    Raises:
        MedfedError: The run is not finished, or its folder or the patients cannot be read.
    """
    say("Scoring it, and two models that know nothing, on patients nobody trained on.")
    clock, folder = _Clock(), RunFolder(run)
    if (result := folder.result()) is None:
        raise RunError("the demo's run is not finished", remedy="Start the demo again")
    jobs = _jobs(study, data, Execution(**folder.record()["execution"]))
    federated = _model(folder)
    found = _scores(study, jobs, federated)
    local = {site: _model(_alone_folder(out, site)) for site in study.sites}
    own = {site: job.evaluate(local[site], "test") for site, job in jobs.items()}
    found = {FEDERATED: found.pop(FEDERATED), LOCAL: _found(study, own), **found}
    clock.lap("scores")
    summary = _summary(study, found, {"together": round(result["seconds"], 2), **clock.laps})
    write_json(run / "comparison.json", _comparison(study, found, summary))
    threshold = float(getattr(study.make_task(), "threshold", 0.5))
    write_pictures(run / "pictures", jobs, federated, local, threshold)
    write_report(folder, result)
    clock.lap("report")
    summary["report"] = str((run / "report.html").resolve())
    write_json(out / SUMMARY, summary)
    return summary


def learn_alone(study: Study, out: Path, data: Path, say: Say) -> None:
    """Each hospital by itself, as many steps on the same patients as in the study."""
    for site in study.sites:
        folder = _alone_folder(out, site)
        options = RunOptions(folder.path, data=data, resume=folder.exists, threads=1)
        start(alone(study, site), options)
        say(f"  {site} has trained alone")


def _alone_folder(out: Path, site: str) -> RunFolder:
    return RunFolder(out / "alone" / site)


def check_demo(run: Path, summary: Mapping[str, Any]) -> None:
    """Complain if a file of the run is missing or its model did not learn.

    Raises:
        RunError: With what is wrong.
    """
    pictures = [run / "pictures" / name for name in names(demo_study().sites)]
    needed = [run / "report.html", run / "model.safetensors", run / "comparison.json", *pictures]
    missing = [str(file) for file in needed if not file.is_file() or not file.stat().st_size]
    if missing:
        raise RunError(f"the demo did not write {', '.join(missing)}", remedy="Run it again")
    dice = summary["dice"]
    for knows_nothing in (UNTRAINED, BACKGROUND):
        if not dice[FEDERATED] > dice[knows_nothing]:
            message = (
                f"the federated model did not learn: Dice {dice[FEDERATED]:.3f} on held-out "
                f"patients, {dice[knows_nothing]:.3f} for the {knows_nothing} model"
            )
            raise RunError(message, remedy="Report it with the run's folder: this should not be")


def _jobs(study: Study, data: Path, execution: Execution) -> dict[str, Any]:
    """Each hospital's workplace, to look at every model on every hospital's patients."""
    opener, split, task = (
        make("source", study.source),
        make("split", study.split),
        study.make_task(),
    )
    found = {}
    for site in study.sites:
        own = SiteData.split(site, opener.open(data, site, study.sites), split, study.seed)
        found[site] = task.job(own, {}, study.seed, execution)
    return found


def _model(folder: RunFolder) -> Tensors:
    return read_model(folder.path / "model.safetensors")[0]


def _scores(study: Study, jobs: Mapping[str, Any], federated: Tensors) -> dict[str, Found]:
    """The federated model and those that know nothing, on the same patients."""
    untrained = study.make_task().initial(study.seed, {})
    return {
        FEDERATED: _found(study, {s: j.evaluate(federated, "test") for s, j in jobs.items()}),
        UNTRAINED: _found(study, {s: j.evaluate(untrained, "test") for s, j in jobs.items()}),
        BACKGROUND: _found(study, {s: _background(j) for s, j in jobs.items()}),
    }


def _found(study: Study, stats: Mapping[str, Stats]) -> Found:
    task = study.make_task()
    figures = {site: task.summarise(own).get("dice") for site, own in stats.items()}
    dice = {site: figure.value for site, figure in figures.items() if figure}
    return Found(dice, add_stats(stats.values()))


def _background(job: Any) -> Stats:
    """A model that marks nothing, really measured."""
    from medfed.tasks.segmentation_stats import overlap, patient_stats

    cases = job.cases("test")
    return add_stats(
        patient_stats(overlap(case.truth, np.zeros_like(case.truth), missed=case.missed))
        for case in cases
    )


def _summary(study: Study, found: Mapping[str, Found], laps: dict[str, float]) -> dict[str, Any]:
    task = study.make_task()
    overall = {r: task.summarise(f.total, intervals=True)["dice"] for r, f in found.items()}
    return {
        "schema": 1,
        "synthetic": True,
        "dice": {recipe: interval.value for recipe, interval in overall.items()},
        "intervals": {recipe: interval.to_json() for recipe, interval in overall.items()},
        "sites": {recipe: dict(f.sites) for recipe, f in found.items()},
        "patients": int(found[FEDERATED].total["patients"]),
        "with_nodules": int(found[FEDERATED].total["positive"][0]),
        "seconds": laps,
    }


def _comparison(
    study: Study, found: Mapping[str, Found], summary: Mapping[str, Any]
) -> dict[str, Any]:
    rows = [
        {"recipe": recipe, "seed": study.seed, "site": site, "metric": "dice", "value": value}
        for recipe, own in found.items()
        for site, value in own.sites.items()
    ]
    listed = [{"recipe": r, "metric": "dice", **i} for r, i in summary["intervals"].items()]
    return {"rows": rows, "summary": listed, "statement": statement(summary)}


def statement(summary: Mapping[str, Any]) -> str:
    """What the figures say, and what they do not, in sentences."""
    dice, patients = summary["dice"], summary["with_nodules"]
    better = [
        site
        for site, own in summary["sites"][LOCAL].items()
        if summary["sites"][FEDERATED].get(site, 0.0) > own
    ]
    who = ", ".join(better) or "no hospital"
    return (
        f"Mean Dice of {patients} held-out patients with nodules: {dice[FEDERATED]:.2f} learning "
        f"together, {dice[LOCAL]:.2f} with each hospital's own model, {dice[UNTRAINED]:.2f} "
        f"untrained, {dice[BACKGROUND]:.2f} marking nothing. "
        f"Learning together came out ahead of learning alone at {who}. One seed and so few "
        "synthetic patients prove nothing, clinically or otherwise: the command medfed compare "
        "takes several seeds and says when no difference is shown."
    )


class _Clock:
    """Seconds of each part."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._from = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._from = round(now - self._from, 2), now
