"""Candidates of a site's patients, served in batches to a classifier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medfed.core.seeding import generator
from medfed.tasks.detection_cases import Looked
from medfed.tasks.patches import scaled

CubeBatch = tuple[torch.Tensor, torch.Tensor]
"""Cubes in [0, 1], shape (candidates, 1, z, y, x), and whether each is a nodule, 0 or 1."""


@dataclass(frozen=True)
class CubeSampling:
    """How candidates are drawn in training.

    Attributes:
        edge: Voxels along each edge of what the network sees.
        margin: Voxels by which a cube is moved about at most.
        per_scan: Candidates that a scan gives in one pass.
        positive: Share of them that are nodules, where the scan has both kinds.
        window: The Hounsfield units that become 0 and 1.
        shift_hu: Largest change of brightness, by chance.
    """

    edge: int
    margin: int
    per_scan: int
    positive: float
    window: tuple[float, float]
    shift_hu: float


class CandidateExamples:
    """One set of a site's patients; see `medfed.frameworks.examples.Examples`.

    With a random stream candidates are drawn with replacement, nodules and others by their share,
    moved, mirrored and made a little brighter or darker. Without one they are always the same and
    lie in the middle.

    Args:
        patients: The scans of each patient.
        sampling: How candidates are drawn.
        alone: Whether this is one patient seen alone, for whom nothing is drawn again.
    """

    def __init__(
        self,
        patients: Sequence[Sequence[Looked]],
        sampling: CubeSampling,
        *,
        alone: bool = False,
    ) -> None:
        self.patients = list(patients)
        self.sampling = sampling
        self.alone = alone
        scans = [scan for own in self.patients for scan in own]
        self._kinds = [kinds for scan in scans if (kinds := _kinds(scan)) is not None]

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def teaches(self) -> bool:
        """Whether there is any candidate to learn from."""
        return bool(self._kinds)

    def each(self) -> Iterator["CandidateExamples"]:
        """Every patient alone; see `medfed.frameworks.examples.Separable`."""
        for own in self.patients:
            yield CandidateExamples([own], self.sampling, alone=True)

    def batches(self, rng: np.random.Generator | None, batch_size: int) -> Iterator[CubeBatch]:
        """One pass over the scans that have candidates."""
        augment = rng is not None
        rng = rng or generator(0, "candidates")
        rounds = [rng.permutation(len(self._kinds)) for _ in range(self.sampling.per_scan)]
        order = np.concatenate(rounds) if rounds else np.empty(0, np.int64)
        for start in range(0, len(order), batch_size):
            rows = [
                self._draw(self._kinds[i], rng, augment) for i in order[start : start + batch_size]
            ]
            images = torch.from_numpy(np.stack([image for image, _ in rows])[:, None])
            yield images, torch.tensor([label for _, label in rows])

    def seen(self, scan: Looked) -> NDArray[np.float32]:
        """All candidates of a scan as the network sees them when it is used."""
        middle = np.full(3, self.sampling.margin)
        return self._scaled(self._cut(scan.cubes, middle).astype(np.float32))

    def _draw(
        self, kinds: "_Kinds", rng: np.random.Generator, augment: bool
    ) -> tuple[NDArray[np.float32], float]:
        nodule = kinds.pick_nodule(rng.random(), self.sampling.positive)
        among = kinds.nodules if nodule else kinds.others
        margin = self.sampling.margin
        corner = np.full(3, margin)
        if augment:
            corner = corner + rng.integers(-margin, margin + 1, 3)
        cube = self._cut(among[int(rng.integers(len(among)))], corner).astype(np.float32)
        if augment:
            cube += np.float32(rng.uniform(-self.sampling.shift_hu, self.sampling.shift_hu))
            cube = np.flip(cube, tuple(int(a) for a in np.flatnonzero(rng.integers(0, 2, 3))))
            cube = cube.swapaxes(1, 2) if rng.integers(2) else cube
        return np.ascontiguousarray(self._scaled(cube)), float(nodule)

    def _cut(self, cubes: NDArray[np.int16], corner: NDArray[np.int64]) -> NDArray[np.int16]:
        z, y, x = (slice(int(c), int(c) + self.sampling.edge) for c in corner)
        return cubes[..., z, y, x]

    def _scaled(self, hu: NDArray[np.float32]) -> NDArray[np.float32]:
        return scaled(hu, self.sampling.window)


@dataclass(frozen=True, eq=False)
class _Kinds:
    """The cubes of a scan to learn from, by kind."""

    nodules: NDArray[np.int16]
    others: NDArray[np.int16]

    def pick_nodule(self, drawn: float, share: float) -> bool:
        if not len(self.nodules) or not len(self.others):
            return bool(len(self.nodules))
        return drawn < share


def _kinds(scan: Looked) -> _Kinds | None:
    others = scan.cubes[~scan.on_nodule & ~scan.irrelevant]
    kinds = _Kinds(scan.cubes[scan.on_nodule], others)
    return kinds if len(kinds.nodules) or len(kinds.others) else None
