"""A real network that marks what is brighter than some value, and scans with balls to mark."""

from pathlib import Path

import numpy as np

from medfed.core.registry import Part, make
from medfed.imaging.geometry import IDENTITY, Geometry, Volume
from medfed.storage.models import write_model

FILTERS = (4, 8, 16)
BODY_HU, LUNG_HU, BALL_HU, AIR_HU = 30, -850, 500, -1000
STUDY = "ab" * 32
GUIDELINE = {
    "title": "Nodules & <what> to do",
    "url": "https://guidelines.example/ct_(2017)?a=1&b=2",
}


def about(threshold_hu=250.0, **options):
    """What the model's file says about itself."""
    window = (threshold_hu - 0.5, threshold_hu + 0.5)
    part = Part("nodule-segmentation", {"filters": FILTERS, "window_hu": window, **options})
    task = {**part.to_json(), "filters": list(FILTERS), "window_hu": list(window)}
    own = {"study": STUDY, "title": "A threshold", "task": task, "round": 3, "facts": {}}
    return {**own, "guideline": GUIDELINE}


def tensors():
    """Weights by hand: the first channel carries the image through; all others are zero.

    The window of Hounsfield units is so narrow that the image is 0 and 1. Group normalisation makes
    0 about 0 and 1 more than 1, as long as the balls are a small part of what is seen.
    """
    task = make("task", Part("nodule-segmentation", {"filters": FILTERS}))
    module = task.build()
    made = {name: np.zeros(value.shape, np.float32) for name, value in module.state_dict().items()}
    for name, value in made.items():
        if name.endswith(("norm1.weight", "norm2.weight")):
            value[:] = 1.0
    middle = (1, 1, 1)
    made["encoder.0.conv1.conv.weight"][0, 0][middle] = 1.0
    made["encoder.0.conv2.conv.weight"][0, 0][middle] = 1.0
    made["decoder.1.conv_block.conv1.conv.weight"][0, FILTERS[0]][middle] = 1.0
    made["decoder.1.conv_block.conv2.conv.weight"][0, 0][middle] = 1.0
    made["output.weight"][0, 0] = 20.0
    made["output.bias"][:] = -10.0
    return made


def run_folder(folder: Path, **options) -> Path:
    """A folder like that of a finished run."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "model.safetensors", tensors(), about(**options))
    return folder


def oblique(degrees=20.0, axis=(0.3, 0.5, 0.8)):
    """A rotation about an axis, row by row."""
    k = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    t = np.radians(degrees)
    matrix = np.eye(3) + np.sin(t) * cross + (1 - np.cos(t)) * cross @ cross
    return tuple(tuple(row) for row in matrix.tolist())


def world(grid: Geometry):
    """World coordinates of every voxel, shape (z, y, x, 3)."""
    return grid.to_world(np.stack(np.indices(grid.shape), axis=-1))


def balls(grid: Geometry, centres_mm, radius_mm=6.0, inside=BALL_HU, outside=AIR_HU) -> Volume:
    """Balls in air, softened by a part of a voxel as a scanner would."""
    places = world(grid)
    hu = np.full(grid.shape, float(outside))
    edge = max(grid.spacing_mm) / 2
    for centre in centres_mm:
        distance = np.linalg.norm(places - np.asarray(centre), axis=-1)
        share = np.clip((radius_mm - distance) / edge + 0.5, 0, 1)
        hu = hu * (1 - share) + inside * share
    return Volume(np.rint(hu).astype(np.int16), grid.spacing_mm, grid.origin_mm, grid.direction)


def thorax(centres_mm=(), radius_mm=6.0, spacing=(3.0, 3.0, 3.0), direction=IDENTITY) -> Volume:
    """Two lungs in a body, and balls; the world's origin is in the middle."""
    shape = tuple(round(e / s) for e, s in zip((210, 240, 300), spacing, strict=True))
    flat = Geometry(shape, spacing, (0.0, 0.0, 0.0), direction)
    middle = flat.to_world((np.asarray(shape) - 1) / 2)
    grid = Geometry(shape, spacing, tuple((-middle).tolist()), direction)
    x, y, z = np.moveaxis(world(grid), -1, 0)
    hu = np.full(shape, float(AIR_HU))
    hu[(x / 135) ** 2 + (y / 100) ** 2 < 1] = BODY_HU
    for side in (-1, 1):
        hu[((x - 62 * side) / 45) ** 2 + (y / 70) ** 2 + (z / 90) ** 2 < 1] = LUNG_HU
    for centre in centres_mm:
        distance = np.linalg.norm(np.stack([x, y, z], -1) - np.asarray(centre), axis=-1)
        hu[distance < radius_mm] = BALL_HU
    return Volume(np.rint(hu).astype(np.int16), spacing, grid.origin_mm, direction)
