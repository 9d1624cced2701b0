"""Opening a trained model together with what it says about itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.data import MODELS
from medfed.core.errors import DataError
from medfed.core.private_files import sealed, sha256, vault_over
from medfed.core.study import Study
from medfed.core.update import Tensors
from medfed.core.vault import OPEN
from medfed.storage.models import read_model

NAME = "model.safetensors"


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model's tensors, its words about itself, and its digest.

    Attributes:
        tensors: The model.
        about: Study, task with options, facts, notices.
        sha256: Of the file.
        path: The file.
    """

    tensors: Tensors
    about: Mapping[str, Any]
    sha256: str
    path: Path


def open_model(given: Path) -> OpenedModel:
    """Open a run's folder, its ``model.safetensors``, or a ``.pth`` beside the run's records.

    Args:
        given: What the person gave.

    Raises:
        DataError: It cannot be read, or does not say how it was trained.
    """
    path = given / NAME if given.is_dir() else given
    if not path.is_file():
        what = f"{given} holds no {NAME}" if given.is_dir() else f"there is no file {given}"
        raise DataError(what, remedy="Give the folder of a finished run, or its model.safetensors")
    if path.suffix in {".pth", ".pt"}:
        tensors, about = _read_pth(path), _about_from_run(path.parent, path)
    else:
        vault = vault_over(path)
        tensors, about = read_model(path, vault if sealed(path) else OPEN)
    return OpenedModel(tensors, _with_notices(about, path), sha256(path), path)


def released_near(path: Path) -> list[Path]:
    """Where a model's file may have the released models that it builds on.

    A folder ``models`` beside it or beside its run's data, and the folders of the file itself.
    """
    record = _json(path.parent / "run.json")
    data = record.get("data") if isinstance(record, dict) else None
    near = [path.parent / MODELS, path.parent, path.parent.parent / MODELS]
    found = [*near, Path(data) / MODELS] if data else near
    return [folder for folder in found if folder.is_dir()]


def _read_pth(path: Path) -> Tensors:
    from medfed.frameworks.export import read_pth  # imports torch

    return read_pth(path)


def _about_from_run(folder: Path, path: Path) -> dict[str, Any]:
    """What a ``.pth`` cannot say of itself, from the run's own files beside it."""
    study = _json(folder / "study.json")
    if not isinstance(study, dict):
        raise DataError(
            f"{path} holds numbers only: nothing says how its scans were prepared",
            remedy="Put it beside the study.json and facts.json of its run, "
            "or give the run's model.safetensors",
        )
    try:
        read = Study.from_json(study)
    except (LookupError, TypeError):
        raise DataError(f"{folder / 'study.json'} is damaged") from None
    return {
        "study": read.digest,
        "title": read.title,
        "task": study["task"],
        "guideline": study.get("guideline"),
        "facts": _json(folder / "facts.json") or {},
    }


def _with_notices(about: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """With what the run was told of its patients, where the file does not say it itself."""
    if about.get("notices"):
        return about
    record = _json(path.parent / "run.json")
    notices = record.get("notice") if isinstance(record, dict) else None
    return {**about, "notices": notices} if notices else about


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError:
        return None
    except ValueError:
        raise DataError(f"{path} is damaged", remedy="Restore it from a backup") from None
