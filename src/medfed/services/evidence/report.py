"""The privacy report of a run at one site: composed, and kept where only the site reads it."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed import __version__
from medfed.core.errors import DataError, RunError
from medfed.core.files import write_atomic, write_json
from medfed.core.registry import make
from medfed.services.evidence import words
from medfed.services.evidence.canary import canaries
from medfed.services.evidence.inversion import inversion
from medfed.services.evidence.membership import SHADOWS, Tick, lira, loss_threshold
from medfed.services.evidence.opening import Finished, open_finished
from medfed.services.evidence.tables import Table
from medfed.services.reports.speech import speech_in

SCHEMA = 1
"""Version of what the JSON file holds; see docs/reference/privacy-report.md."""
PLACE = "evidence"
"""The folder of a site's folder that holds its reports."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What is asked.

    Attributes:
        run: The folder of a finished run.
        site: Whose patients; None where the run's folder holds one site's folder only.
        data: The site's data folder; None for the one that the run used.
        out: The page to write; None for one in the site's folder. The JSON file lies beside it.
        shadows: How many shadow models LiRA trains.
        language: Of the page, among those that `speech_in` knows.
    """

    run: Path
    site: str | None = None
    data: Path | None = None
    out: Path | None = None
    shadows: int = SHADOWS
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Reported:
    """A report, and where it lies."""

    about: Mapping[str, Any]
    page: Path
    json: Path


def make_report(options: ReportOptions, tell: Tell, tick: Tick) -> Reported:
    """Attack a run's model with one site's patients, and write down what was learned.

    Args:
        options: What is asked.
        tell: Told what goes on.
        tick: Told how many shadow models are trained.

    Raises:
        MedfedError: The run is not finished, its data are not here, or no attack fits its task.
    """
    start = time.perf_counter()
    run = open_finished(options.run, options.site, options.data)
    page = _page(run, options.out)
    tell(f"Opening the patients of {run.site}")
    about = _attacked(run, options.shadows, tell, tick)
    about["made"]["seconds"] = round(time.perf_counter() - start, 1)
    from medfed.services.evidence.page import render  # brings Jinja2

    written = render(about, speech_in(options.language))
    write_atomic(page, written.encode())  # both readable by their owner only
    file = page.with_suffix(".json")
    write_json(file, about)
    return Reported(about, page, file)


def _page(run: Finished, out: Path | None) -> Path:
    """Where to write, found out before the work is done."""
    if out is None:
        if run.own_folder is None:
            message = f"the folder of site {run.site} is not in the run's"
            raise DataError(message, remedy="Say where to write: --out FILE.html")
        place = run.own_folder / PLACE
        place.mkdir(mode=0o700, exist_ok=True)
        return place / f"privacy-{run.record['run']}.html"
    if out.suffix != ".html":
        raise DataError(f"{out} does not end in .html", remedy="Write --out FILE.html")
    if not out.parent.is_dir():
        raise DataError(f"there is no folder {out.parent}", remedy="Make it first")
    return out


def _attacked(run: Finished, shadows: int, tell: Tell, tick: Tick) -> dict[str, Any]:
    job = run.job()
    table = Table.of(job)
    tell("Asking the model for the loss of each patient")
    threshold = loss_threshold(run, job, table)
    if not threshold["done"]:
        message = f"no attack is known here on the task {run.study.task.name}"
        remedy = "Its job gives no loss of a single patient, which every attack here starts from"
        raise RunError(message, remedy=remedy)
    if table is not None:
        tell(f"Training {shadows} shadow models")
    by_ratio = lira(run, table, shadows, tick)
    if run.study.privacy:
        tell("Looking for canaries under the study's privacy lines")
    canary = canaries(run)
    tell("Reading rows out of the first layer")
    about: dict[str, Any] = {
        "schema": SCHEMA,
        "made": {
            "by": f"medfed {__version__}",
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        "run": {
            "id": run.record["run"],
            "title": run.study.title,
            "study": run.study.digest,
            "model_sha256": run.result.get("model_sha256"),
            "rounds": run.rounds,
            "task": run.study.task.name,
        },
        "site": run.site,
        "sites": len(run.study.sites),
        "model": "own" if run.personal else "released",
        "sees_sites": bool(make("aggregator", run.study.aggregator).sees_sites),
        "patients": {"trained": run.data.count("train"), "held_out": run.data.count("test")},
        "notices": list(run.record.get("notice") or ()),
        "mechanisms": [part.to_json() for part in run.study.privacy],
        "claimed": list(claimed(run.result.get("privacy"), run.site, run.study.sites)),
        "canary": canary,
        "membership": {"lira": by_ratio, "loss_threshold": threshold},
        "inversion": inversion(run, table),
    }
    parts = (threshold, by_ratio, about["inversion"], *canary)
    about["shown"] = any(part.get("shown", False) for part in parts)
    return {**about, "findings": words.findings(about), "limits": words.limits(about)}


def claimed(told: Any, site: str, sites: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """What a result says of ε, wherever in it that stands; other sites' figures are passed over.

    Args:
        told: The result's ``privacy``; anything, or None.
        site: The site that the report is of.
        sites: All of the study's.
    """
    if isinstance(told, Mapping) and told.get("site", site) == site:
        epsilon = told.get("epsilon")
        if isinstance(epsilon, (int, float)) and not isinstance(epsilon, bool):
            known = ("name", "mechanism", "unit", "epsilon", "delta")
            yield {name: told[name] for name in known if name in told}
        for name, inner in told.items():
            if name not in sites or name == site:
                yield from claimed(inner, site, sites)
    elif isinstance(told, (list, tuple)):
        for inner in told:
            yield from claimed(inner, site, sites)
