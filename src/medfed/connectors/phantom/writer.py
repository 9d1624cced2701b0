"""A folder of synthetic hospitals: whole or absent, the same bits for the same seed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from medfed.connectors.phantom.folder import (
    Drawn,
    Job,
    described_mimics,
    draw,
    put,
    write_tables,
)
from medfed.core.errors import DataError

Size = Literal["small", "full"]
Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, patient_id)`` after each patient."""

FORMAT = 2
"""Raised when the same parameters would give other bits."""

MANIFEST = "manifest.json"
MOST_PATIENTS = 10_000
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


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
    *,
    dicom: bool = False,
    workers: int = 1,
) -> Phantom:
    """Draw synthetic hospitals into a folder.

    The same arguments give the same bits, on the same machine and libraries, by however many
    workers. A patient depends on
    the seed, the hospital's name and place in the list, and the patient's number only: more
    patients leave the earlier ones as they are.

    Args:
        out: the folder to make (an empty one will do); it appears at the end, whole. Where it
            already holds the same phantom, that is used.
        hospitals: how many (named ``hospital-1`` …), or their names.
        patients: per hospital.
        size: ``small`` (64 x 96 x 96 voxels of 3.4-4.2 mm) or ``full`` (512 x 512 x 145-290).
        seed: any integer from 0.
        progress: called after each patient, in their order.
        dicom: write each CT as a DICOM series, too.
        workers: processes that draw; 1 draws in this one.

    Raises:
        DataError: an argument makes no sense, or ``out`` holds something else.
    """
    names = _names(hospitals)
    _check(patients, size, seed)
    wanted = {
        "synthetic": True,
        "format": FORMAT,
        "hospitals": list(names),
        "patients": patients,
        "size": size,
        "seed": seed,
        "dicom": dicom,
    }
    if out.exists() and not _empty(out):
        return _reuse(out, wanted)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    except OSError as error:
        raise DataError(f"{out} cannot be made: {error.strerror}") from error
    try:
        jobs = [
            Job(work, number, name, count, size, seed, dicom)
            for number, name in enumerate(names)
            for count in range(1, patients + 1)
        ]
        drawn = []
        for result in _results(jobs, workers):
            drawn.append(result)
            if progress is not None:
                progress(len(drawn), len(jobs), result.who)
        files: dict[str, str] = {}
        mimics = []
        for number in range(len(names)):
            own = drawn[number * patients : (number + 1) * patients]
            files |= write_tables(jobs[number * patients], own)
            mimics += [mimic for patient in own for mimic in described_mimics(patient)]
        nodules = sum(len(patient.nodules) for patient in drawn)
        manifest = {**wanted, "nodules": nodules, "mimics": mimics, "files": files}
        put(work, MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
        work.chmod(0o755)
        if not _moved(work, out):
            return _reuse(out, wanted)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Phantom(out, names, patients, nodules, reused=False)


def _check(patients: int, size: Size, seed: int) -> None:
    if isinstance(patients, bool) or not 1 <= patients <= MOST_PATIENTS:
        raise DataError(f"a phantom has 1 to {MOST_PATIENTS} patients per hospital, not {patients}")
    if size not in get_args(Size):
        raise DataError(f"there is no phantom size {size!r}", remedy="Choose small or full.")
    if type(seed) is not int or seed < 0:
        raise DataError(f"a seed is a whole number from 0, not {seed!r}")


def _moved(work: Path, out: Path) -> bool:
    """Put a phantom where it belongs, unless another process was quicker."""
    try:
        work.rename(out)
    except OSError:
        if out.exists() and not _empty(out):
            return False
        raise
    return True


def _results(jobs: Sequence[Job], workers: int) -> Iterator[Drawn]:
    """Draw all patients, and give them back in order."""
    if min(workers, len(jobs)) <= 1:
        yield from map(draw, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_leave_interrupts
    )
    try:
        yield from pool.map(draw, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C is the first process's business; workers end when it tells them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
