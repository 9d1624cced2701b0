"""A folder of synthetic hospitals: whole or absent, the same bits for the same seed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from medfed.connectors.annotations import Annotation, annotations_csv
from medfed.connectors.phantom.patient import Patient, draw_patient
from medfed.connectors.phantom.scanner import scanner_of
from medfed.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Geometry

Size = Literal["small", "full"]
Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, patient_id)`` after each patient."""

FORMAT = 1
"""Raised when the same parameters would give other bits."""

MANIFEST = "manifest.json"
MOST_PATIENTS = 10_000
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

README = """\
EVERYTHING IN THIS FOLDER IS SYNTHETIC.

These thorax CTs were drawn by a program (medfed data phantom). They show no person, living or dead.
They exist to try out software: a figure obtained on them says nothing about how a model would do on
patients, and must not be used for any clinical purpose.

{hospital}: {patients} patients, size "{size}", seed {seed}, scanner "{scanner}", kernel "{kernel}".

  <patient>/ct.mhd, ct.raw      the CT, int16 Hounsfield units, LPS, mm
  <patient>/mask.mhd, mask.raw  the nodules, uint8 0/1, on the same grid
  annotations.csv               LUNA16's columns; seriesuid is the patient's folder; centres in mm
  nodules.csv                   the same nodules with what they are made of and what they touch
  patients.csv                  the patients
  scanner.json                  how this hospital scans
"""


@dataclass(frozen=True)
class Phantom:
    """What `make_phantom` made or found.

    Attributes:
        out: the folder.
        hospitals: their folder names, in order.
        patients: per hospital.
        nodules: in all.
        reused: True where the folder already held exactly this phantom.
    """

    out: Path
    hospitals: tuple[str, ...]
    patients: int
    nodules: int
    reused: bool


def make_phantom(
    out: Path,
    hospitals: int | Sequence[str] = 3,
    patients: int = 8,
    size: Size = "small",
    seed: int = 0,
    progress: Progress | None = None,
) -> Phantom:
    """Draw synthetic hospitals into a folder.

    The same arguments give the same bits, on the same machine and libraries. A patient depends on
    the seed, the hospital's name and place in the list, and the patient's number only: more
    patients leave the earlier ones as they are.

    Args:
        out: the folder to make (an empty one will do); it appears at the end, whole. Where it
            already holds the same phantom, that is used.
        hospitals: how many (named ``hospital-1`` …), or their names.
        patients: per hospital.
        size: ``small`` (64 x 96 x 96 voxels of 3.4-4.2 mm) or ``full`` (512 x 512 x 193-290).
        seed: any integer from 0.
        progress: called after each patient.

    Raises:
        DataError: an argument makes no sense, or ``out`` holds something else.
    """
    names = _names(hospitals)
    if isinstance(patients, bool) or not 1 <= patients <= MOST_PATIENTS:
        raise DataError(f"a phantom has 1 to {MOST_PATIENTS} patients per hospital, not {patients}")
    if size not in get_args(Size):
        raise DataError(f"there is no phantom size {size!r}", remedy="Choose small or full.")
    if type(seed) is not int or seed < 0:
        raise DataError(f"a seed is a whole number from 0, not {seed!r}")
    wanted = {
        "synthetic": True,
        "format": FORMAT,
        "hospitals": list(names),
        "patients": patients,
        "size": size,
        "seed": seed,
    }
    if out.exists() and not _empty(out):
        return _reuse(out, wanted)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    except OSError as error:
        raise DataError(f"{out} cannot be made: {error.strerror}") from error
    try:
        nodules = 0
        files: dict[str, str] = {}
        for number, name in enumerate(names):
            done = number * patients
            total = len(names) * patients

            def tell(count: int, who: str, done: int = done, total: int = total) -> None:
                if progress is not None:
                    progress(done + count, total, who)

            nodules += _hospital(work, files, number, name, patients, size, seed, tell)
        manifest = {**wanted, "nodules": nodules, "files": files}
        _put(work, MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n", {})
        work.chmod(0o755)
        work.rename(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Phantom(out, names, patients, nodules, reused=False)


def _empty(out: Path) -> bool:
    return out.is_dir() and not any(out.iterdir())


def _names(hospitals: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(hospitals, str):
        raise DataError("hospitals is a number or a list of names")
    if isinstance(hospitals, int):
        if isinstance(hospitals, bool) or not 1 <= hospitals <= 1000:
            raise DataError(f"a phantom has 1 to 1000 hospitals, not {hospitals}")
        return tuple(f"hospital-{n}" for n in range(1, hospitals + 1))
    names = tuple(hospitals)
    if not names:
        raise DataError("a phantom needs at least one hospital")
    for name in names:
        if not NAME.fullmatch(name):
            raise DataError(
                f"{name!r} cannot name a hospital",
                remedy="Use lower-case letters, digits, - and _, at most 63.",
            )
    if len(set(names)) < len(names):
        raise DataError("two hospitals have the same name")
    return names


def _reuse(out: Path, wanted: dict[str, Any]) -> Phantom:
    """The phantom in ``out``, if it is the one wanted and unharmed."""
    remedy = "Choose another folder, or remove this one."
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
        files = dict(manifest["files"])
        nodules = int(manifest["nodules"])
        found = {key: manifest.get(key) for key in wanted}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{out} exists and is no phantom", remedy=remedy) from None
    if found != wanted:
        differ = ", ".join(
            f"{k} {found[k]} not {wanted[k]}" for k in wanted if found[k] != wanted[k]
        )
        raise DataError(f"{out} holds another phantom ({differ})", remedy=remedy)
    for name, digest in files.items():
        path = out / name
        if not path.is_file() or _digest(path) != digest:
            raise DataError(f"{out} holds this phantom, but {name} was changed", remedy=remedy)
    return Phantom(out, tuple(wanted["hospitals"]), wanted["patients"], nodules, reused=True)


def _hospital(
    root: Path,
    files: dict[str, str],
    number: int,
    name: str,
    patients: int,
    size: str,
    seed: int,
    tell: Callable[[int, str], None],
) -> int:
    """Write one hospital; the number of its nodules."""
    scanner = scanner_of(number, name, seed)
    found: list[Annotation] = []
    kinds = ["seriesuid,coordX,coordY,coordZ,diameter_mm,kind,place"]
    table = ["patient_id,folder"]
    for count in range(1, patients + 1):
        who = f"{name}-{count:04d}"
        patient = draw_patient(seed, name, count, scanner, size)
        _patient(root, f"{name}/{who}", patient, files)
        table.append(f"{who},{who}")
        for nodule in patient.nodules:
            found.append(Annotation(who, nodule.centre, nodule.diameter_mm))
            line = annotations_csv(found[-1:]).splitlines()[1]
            kinds.append(f"{line},{nodule.kind},{nodule.place}")
        tell(count, who)
    text = README.format(
        hospital=name,
        patients=patients,
        size=size,
        seed=seed,
        scanner=scanner.name,
        kernel=scanner.kernel,
    )
    _put(root, f"{name}/annotations.csv", annotations_csv(found).encode(), files)
    _put(root, f"{name}/nodules.csv", ("\n".join(kinds) + "\n").encode(), files)
    _put(root, f"{name}/patients.csv", ("\n".join(table) + "\n").encode(), files)
    described = json.dumps(scanner.describe(), indent=1).encode() + b"\n"
    _put(root, f"{name}/scanner.json", described, files)
    _put(root, f"{name}/README.txt", text.encode(), files)
    return len(found)


def _patient(root: Path, folder: str, patient: Patient, files: dict[str, str]) -> None:
    grid = patient.volume.geometry
    pictures: tuple[tuple[str, str, NDArray[np.generic]], ...] = (
        ("ct", "MET_SHORT", patient.volume.hu.astype("<i2", copy=False)),
        ("mask", "MET_UCHAR", patient.mask),
    )
    for name, kind, values in pictures:
        _put(root, f"{folder}/{name}.mhd", _header(grid, kind, f"{name}.raw"), files)
        _put(root, f"{folder}/{name}.raw", values.tobytes(), files)


def _header(grid: Geometry, kind: str, data: str) -> bytes:
    def words(values: Sequence[float]) -> str:
        return " ".join(f"{v:.10g}" for v in values)

    columns = [row[axis] for axis in range(3) for row in grid.direction]
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "Comment = synthetic phantom, shows no person",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        f"TransformMatrix = {words(columns)}",
        f"Offset = {words(grid.origin_mm)}",
        "CenterOfRotation = 0 0 0",
        "AnatomicalOrientation = RAI",
        f"ElementSpacing = {words(grid.spacing_mm[::-1])}",
        f"DimSize = {words(grid.shape[::-1])}",
        f"ElementType = {kind}",
        f"ElementDataFile = {data}",
    ]
    return ("\n".join(lines) + "\n").encode()


def _put(root: Path, name: str, content: bytes, files: dict[str, str]) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    files[name] = hashlib.sha256(content).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
