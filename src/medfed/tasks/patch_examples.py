"""Small pictures of patients, all in memory, served in batches to a network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

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
    """How far pictures are varied in training; each value is the largest change.

    Attributes:
        mirror: Mirror from left to right, half of the times.
        rotate: Degrees.
        zoom: Part of its size by which a picture is enlarged or reduced.
        move: Part of its edge by which it is moved.
        brightness: Part of the whole range.
        contrast: Part by which the distance to the middle of the range changes.
    """

    mirror: bool
    rotate: float
    zoom: float
    move: float
    brightness: float
    contrast: float

    def describe(self) -> tuple[str, ...]:
        """In words, for a model card."""
        notes = [
            ("mirroring", self.mirror),
            (f"turns within {self.rotate:g}°", self.rotate),
            (f"sizes within {self.zoom:.0%}", self.zoom),
            (f"moves within {self.move:.0%}", self.move),
            (f"brightness within {self.brightness:.0%}", self.brightness),
            (f"contrast within {self.contrast:.0%}", self.contrast),
        ]
        return tuple(words for words, done in notes if done)


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
            image = torch.from_numpy(images[part, None].copy())
            truth = torch.from_numpy(truths[part, None].copy())
            yield (image, truth) if rng is None else varied(image, truth, self.augmentation, rng)


def varied(
    images: torch.Tensor, truths: torch.Tensor, by: Augmentation, rng: np.random.Generator
) -> PictureBatch:
    """A batch varied by chance, each picture in its own way; what lies beyond it is mirrored."""
    count = len(images)
    if by.mirror or by.rotate or by.zoom or by.move:
        grid = functional.affine_grid(_affine(count, by, rng), list(images.shape), False)
        images = functional.grid_sample(images, grid, "bilinear", "reflection", False)
        truths = (
            functional.grid_sample(truths, grid, "bilinear", "reflection", False) > 0.5
        ).float()
    shift = rng.uniform(-by.brightness, by.brightness, (count, 1, 1, 1))
    scale = rng.uniform(1 - by.contrast, 1 + by.contrast, (count, 1, 1, 1))
    changed = (images - 0.5) * torch.from_numpy(scale).float() + 0.5
    return (changed + torch.from_numpy(shift).float()).clamp(0.0, 1.0), truths


def _affine(count: int, by: Augmentation, rng: np.random.Generator) -> torch.Tensor:
    """Where each picture's pixels are taken from: shape (count, 2, 3), in halves of the edge."""
    angle = np.radians(rng.uniform(-by.rotate, by.rotate, count))
    zoom = rng.uniform(1 - by.zoom, 1 + by.zoom, count)
    side = 1.0 - 2.0 * (rng.integers(0, 2, count) if by.mirror else np.zeros(count))
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    move = rng.uniform(-2 * by.move, 2 * by.move, (2, count))
    rows = [[side * cosine, -sine, move[0]], [side * sine, cosine, move[1]]]
    return torch.from_numpy(np.array(rows).transpose(2, 0, 1)).float()
