"""A released model that a site has on its own disk, known by the SHA-256 of its file.

A study says which model it wants by its digest; the model never comes with the study. Whoever runs
the site puts the file where the site looks, and that is the site's say in the matter.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.errors import DataError, MedfedError, Refused
from medfed.core.private_files import content, sha256
from medfed.core.registry import make, part_from_json
from medfed.core.task import Execution
from medfed.core.update import Facts, Tensors
from medfed.imaging.prediction import PredictingTask, ScanPredictor

KEY = "medfed"
"""Under which a model file says what it is."""


@dataclass(frozen=True, eq=False)
class Released:
    """A model file, opened.

    Attributes:
        task: The task that it was trained for, with the options of its study.
        tensors: The model.
        facts: The facts that its study fitted first.
    """

    task: PredictingTask
    tensors: Tensors
    facts: Facts

    def predictor(self, execution: Execution) -> ScanPredictor:
        """The model at work on scans."""
        return self.task.predictor(self.tensors, self.facts, execution)


def open_released(digest: str, folders: Sequence[Path], site: str) -> Released:
    """Find and open a model that predicts on scans.

    Args:
        digest: SHA-256 of the file, 64 hexadecimal digits.
        folders: Where the site keeps released models.
        site: The site's name, for messages.

    Raises:
        Refused: ``missing-part``: the site has no such file, or it is no model for scans.
        DataError: The file says about itself what cannot be read.
    """
    blob = _find(digest, folders)
    if blob is None:
        message = f"site {site} has not released the model {digest[:12]}…"
        remedy = (
            "Whoever runs the site puts its model.safetensors, under any name, into the folder "
            "models beside the site's data or in the site's own folder"
        )
        raise Refused("missing-part", message, remedy=remedy)
    tensors, about = _read(blob, digest)
    try:
        task = make("task", part_from_json(about["task"]))
    except (LookupError, TypeError, MedfedError):
        message = f"the model {digest[:12]}… was trained for a task that site {site} does not know"
        raise Refused("missing-part", message, remedy="Update medfed there") from None
    if not isinstance(task, PredictingTask):
        message = f"the model {digest[:12]}… marks nothing in scans"
        remedy = "Name the model of a study with the task nodule-segmentation"
        raise Refused("missing-part", message, remedy=remedy)
    return Released(task, tensors, dict(about.get("facts", {})))


def _find(digest: str, folders: Sequence[Path]) -> bytes | None:
    """The bytes with this digest: what is opened is what was checked."""
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            try:
                if sha256(path) == digest:
                    blob = content(path)
                    if hashlib.sha256(blob).hexdigest() == digest:
                        return blob
            except (OSError, DataError):
                continue  # another copy may be readable
    return None


def _read(blob: bytes, digest: str) -> tuple[Tensors, dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(blob)
        header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
        about = dict(json.loads(header["__metadata__"][KEY]))
    except (SafetensorError, ValueError, TypeError, LookupError):
        message = f"the file with the digest {digest[:12]}… is no model that medfed wrote"
        raise DataError(message, remedy="Name a run's model_sha256") from None
    return tensors, about
