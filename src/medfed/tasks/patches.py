"""Small boxes out of large scans, half of them on a nodule, for a network to learn from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray

from medfed.core.seeding import generator
from medfed.tasks.augmentation import Augmentation, Turn, drawn_turn, looks, mirrored, turned
from medfed.tasks.segmentation_cases import Cases, Prepared

AIR_HU = -1024
AT_ONCE = 4
"""Patients whose patches go through the network together when each has a gradient of their own."""
PatchBatch = tuple[torch.Tensor, torch.Tensor]
"""Images in [0, 1] and truths in {0, 1}, each (patches, 1, z, y, x)."""


@dataclass(frozen=True)
class Sampling:
    """How patches are drawn.

    Attributes:
        size: Edge of a patch, voxels.
        per_patient: Patches a scan gives in one pass.
        positive: Share of them that hold a nodule, where the scan has one.
        window: The Hounsfield units that become 0 and 1.
        augmentation: How far patches are varied by chance.
    """

    size: int
    per_patient: int
    positive: float
    window: tuple[float, float]
    augmentation: Augmentation


@dataclass(frozen=True)
class Windows:
    """Some cubes out of one patient's scans.

    Attributes:
        hu: int16, shape (windows, z, y, x).
        truth: uint8, the same shape.
    """

    hu: NDArray[np.generic]
    truth: NDArray[np.generic]

    @classmethod
    def join(cls, many: "Sequence[Windows]") -> "Windows":
        """The windows of several scans together."""
        return cls(np.concatenate([w.hu for w in many]), np.concatenate([w.truth for w in many]))


class PatchExamples:
    """One set of a site's patients as patches; see `medfed.frameworks.examples.Examples`.

    A pass serves ``per_patient`` patches of every scan. With a random stream scans are shuffled,
    and a patch is drawn around a voxel of a nodule (nodules have the same chance whatever their
    size) or anywhere, and varied by chance; see `medfed.tasks.augmentation`. Without one the
    patches are always the same and not augmented.
    """

    def __init__(self, cases: Cases, patients: int, sampling: Sampling) -> None:
        self.cases = cases
        self.patients = patients
        self.sampling = sampling
        self._windows: dict[int, list[Windows]] = {}

    def __len__(self) -> int:
        return self.patients

    def windows(self, count: int) -> list["Windows"]:
        """Always the same ``count`` windows of every scan, by patient, half of them on a nodule."""
        if count not in self._windows:
            rng = generator(0, "windows")
            drawn = [[self._fixed(c, count, rng) for c in own] for own in self.cases.by_patient()]
            self._windows[count] = [Windows.join(many) for many in drawn]
        return self._windows[count]

    def _fixed(self, case: Prepared, count: int, rng: np.random.Generator) -> "Windows":
        size = self.sampling.size
        corners = [self._corner(case, rng, on_nodule=i % 2 == 0) for i in range(count)]
        return Windows(
            hu=np.stack([_cut(case.hu, corner, size, AIR_HU) for corner in corners]),
            truth=np.stack([_cut(case.truth, corner, size, 0) for corner in corners]),
        )

    def people(self) -> int:
        """Patients who have scans; see `medfed.frameworks.examples.ByPatient`."""
        return len(self.own)

    def of(self, patients: NDArray[np.int64], seed: int) -> Iterator[PatchBatch]:
        """``per_patient`` patches of each patient, from any of their scans; see `ByPatient`."""
        key = np.random.default_rng(seed)
        for some in np.split(patients, range(AT_ONCE, len(patients), AT_ONCE)):
            drawn = [self._patches(self.own[int(p)], key.integers(2**63, size=2)) for p in some]
            if drawn:
                yield torch.stack([i for i, _ in drawn]), torch.stack([t for _, t in drawn])

    def _patches(self, own: Cases, key: NDArray[np.int64]) -> PatchBatch:
        """Patches of one patient; they depend on the patient's scans and the key only."""
        scans = np.random.default_rng(key).integers(len(own), size=self.sampling.per_patient)
        alone = PatchExamples(own, 1, self.sampling)
        return alone._batch(scans, (int(key[0]), int(key[1])), augment=True)

    @cached_property
    def own(self) -> list[Cases]:
        """The scans of each patient."""
        return self.cases.by_patient()

    def each(self) -> Iterator["PatchExamples"]:
        """Every patient alone; see `medfed.frameworks.examples.Separable`."""
        for own in self.cases.by_patient():
            yield PatchExamples(own, 1, self.sampling)

    def batches(self, rng: np.random.Generator | None, batch_size: int) -> Iterator[PatchBatch]:
        """One pass over the scans."""
        return (make() for make in self.makers(rng, batch_size))

    def makers(
        self, rng: np.random.Generator | None, batch_size: int
    ) -> Iterator[Callable[[], PatchBatch]]:
        """One pass over the scans, as functions that make a batch each; see `Planned`."""
        each, scans = self.sampling.per_patient, len(self.cases)
        if rng is None:
            order = np.repeat(np.arange(scans), each)
        else:
            # Round after round of all scans: a few steps see many patients.
            order = np.concatenate([rng.permutation(scans) for _ in range(each)])
        key = int((generator(0, "patches") if rng is None else rng).integers(2**63))
        for number, start in enumerate(range(0, len(order), batch_size)):
            some = order[start : start + batch_size]
            yield partial(self._batch, some, (key, number), augment=rng is not None)

    def _batch(
        self, scans: NDArray[np.int64], key: tuple[int, int], *, augment: bool
    ) -> PatchBatch:
        """A patch of each of some scans; what is drawn depends on the key alone."""
        rng = np.random.default_rng(key)
        edge = self.sampling.size
        images, truths = (np.empty((len(scans), 1, edge, edge, edge), np.float32) for _ in "it")
        for place, scan in enumerate(scans):
            image, truth = self._draw(self.cases[int(scan)], rng, augment=augment)
            images[place, 0] = scaled(image, self.sampling.window)
            truths[place, 0] = truth
        return torch.from_numpy(images), torch.from_numpy(truths)

    def _draw(
        self, case: Prepared, rng: np.random.Generator, *, augment: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        """Hounsfield units and truth of one patch."""
        size, how = self.sampling.size, self.sampling.augmentation
        on_nodule = bool(case.nodules) and rng.random() < self.sampling.positive
        corner = self._corner(case, rng, on_nodule=on_nodule)
        if not augment:
            return _plain(case, corner, size)
        turn = drawn_turn(how, rng)
        if turn is None or min(case.hu.shape) < size:
            hu, truth = _plain(case, corner, size)
        else:
            hu, truth = turned(case.hu, corner, size, turn), _truth(case, corner, size, turn)
        looks(hu, how, rng)
        ways = mirrored(rng) if how.mirror else ...
        return hu[ways], truth[ways]

    def _corner(
        self, case: Prepared, rng: np.random.Generator, *, on_nodule: bool
    ) -> NDArray[np.int64]:
        size, shape = self.sampling.size, np.asarray(case.hu.shape)
        if on_nodule and case.nodules:
            nodule = case.nodules[int(rng.integers(len(case.nodules)))]
            voxel = np.array(
                np.unravel_index(nodule[int(rng.integers(len(nodule)))], case.hu.shape)
            )
            reach = size // 4  # the nodule is somewhere in the middle half
            corner = voxel - size // 2 + rng.integers(-reach, reach + 1, 3)
        else:
            corner = rng.integers(0, np.maximum(shape - size, 0) + 1)
        return np.clip(corner, 0, np.maximum(shape - size, 0)).astype(np.int64)


def _plain(
    case: Prepared, corner: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    hu = _cut(case.hu, corner, size, AIR_HU).astype(np.float32)
    return hu, _cut(case.truth, corner, size, 0)


def _truth(case: Prepared, corner: NDArray[np.int64], size: int, turn: Turn) -> NDArray[np.generic]:
    """The truth of a patch that is turned; most patches have none."""
    reach = size  # a turned and zoomed cube lies well within three of its edges
    z, y, x = (slice(max(0, int(c) - reach), int(c) + size + reach) for c in corner)
    if not case.truth[z, y, x].any():
        return np.zeros((size, size, size), np.uint8)
    return turned(case.truth, corner, size, turn) >= 0.5


def scaled(hu: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.float32]:
    """Hounsfield units as 0 to 1."""
    low, high = window
    found: NDArray[np.float32] = np.subtract(hu, np.float32(low), dtype=np.float32)
    found /= np.float32(high - low)
    return np.clip(found, 0.0, 1.0, out=found)


def _cut(
    values: NDArray[np.generic], corner: NDArray[np.int64], size: int, fill: int
) -> NDArray[np.generic]:
    """A cube at a corner; what lies beyond a small volume is filled."""
    z, y, x = (slice(int(c), int(c) + size) for c in corner)
    piece = values[z, y, x]
    if piece.shape == (size, size, size):
        return piece
    return np.pad(piece, [(0, size - n) for n in piece.shape], constant_values=fill)
