"""A finished run and one site's patients, opened as the run opened them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.data import MODELS, SiteData, selected
from medfed.core.errors import DataError, RunError, SiteError
from medfed.core.registry import make
from medfed.core.study import Study
from medfed.core.task import Execution, LocalJob, Task
from medfed.core.update import Facts, Tensors
from medfed.federation.site_folder import SiteFolder
from medfed.storage.models import read_model
from medfed.storage.run_folder import RunFolder

FEWEST = 10
"""Patients in training, and held out: with fewer no figure says anything."""


@dataclass(frozen=True)
class Finished:
    """A finished run, one of its sites, and the model that an attacker is taken to have.

    Attributes:
        own_folder: The site's folder; None where it does not lie in the run's.
        personal: Whether ``model`` is the site's own, which never left it.
    """

    folder: RunFolder
    study: Study
    record: Mapping[str, Any]
    result: Mapping[str, Any]
    site: str
    own_folder: Path | None
    data: SiteData
    task: Task
    facts: Facts
    model: Tensors
    personal: bool

    @property
    def execution(self) -> Execution:
        """What the run computed with."""
        return Execution(**self.record["execution"])

    @property
    def rounds(self) -> int:
        """Rounds of training that the model has behind it."""
        return int(self.result.get("kept_round", self.result.get("rounds", self.study.rounds)))

    def job(self) -> LocalJob:
        """The site's workplace, opened anew.

        Raises:
            DataError: The site's data cannot serve the task any more.
        """
        return self.task.job(self.data, self.facts, self.study.seed, self.execution)


def open_finished(path: Path, site: str | None = None, root: Path | None = None) -> Finished:
    """Open a run's folder and a site's patients.

    Args:
        path: The run's folder.
        site: The site; None where only one has its folder there.
        root: The site's data folder; None for the one that the run used.

    Raises:
        RunError: No run, or not finished.
        SiteError: It is not said which site.
        DataError: The site's data are not here, or not those of the run.
    """
    folder = RunFolder(path)
    if not folder.exists:
        raise RunError(f"there is no run in {path}", remedy="Give the folder of a finished run")
    result = folder.result()
    if result is None:
        remedy = "Go on with it by `medfed run … --resume`, then ask again"
        raise RunError(f"the run in {path} is not finished", remedy=remedy)
    study, record = folder.study(), folder.record()
    name = _site(study, folder, site)
    own = folder.path / "sites" / name
    own_folder = own if (own / "site.toml").exists() else None
    data = _data(study, name, own_folder, _root(own_folder, record, root))
    # A private study may give noised counts, which need not be those of the data.
    _check_patients(data, {} if study.privacy else result.get("patients") or {})
    tensors, about = read_model(folder.path / "model.safetensors")
    personal = bool(make("strategy", study.strategy).personal)
    return Finished(
        folder=folder,
        study=study,
        record=record,
        result=result,
        site=name,
        own_folder=own_folder,
        data=data,
        task=study.make_task(),
        facts=about["facts"],
        model=_own_model(own, str(record["run"])) if personal else tensors,
        personal=personal,
    )


def _site(study: Study, folder: RunFolder, site: str | None) -> str:
    here = [s for s in study.sites if (folder.path / "sites" / s / "site.toml").exists()]
    if site is None and len(here or study.sites) == 1:
        return (here or study.sites)[0]
    if site is None:
        remedy = f"Name one with --site: {', '.join(here or study.sites)}"
        raise SiteError(
            "the report is of one site's patients, and the run had several", remedy=remedy
        )
    if site not in study.sites:
        remedy = f"Its sites are {', '.join(study.sites)}"
        raise SiteError(f"there is no site {site} in this run's study", remedy=remedy)
    return site


def _root(own: Path | None, record: Mapping[str, Any], root: Path | None) -> Path | None:
    """Where the run found the site's data, unless another folder is given."""
    if root is not None:
        return root
    if own is not None and (data := SiteFolder(own).settings().data):
        return data
    return Path(record["data"]) if record.get("data") else None


def _data(study: Study, site: str, own: Path | None, root: Path | None) -> SiteData:
    try:
        source = make("source", study.source).open(root, site, study.sites)
    except DataError as error:
        message = f"the patients of site {site} are not to be had here: {error.message}"
        remedy = "Make the report at the site itself, or give its data folder with --data"
        raise DataError(message, remedy=remedy) from None
    chosen = selected(source, study.cohort.where)
    models = [place / MODELS for place in (own, root) if place]
    return SiteData.split(site, chosen, make("split", study.split), study.seed, models)


def _check_patients(data: SiteData, told: Mapping[str, Any]) -> None:
    scored = told.get(data.site)
    if scored and int(scored) != data.count("test"):
        message = (
            f"the data are not those of the run: site {data.site} had {scored} held-out patients "
            f"then and has {data.count('test')} now"
        )
        raise DataError(message, remedy="Give the folder with the data of that time by --data")
    for count, what in (
        (data.count("train"), "patients in training"),
        (data.count("test"), "patients held out for testing"),
    ):
        if count < FEWEST:
            message = f"site {data.site} has {count} {what}"
            remedy = f"An attack needs {FEWEST} of both to be judged; see [split] of the study"
            raise DataError(message, remedy=remedy)


def _own_model(own: Path, run: str) -> Tensors:
    """The model that a personalising strategy left at the site."""
    file = own / "runs" / run / "model.safetensors"
    if not file.exists():
        remedy = "Make the report where the site's folder is"
        raise DataError("the model of this study is the site's own, and is not here", remedy=remedy)
    from safetensors.numpy import load_file

    tensors: Tensors = load_file(file)
    return tensors
