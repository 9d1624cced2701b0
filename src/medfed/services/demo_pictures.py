"""Held-out slices for the demo's report: the CT, the truth, and what each model marks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.files import write_atomic, write_json
from medfed.core.update import Tensors
from medfed.imaging.pictures import montage, slice_rgb

WIDE = 420
"""Pixels across a slice, at least."""


def write_pictures(
    folder: Path,
    jobs: Mapping[str, Any],
    federated: Tensors,
    local: Mapping[str, Tensors],
    threshold: float,
) -> None:
    """One picture for each hospital, and the index that the report reads.

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
        together = job.predict(federated, case) >= threshold
        alone = job.predict(local[site], case) >= threshold
        png = _panels(case, together, alone)
        write_atomic(folder / f"{site}.png", png)
        caption = (
            f"{site}, a patient no model has seen: the CT; with the nodule (green) and what the "
            f"model trained by all hospitals together marks (orange); what the model of {site} "
            "alone marks. Synthetic patient."
        )
        index.append({"file": f"{site}.png", "caption": caption})
    write_json(folder / "index.json", index)


def _clearest(cases: Any) -> Any:
    """The scan with the most nodule on one slice: it shows most at a glance."""
    return max(cases, key=lambda case: int(case.truth.sum(axis=(1, 2)).max()))


def _panels(case: Any, together: NDArray[Any], alone: NDArray[Any]) -> bytes:
    """Three slices side by side, cut to the lungs, through the most nodule."""
    hu, truth = case.hu, case.truth
    z = int(truth.sum(axis=(1, 2)).argmax())
    scale = max(1, round(WIDE / hu.shape[2]))
    row, column = _square_pixels(case)
    pictures = [
        slice_rgb(row(column(hu[z])), scale=scale),
        *(
            slice_rgb(
                row(column(hu[z])), row(column(truth[z])), row(column(marked[z])), scale=scale
            )
            for marked in (together, alone)
        ),
    ]
    return montage(pictures, columns=3)


def _square_pixels(case: Any) -> tuple[Any, Any]:
    """Repeats of rows or columns where pixels are not square; scanners' slices mostly are."""
    _, y, x = case.grid.spacing_mm
    down, across = max(1, round(y / x)), max(1, round(x / y))
    return (lambda a: np.repeat(a, down, axis=0)), (lambda a: np.repeat(a, across, axis=1))
