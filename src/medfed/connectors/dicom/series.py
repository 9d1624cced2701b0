"""The series of a folder or zip, each with what stands against it.

Only headers are read. A bad file spoils nothing but itself, a bad series nothing but itself: an
importer takes the rest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.dicom.grid import Grid, arrange
from medfed.connectors.dicom.headers import DicomFile, guarded, quiet, read_header
from medfed.connectors.dicom.planes import Plane, planes_of
from medfed.connectors.scans.problems import PROBLEMS, ScanError, ScanProblem, problem
from medfed.connectors.scans.stores import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from medfed.imaging.geometry import Geometry, Triple

OTHER_FORMS = (".mhd", ".mha", ".raw", ".zraw", ".nii", ".nii.gz", ".csv", ".json", ".txt", ".md")
DIRECTORY = "1.2.840.10008.1.3.10"
CHEST = ("chest", "thorax", "thora", "lung", "pulm", "torax", "poumon", "胸", "肺")


@dataclass(frozen=True, eq=False)
class SeriesSummary:
    """One series, from its headers.

    The texts are the scanner's own and may say anything, names too: for the hospital's screens.

    Attributes:
        uid: its Series Instance UID.
        study_uid: that of its study; empty where the headers lack it.
        modality: ``CT``, ``MR``, ``SEG`` …; empty where the headers lack it.
        description: Series Description.
        body_part: Body Part Examined, and the protocol's name.
        slices: how many, as found.
        shape: voxels ``(z, y, x)``; None where no slice could be placed.
        spacing_mm: ``(z, y, x)``, mm; z is the median distance. None as for the shape.
        geometry: the volume's grid; None where a fatal problem stands against it.
        problems: what is wrong; empty for a series to be read without a word.
        notes: what was corrected, in sentences.
        files: names of its files in the folder or zip.
    """

    uid: str
    study_uid: str
    modality: str
    description: str
    body_part: str
    slices: int
    shape: tuple[int, int, int] | None
    spacing_mm: Triple | None
    geometry: Geometry | None
    problems: tuple[ScanProblem, ...]
    notes: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether it can be read as a CT volume."""
        return self.geometry is not None and not any(p.fatal for p in self.problems)

    @property
    def of_the_chest(self) -> bool:
        """Whether the scanner's own texts speak of the chest."""
        text = f"{self.body_part} {self.description}".lower()
        return any(word in text for word in CHEST)


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """The headers of a series that was read.

    Attributes:
        uid: its Series Instance UID.
        slices: headers without pixels, in the order of the volume's z axis. A multi-frame file is
            one header.
    """

    uid: str
    slices: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class FoundSeries:
    """A series with the planes that its pixels are read by."""

    summary: SeriesSummary
    planes: tuple[Plane, ...]


@dataclass(frozen=True, eq=False)
class Survey:
    """What a folder or zip holds.

    Attributes:
        series: sorted by UID.
        problems: of files that belong to no series.
    """

    series: tuple[FoundSeries, ...]
    problems: tuple[ScanProblem, ...]


def find_series(path: Path) -> tuple[SeriesSummary, ...]:
    """Every DICOM series of a folder or zip, or of one file, whatever its state.

    Raises:
        ScanError: there is nothing, or the zip as a whole is refused.
    """
    with open_store(path) as store:
        return tuple(found.summary for found in survey(store).series)


def survey(store: Store) -> Survey:
    """Read the headers of all files, and put their planes in order.

    Files that are evidently something else (by their names) are left out silently.
    """
    with quiet():
        files, bad = _headers(store)
        series: defaultdict[str, list[DicomFile]] = defaultdict(list)
        for file in files:
            try:
                with guarded("no-uid"):
                    series[_series_uid(file.dataset)].append(file)
            except ScanError as error:
                bad.append((error, file.name))
        found = [_described(store, uid, series[uid]) for uid in sorted(series)]
    return Survey(tuple(found), (*store.problems, *_counted(bad, 0)))


def _headers(store: Store) -> tuple[list[DicomFile], list[tuple[ScanError, str]]]:
    files, bad = [], []
    for name, size in store.sizes().items():
        if name.lower().endswith(OTHER_FORMS):
            continue
        try:
            file = read_header(store, name, size)
            with guarded("bad-header"):
                if file.dataset.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY:
                    continue
            files.append(file)
        except ScanError as error:
            bad.append((error, name))
    return files, bad


def _series_uid(dataset: Any) -> str:
    uid, own = dataset.get("SeriesInstanceUID"), dataset.get("SOPInstanceUID")
    if not uid or not own:
        raise ScanError("no-uid")
    return str(uid)


def _described(store: Store, uid: str, files: list[DicomFile]) -> FoundSeries:
    kept, problems = _without_copies(store, files)
    header: Any = kept[0].dataset
    modality = _text(header, "Modality")
    planes: list[Plane] = []
    if modality != "CT":
        problems.append(problem("not-ct", f"the series is {modality or 'of no known kind'}, no CT"))
    elif "LOCALIZER" in _text(header, "ImageType").upper():
        problems.append(problem("localizer"))
    else:
        planes, unplaced = _planes(kept)
        problems += unplaced
    grid = arrange(planes) if planes else None
    if grid:
        problems += grid.problems
    summary = SeriesSummary(
        uid=uid,
        study_uid=_text(header, "StudyInstanceUID"),
        modality=modality,
        description=_text(header, "SeriesDescription"),
        body_part=f"{_text(header, 'BodyPartExamined')} {_text(header, 'ProtocolName')}".strip(),
        slices=len(planes) or len(kept),
        shape=_shape(grid),
        spacing_mm=grid.spacing_mm if grid else None,
        geometry=grid.geometry if grid and not any(p.fatal for p in problems) else None,
        problems=tuple(problems),
        notes=grid.notes if grid else (),
        files=tuple(file.name for file in files),
    )
    return FoundSeries(summary, grid.planes if grid else ())


def _planes(files: Sequence[DicomFile]) -> tuple[list[Plane], list[ScanProblem]]:
    planes: list[Plane] = []
    bad = []
    for file in files:
        try:
            planes += planes_of(file)
        except ScanError as error:
            bad.append((error, file.name))
    return planes, _counted(bad, len(files))


def _without_copies(
    store: Store, files: list[DicomFile]
) -> tuple[list[DicomFile], list[ScanProblem]]:
    """Files that hold one slice twice, byte by byte, count once; others of its name are fatal."""
    kept: dict[str, DicomFile] = {}
    copies: list[str] = []
    fakes: list[str] = []
    for file in files:
        own = str(file.dataset.get("SOPInstanceUID"))
        first = kept.setdefault(own, file)
        if first is not file:
            (copies if _equal(store, first, file) else fakes).append(file.name)
    problems = [problem("repeated-files", files=tuple(copies))] if copies else []
    if fakes:
        message = f"files with the identifier of another slice that differ from it: {len(fakes)}"
        problems.append(problem("duplicate-slices", message, tuple(fakes)))
    return list(kept.values()), problems


def _equal(store: Store, one: DicomFile, other: DicomFile) -> bool:
    if one.size != other.size:
        return False
    try:
        return store.read(one.name, 0, one.size) == store.read(other.name, 0, other.size)
    except ScanError:
        return False


def _counted(bad: Iterable[tuple[ScanError, str]], total: int) -> list[ScanProblem]:
    """One problem for each name and sentence, with its files counted."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for error, file in bad:
        groups[error.name, error.message].append(file)
    found = []
    for (name, message), files in groups.items():
        share = f"{len(files)} of {total}" if total else str(len(files))
        sentence = message if len(files) == total == 1 else f"{message} (files: {share})"
        found.append(
            ScanProblem(name, sentence, PROBLEMS[name].remedy, PROBLEMS[name].fatal, tuple(files))
        )
    return found


def _shape(grid: Grid | None) -> tuple[int, int, int] | None:
    if grid is None:
        return None
    layout = grid.planes[0].layout
    return len(grid.planes), layout.rows, layout.columns


def _text(dataset: Any, keyword: str) -> str:
    try:
        with guarded("bad-header"):
            value = dataset.get(keyword)
            if value is None:
                return ""
            texts = [value] if isinstance(value, str) else np.atleast_1d(value).tolist()
            return "\\".join(str(text) for text in texts).strip()
    except ScanError:
        return ""
