"""LUNA16's annotation table: one nodule a line, in world coordinates.

Columns ``seriesuid,coordX,coordY,coordZ,diameter_mm``; LPS, mm, as in the ``.mhd`` (Setio et al.,
Medical Image Analysis 42, 2017).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medfed.core.errors import DataError
from medfed.core.private_files import text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from medfed.imaging.geometry import Geometry, Triple

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")


@dataclass(frozen=True)
class Annotation:
    """One nodule.

    Attributes:
        series: the series (LUNA16's ``seriesuid``; the patient's folder in the phantom).
        centre_mm: world ``(x, y, z)``, mm, LPS.
        diameter_mm: of the sphere of the nodule's volume, mm.
    """

    series: str
    centre_mm: Triple
    diameter_mm: float


def read_annotations(path: Path) -> tuple[Annotation, ...]:
    """All annotations of a table, in its order.

    Raises:
        DataError: a missing file or column, or a line that is not numbers (the line is named).
    """
    try:
        with text(path, "utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path.name} lacks the column {missing[0]}",
                    remedy=f"LUNA16's columns are {', '.join(COLUMNS)}.",
                )
            return tuple(_annotation(path, reader.line_num, row) for row in reader)
    except FileNotFoundError:
        raise DataError(f"there is no file {path.name} in {path.parent.name}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} is not a CSV table") from error


def check_inside(annotations: Iterable[Annotation], grid: Geometry) -> None:
    """Make sure that every annotation lies in the volume it is about.

    Raises:
        DataError: naming the first one outside.
    """
    for number, nodule in enumerate(annotations, start=1):
        if not grid.contains(nodule.centre_mm):
            where = ", ".join(f"{c:.1f}" for c in nodule.centre_mm)
            raise DataError(
                f"annotation {number} of {nodule.series} lies outside its volume, at ({where}) mm",
                remedy="Coordinates are LPS in mm, as in the .mhd; check their order and signs.",
            )


def annotations_csv(annotations: Iterable[Annotation]) -> str:
    """The table as text, with LUNA16's columns, to a thousandth of a mm."""
    lines = [",".join(COLUMNS)]
    for nodule in annotations:
        numbers = (*nodule.centre_mm, nodule.diameter_mm)
        lines.append(",".join([nodule.series, *(f"{v:.3f}" for v in numbers)]))
    return "\n".join(lines) + "\n"


def _annotation(path: Path, line: int, row: dict[str, str]) -> Annotation:
    try:
        x, y, z, diameter = (float(row[c]) for c in COLUMNS[1:])
    except (TypeError, ValueError):
        raise DataError(f"{path.name}, line {line}: coordinates and diameter are numbers") from None
    if not all(math.isfinite(v) for v in (x, y, z, diameter)) or diameter <= 0:
        raise DataError(f"{path.name}, line {line}: a nodule has a finite centre and a size")
    return Annotation(row["seriesuid"], (x, y, z), diameter)
