"""Scans made ready for a network: on the study's grid, cut to the lungs, the latest kept."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medfed.imaging.geometry import Geometry, Volume

MARGIN_MM = 10.0
Box = tuple[slice, slice, slice]


class Scan(Protocol):
    """What a source of volumes gives: a scan that reads itself when asked."""

    @property
    def patient(self) -> str:
        """Whose scan."""

    def volume(self) -> Volume:
        """The CT."""

    def mask(self) -> NDArray[np.uint8]:
        """The truth, on the CT's grid."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan on the study's grid, cut to the lungs.

    Attributes:
        hu: int16, the box only.
        truth: uint8, the same shape.
        nodules: Flat indices into the box, one array for each nodule.
        missed: Voxels of truth outside the box.
        box: Where the box lies on the study's grid.
        grid: The study's grid of this scan.
    """

    hu: NDArray[np.int16]
    truth: NDArray[np.uint8]
    nodules: tuple[NDArray[np.int64], ...]
    missed: float
    box: Box
    grid: Geometry

    @property
    def nbytes(self) -> int:
        """About what it holds in memory."""
        return self.hu.nbytes + self.truth.nbytes + sum(n.nbytes for n in self.nodules)

    def whole(self, values: NDArray[Any], fill: float = 0.0) -> NDArray[Any]:
        """Values of the box on the whole grid."""
        full = np.full(self.grid.shape, fill, values.dtype)
        full[self.box] = values
        return full


def prepare(scan: Scan, spacing_mm: float | None, *, crop: bool) -> Prepared:
    """Read a scan and make it ready.

    Args:
        scan: The scan.
        spacing_mm: The study's voxel spacing; None leaves each scan its own.
        crop: Cut to the box of the lungs, where lungs are found.
    """
    from medfed.imaging.resample import isotropic, resample_mask, resample_to

    volume, mask = scan.volume(), scan.mask()
    grid = volume.geometry
    if spacing_mm is not None:
        target = isotropic(grid, spacing_mm)
        volume, mask = resample_to(volume, target), resample_mask(mask, grid, target)
        grid = target
    box = lung_box(volume) if crop else _everything(grid.shape)
    truth = np.ascontiguousarray(mask[box])
    return Prepared(
        hu=np.ascontiguousarray(volume.hu[box]),
        truth=truth,
        nodules=_pieces(truth),
        missed=float(mask.sum()) - float(truth.sum()),
        box=box,
        grid=grid,
    )


def lung_box(volume: Volume) -> Box:
    """The box around the lungs with a margin; everything where none are found."""
    from medfed.imaging.lungs import lung_mask

    mask = lung_mask(volume)
    if not mask.any():
        return _everything(volume.shape)
    sides = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = round(MARGIN_MM / volume.spacing_mm[axis])
        sides.append(slice(max(0, int(inside[0]) - margin), int(inside[-1]) + 1 + margin))
    z, y, x = (slice(s.start, min(s.stop, n)) for s, n in zip(sides, volume.shape, strict=True))
    return z, y, x


def _everything(shape: tuple[int, int, int]) -> Box:
    z, y, x = (slice(0, n) for n in shape)
    return z, y, x


def _pieces(truth: NDArray[np.uint8]) -> tuple[NDArray[np.int64], ...]:
    from scipy import ndimage

    labels, count = ndimage.label(truth, np.ones((3, 3, 3), bool))
    inside = np.flatnonzero(labels)
    of = labels.ravel()[inside]
    return tuple(inside[of == number] for number in range(1, count + 1))


class Cases(Sequence[Prepared]):
    """Scans that are prepared when asked for; the latest are kept, up to a size.

    Which are kept changes how long something takes, never what it gives.

    Args:
        scans: The scans.
        ready: Makes one ready.
        keep: Bytes to keep.
    """

    def __init__(
        self, scans: Sequence[Scan], ready: Callable[[Scan], Prepared], keep: float
    ) -> None:
        self.scans = scans
        self.ready = ready
        self.keep = keep
        self.places: Sequence[int] = range(len(scans))
        self._kept: OrderedDict[int, Prepared] = OrderedDict()
        self._turn = Lock()  # batches are made by several threads; a scan is prepared by one

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return self._only(self.places[which])
        with self._turn:
            return self._found(self.places[which])

    def _found(self, place: int) -> Prepared:
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        found = self.ready(self.scans[place])
        self._kept[place] = found
        while len(self._kept) > 1 and sum(p.nbytes for p in self._kept.values()) > self.keep:
            self._kept.popitem(last=False)
        return found

    def by_patient(self) -> list["Cases"]:
        """The scans of each patient, in order."""
        by: dict[str, list[int]] = {}
        for place in self.places:
            by.setdefault(self.scans[place].patient, []).append(place)
        return [self._only(own) for own in by.values()]

    def _only(self, places: Sequence[int]) -> "Cases":
        """Some of them; what is kept is kept together."""
        some = copy(self)
        some.places = places
        return some
