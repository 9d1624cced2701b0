"""Figures of every test patient by itself: what a paired comparison stands on.

The data of all sites are on this machine, so a finished run's model can be shown every test
patient again. What a patient gives are the task's own additive statistics (`LocalJob.evaluate`):
drawing patients again is then nothing but adding other multiples of them, for any task.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medfed.core.data import MODELS, SiteData, selected
from medfed.core.errors import RunError
from medfed.core.files import write_atomic
from medfed.core.no_pickles import unpickling_refused
from medfed.core.registry import make
from medfed.core.study import Study
from medfed.core.task import Execution, PatientJob, Task
from medfed.core.update import Array, Facts, Stats, Tensors
from medfed.services.comparison.recipes import Fit
from medfed.storage.models import read_model
from medfed.storage.run_folder import RunFolder

_MODEL = "model"
Records = Mapping[str, Array]
"""Additive statistics of a site's test patients, one row each."""


def open_sites(study: Study, root: Path | None) -> dict[str, SiteData]:
    """Every site's data, split as the study says.

    Raises:
        DataError: With the source's own words.
    """
    opener, split = make("source", study.source), make("split", study.split)
    found = {}
    for site in study.sites:
        source = selected(opener.open(root, site, study.sites), study.cohort.where)
        models = [root / MODELS] if root else []
        found[site] = SiteData.split(site, source, split, study.seed, models)
    return found


def score(fit: Fit, run: RunFolder, data: Mapping[str, SiteData], kept: Path) -> dict[str, Records]:
    """The records of a finished run's model, by site; computed once and kept in a file.

    Args:
        fit: The run.
        run: Its folder.
        data: All sites' data.
        kept: The file to keep them in; it stays on this machine, as the data do.

    Raises:
        DataError: The model is damaged or does not fit the data.
    """
    result = run.result() or {}
    digest = str(result.get("model_sha256", ""))
    found = _kept(kept, digest, data, fit.scored)
    if found is None:
        found = {
            site: _records(fit, run, data[site]) for site in fit.scored if data[site].count("test")
        }
        _keep(kept, digest, found)
    return found


def _records(fit: Fit, run: RunFolder, data: SiteData) -> Records:
    task = fit.study.make_task()
    facts = _read_facts(run)
    execution = Execution(**run.record()["execution"])
    model = _model(fit, run, data.site)
    rows = patient_stats(task, data, facts, model, fit.seed, execution)
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def patient_stats(
    task: Task, data: SiteData, facts: Facts, model: Tensors, seed: int, execution: Execution
) -> Sequence[Stats]:
    """What `LocalJob.evaluate` gives for each of a site's test patients."""
    job = task.job(data, facts, seed, execution)
    rows = job.evaluate_each(model, "test") if isinstance(job, PatientJob) else None
    if rows is not None:
        return rows
    rows = []
    for patient in data.sets["test"]:
        alone = replace(data, sets={**data.sets, "test": (patient,)})
        rows.append(task.job(alone, facts, seed, execution).evaluate(model, "test"))
    return rows


def _model(fit: Fit, run: RunFolder, site: str) -> Tensors:
    """The model that the site would use: its own where the strategy makes one."""
    if make("strategy", fit.study.strategy).personal:
        own = sorted((run.path / "sites" / site / "runs").glob("*/model.safetensors"))
        if own:
            from safetensors.numpy import load_file

            tensors: Tensors = load_file(own[-1])
            return tensors
        if site in fit.study.sites:
            raise RunError(f"{run.path} lacks the personal model of {site}", remedy="Run it anew")
    return read_model(run.path / "model.safetensors")[0]


def _read_facts(run: RunFolder) -> dict[str, Any]:
    _, about = read_model(run.path / "model.safetensors")
    facts: dict[str, Any] = about["facts"]
    return facts


def _keep(path: Path, digest: str, records: Mapping[str, Records]) -> None:
    arrays: dict[str, Any] = {_MODEL: np.array(digest)}
    arrays |= {
        f"{site}|{name}": array for site, own in records.items() for name, array in own.items()
    }
    blob = io.BytesIO()
    np.savez_compressed(blob, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, blob.getvalue(), durable=False)


@unpickling_refused()
def _kept(
    path: Path, digest: str, data: Mapping[str, SiteData], sites: Sequence[str]
) -> dict[str, Records] | None:
    """What was kept, if it belongs to this model and these patients."""
    try:
        with np.load(path) as file:
            if not digest or str(file[_MODEL]) != digest:
                return None
            found: dict[str, dict[str, Array]] = {}
            for name in file.files:
                site, _, stat = name.partition("|")
                if stat:
                    found.setdefault(site, {})[stat] = file[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    wanted = {site: data[site].count("test") for site in sites if data[site].count("test")}
    counts = {site: len(next(iter(own.values()))) for site, own in found.items()}
    return dict(found) if counts == wanted else None
