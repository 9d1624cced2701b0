"""Held-out slices for the demo's report: the CT, the truth, and what each model marks."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.files import write_atomic, write_json
from medfed.core.update import Tensors
from medfed.imaging.pictures import slice_png

WIDE = 480
"""About the pixels across a slice."""

Volume = NDArray[Any]


def write_pictures(
    folder: Path,
    jobs: Mapping[str, Any],
    federated: Tensors,
    local: Mapping[str, Tensors],
    threshold: float,
) -> None:
    """Three pictures for each hospital, and the index that the report reads.

    Args:
        folder: The folder to fill.
        jobs: Each hospital's `medfed.tasks.segmentation_job.SegmentationJob`.
        federated: The model trained together.
        local: Each hospital's own.
        threshold: The probability from which a voxel is marked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for site, job in jobs.items():
        case = _clearest(job.cases("test"))
        z = int(case.truth.sum(axis=(1, 2)).argmax())
        together = job.predict(federated, case) >= threshold
        alone = job.predict(local[site], case) >= threshold
        panels = {
            "ct": (None, None),
            "together": (case.truth, together),
            "alone": (case.truth, alone),
        }
        captions = {
            "ct": f"{site}, a patient no model has seen (synthetic)",
            "together": f"{site}, learned together: truth green, marked orange",
            "alone": f"{site}, learned alone: truth green, marked orange",
        }
        for name, (truth, marked) in panels.items():
            write_atomic(folder / f"{site}-{name}.png", _panel(case, z, truth, marked))
            index.append({"file": f"{site}-{name}.png", "caption": captions[name]})
    write_json(folder / "index.json", index)


def names(sites: Iterable[str]) -> list[str]:
    """The pictures of some hospitals."""
    return [f"{site}-{name}.png" for site in sites for name in ("ct", "together", "alone")]


def _clearest(cases: Any) -> Any:
    """The scan with the most nodule on one slice: it shows most at a glance."""
    return max(cases, key=lambda case: int(case.truth.sum(axis=(1, 2)).max()))


def _panel(case: Any, z: int, truth: Volume | None, marked: Volume | None) -> bytes:
    """One slice, cut to the lungs; rows or columns are repeated where pixels are not square."""
    _, y, x = case.grid.spacing_mm
    down, across = max(1, round(y / x)), max(1, round(x / y))

    def seen(values: Volume) -> Volume:
        return np.repeat(np.repeat(values[z], down, axis=0), across, axis=1)

    hu = seen(case.hu)
    return slice_png(
        hu,
        None if truth is None else seen(truth),
        None if marked is None else seen(marked),
        scale=max(1, round(WIDE / hu.shape[1])),
    )
