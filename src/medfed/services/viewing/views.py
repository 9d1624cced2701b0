"""Scans made ready to be looked at, slice by slice.

Reading a scan takes seconds and all its memory, so a process of its own does it once, and leaves
upright voxels that any slice is cut from in milliseconds. The last few scans stay ready.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.core.memory_folders import private_memory
from medfed.core.own_process import own_process
from medfed.imaging.pictures import plane_png
from medfed.services.sites import site_vault
from medfed.services.trouble import Missing, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

PLANES = ("axial", "coronal", "sagittal")
WINDOWS: Mapping[str, tuple[float, float]] = {
    "lung": (-600.0, 1500.0),
    "soft-tissue": (40.0, 400.0),
    "bone": (400.0, 1800.0),
    "wide": (0.0, 3000.0),
}
"""Level and width, HU, as radiologists set them."""
KEPT, IN_MEMORY = 8, 2
"""Scans that stay ready: on the disk, and where they must stay in memory."""
AT_ONCE = 2
"""Processes that make scans ready: each holds one in memory."""
HU, MASK, ABOUT, THUMBNAIL = "hu.npy", "mask.npy", "about.json", "thumbnail.png"


@dataclass(frozen=True)
class View:
    """A scan that is ready.

    Attributes:
        hu: int16, ``(z, y, x)``: head on top of z, back on top of y, left on top of x.
        mask: uint8 on the same grid; None where there is none.
        spacing_mm: along ``(z, y, x)``.
    """

    hu: NDArray[Any]
    mask: NDArray[Any] | None
    spacing_mm: tuple[float, float, float]

    @property
    def counts(self) -> dict[str, int]:
        """How many slices each plane has."""
        return dict(zip(PLANES, self.hu.shape, strict=True))

    def png(self, plane: str, index: int, window: str = "lung", *, outlined: bool = False) -> bytes:
        """One slice as a PNG: the patient's right at the left, the head or the front on top.

        Raises:
            Missing: There is no such plane, slice or window.
        """
        if index >= self.counts.get(plane, 0) or index < 0 or window not in WINDOWS:
            raise Missing("there is no such slice", remedy="Choose one that there is")
        hu, step = _cut(self.hu, plane, index), _steps(self.spacing_mm, plane)
        outline = _cut(self.mask, plane, index) if outlined and self.mask is not None else None
        return plane_png(hu, step, WINDOWS[window], outline)


@dataclass(frozen=True)
class Views:
    """The scans of one console that are ready.

    Attributes:
        console: The console's folder.
        site: The site's own folder, whose vault scans are read through.
    """

    console: Path
    site: Path | None = None
    _locks: dict[str, threading.Lock] = field(
        default_factory=lambda: defaultdict(threading.Lock), repr=False, compare=False
    )

    _slots: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(AT_ONCE), repr=False, compare=False
    )

    @cached_property
    def kept(self) -> Path:
        """Where pictures are kept: the console's folder; in memory where the site's is encrypted.

        Raises:
            DataError: There is no such folder, or it is somebody else's.
        """
        if self.site is None or not site_vault(self.site).sealed:
            return self.console
        return private_memory(f"medfed-views-{self.console.resolve()}")

    def open(self, scan: str, folder: Path) -> View:
        """A scan, made ready where it is not.

        Args:
            scan: Its name.
            folder: Where its files lie.

        Raises:
            Refused: It cannot be read any more.
        """
        ready = self.kept / "views" / scan
        with self._locks[scan]:
            if not ready.exists():
                self._prepare(scan, folder, whole=True)
            os.utime(ready)
            spacing = json.loads((ready / ABOUT).read_bytes())["spacing_mm"]
            hu = np.load(ready / HU, mmap_mode="r", allow_pickle=False)
            marked = (ready / MASK).exists()
            mask = np.load(ready / MASK, mmap_mode="r", allow_pickle=False) if marked else None
        self._forget_old(scan)
        return View(hu, mask, (spacing[0], spacing[1], spacing[2]))

    def thumbnail(self, scan: str, folder: Path) -> bytes:
        """A small picture of a scan's middle, made where there is none.

        Raises:
            Refused: It cannot be read any more.
        """
        file = self.kept / "thumbnails" / f"{scan}.png"
        if not file.exists():
            with self._locks[""]:  # a page full of them must not start a process for each at once
                if not file.exists():
                    self._prepare(scan, folder, whole=False)
        return file.read_bytes()

    def forget(self, scan: str) -> None:
        """Remove what was made of a scan."""
        shutil.rmtree(self.kept / "views" / scan, ignore_errors=True)
        (self.kept / "thumbnails" / f"{scan}.png").unlink(missing_ok=True)

    def _prepare(self, scan: str, folder: Path, *, whole: bool) -> None:
        module = "medfed.services.viewing.preparing"
        arguments = [str(self.kept), str(folder), scan, "whole" if whole else "thumbnail"]
        arguments += [str(self.site)] if self.site else []
        command = ["nice", "-n", "5", *own_process(module), *arguments]
        with self._slots:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        if done.returncode:
            remedy = "Delete it, and import it again"
            raise Refused("the scan cannot be read any more", remedy=remedy)

    def _forget_old(self, scan: str) -> None:
        ready = [p for p in (self.kept / "views").iterdir() if not p.name.startswith(".")]
        most = KEPT if self.kept == self.console else IN_MEMORY
        for old in sorted(ready, key=lambda p: p.stat().st_mtime)[:-most]:
            if old.name != scan:
                shutil.rmtree(old, ignore_errors=True)


def _cut(values: NDArray[Any], plane: str, index: int) -> NDArray[Any]:
    where: tuple[Any, ...] = {
        "axial": (index,),
        "coronal": (slice(None, None, -1), index),
        "sagittal": (slice(None, None, -1), slice(None), index),
    }[plane]
    return np.asarray(values[where])


def _steps(spacing_mm: tuple[float, float, float], plane: str) -> tuple[float, float]:
    z, y, x = spacing_mm
    return {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[plane]
