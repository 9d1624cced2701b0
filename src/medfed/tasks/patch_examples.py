"""Small pictures of patients, all in memory, served in batches to a network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

PictureBatch = tuple[torch.Tensor, torch.Tensor]
"""Images and truths in {0, 1}, each (pictures, 1, y, x)."""


class Pictures(Protocol):
    """What a source of two-dimensional pictures gives for a patient."""

    @property
    def images(self) -> NDArray[np.float32]:
        """Shape (pictures, y, x), from 0 to 1."""

    @property
    def masks(self) -> NDArray[np.uint8]:
        """The truth, 0 and 1, of the same shape."""


@dataclass(frozen=True)
class Augmentation:
    """What is changed by chance in training.

    Attributes:
        turn: Mirror pictures and turn them by right angles.
        brightness: Largest share of the whole range by which a picture becomes brighter or darker.
        contrast: Largest share by which its contrast changes.
    """

    turn: bool
    brightness: float
    contrast: float


class PictureExamples:
    """One set of a site's patients; see `medfed.frameworks.examples.Examples`.

    A pass serves every picture once. With a random stream they are shuffled and changed a little.
    """

    def __init__(self, patients: Sequence[Pictures], augmentation: Augmentation) -> None:
        self.patients = list(patients)
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.patients)

    def each(self) -> Iterator["PictureExamples"]:
        """Every patient alone; see `medfed.frameworks.examples.Separable`."""
        for patient in self.patients:
            yield PictureExamples([patient], self.augmentation)

    def batches(self, rng: np.random.Generator | None, batch_size: int) -> Iterator[PictureBatch]:
        """One pass over the pictures."""
        if not self.patients:
            return
        images = np.concatenate([p.images for p in self.patients]).astype(np.float32)
        truths = np.concatenate([p.masks for p in self.patients]).astype(np.float32)
        if rng is not None:
            order = rng.permutation(len(images))
            images, truths = images[order], truths[order]
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            image, truth = images[part], truths[part]
            if rng is not None:
                image, truth = self._changed(image, truth, rng)
            yield torch.from_numpy(image[:, None].copy()), torch.from_numpy(truth[:, None].copy())

    def _changed(
        self, images: NDArray[np.float32], truths: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        by = self.augmentation
        count = (len(images), 1, 1)
        shift = rng.uniform(-by.brightness, by.brightness, count)
        scale = rng.uniform(1 - by.contrast, 1 + by.contrast, count)
        changed = ((images - 0.5) * scale + 0.5 + shift).clip(0.0, 1.0).astype(np.float32)
        if not by.turn:
            return changed, truths
        turned = truths.copy()
        for row in range(len(images)):
            quarters, mirror = (int(n) for n in rng.integers(0, (4, 2)))
            changed[row] = _turned(changed[row], quarters, mirror=bool(mirror))
            turned[row] = _turned(turned[row], quarters, mirror=bool(mirror))
        return changed, turned


def _turned(picture: NDArray[np.float32], quarters: int, *, mirror: bool) -> NDArray[np.float32]:
    # A picture that is no square can only be turned upside down.
    steps = quarters if picture.shape[0] == picture.shape[1] else quarters // 2 * 2
    return np.rot90(picture[:, ::-1] if mirror else picture, steps)
