"""Reading a DICOM series and bringing it to a study's grid, beside SimpleITK alone."""

import os
import statistics
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import SimpleITK
from _common import Row, ratio, row, timings

from medfed.connectors.phantom import make_phantom
from medfed.connectors.scans import read_scan
from medfed.imaging.resample import resample

REAL = "ct-cptac-lscc-chest-series"
SPACING_MM = 1.5


def reading_rows(quick: bool) -> list[Row]:
    """The real series where there is one, else a phantom's."""
    data = os.environ.get("MEDFED_DATA")
    with tempfile.TemporaryDirectory(prefix="medfed-reading-") as name:
        folder = Path(name)
        if data and (archives := sorted((Path(data) / REAL).glob("*.zip"))):
            with zipfile.ZipFile(archives[0]) as archive:
                archive.extractall(folder)
            return _rows("real series", _series(folder), quick)
        return _rows("phantom series", _phantom_series(folder, quick), quick)


def _rows(what: str, folder: Path, quick: bool) -> list[Row]:
    functions = {"ours": lambda: ours(folder), "bare": lambda: bare(folder)}
    took = timings(functions, 2 if quick else 7)
    slices = len(list(folder.iterdir()))
    name = f"DICOM, {what} of {slices} slices, read and resampled to {SPACING_MM} mm"
    return [
        row(f"{name}: against SimpleITK alone", ratio(took["ours"], took["bare"]), "×", 1.5),
        row(f"{name}: time", 1e3 * statistics.median(took["ours"]), "ms"),
    ]


def ours(folder: Path) -> object:
    return resample(read_scan(folder).volume, SPACING_MM)


def bare(folder: Path) -> Any:
    """The lines that everybody writes."""
    sitk: Any = SimpleITK
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    size = [
        round(n * s / SPACING_MM) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)
    ]
    return sitk.Resample(
        image,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        [SPACING_MM] * 3,
        image.GetDirection(),
        -1024,
        sitk.sitkInt16,
    )


def _series(folder: Path) -> Path:
    """The folder below that holds the slices."""
    found = {file.parent for file in folder.rglob("*.dcm")}
    if len(found) != 1:
        raise SystemExit(f"{folder} holds no single series of .dcm files")
    return found.pop()


def _phantom_series(folder: Path, quick: bool) -> Path:
    make_phantom(folder / "made", ["hospital"], 1, "small" if quick else "full", 1, dicom=True)
    return _series(folder)
