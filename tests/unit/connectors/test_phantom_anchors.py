"""The phantom's Hounsfield units and noise against real scans.

Anchors: clean lung -888 to -916 HU, soft tissue 50 to 54 HU, noise SD 19 to 21 HU (GE STANDARD) and
41 HU (Siemens B70f).
"""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medfed.connectors.phantom import PRESETS, tissue
from medfed.connectors.phantom.anatomy import Anatomy, Organ, organs
from medfed.connectors.phantom.grid import Grid
from medfed.connectors.phantom.scanner import acquire
from medfed.connectors.phantom.torso import back_mm

REAL = (
    Path(os.environ.get("MEDFED_DATA") or Path(__file__).parents[4] / "shared" / "data")
    / "ct-cptac-lscc-chest-series"
)
SHAPE = (6, 512, 512)


@pytest.fixture(scope="module", params=PRESETS, ids=lambda s: s.kernel)
def scan(request):
    """Some full-size slices at the height of the windpipe, scanned, and where their organs are."""
    preset = request.param
    rng = np.random.default_rng(11)
    body = Anatomy.draw(rng)
    centred = Grid.centred(SHAPE, preset.full_mm)
    grid = Grid(centred.z + np.float32(25), centred.y, centred.x)
    stuff = tissue.Tissue.draw(rng, preset.contrast_hu, body.scale * back_mm(body))
    clean = tissue.paint(body, stuff, grid, rng)
    scanned = acquire(clean.copy(), grid, preset, rng).astype(np.float32)
    few = Grid(grid.z, grid.y[::4], grid.x[::4])
    where = {k: v.repeat(4, 1).repeat(4, 2) for k, v in organs(body, *few.mesh()).items()}
    return preset, scanned, where


def test_lung_is_as_dense_as_real_lung(scan):
    _, hu, where = scan
    lung = where[Organ.LUNGS] < -6
    assert lung.sum() > 100_000
    assert -925 < np.median(hu[lung]) < -880


def test_muscle_is_as_dense_as_real_muscle(scan):
    _, hu, where = scan
    # Deep in muscle, off ribs and fat planes.
    muscle = (where[Organ.LEAN] < -5) & (where[Organ.RIBCAGE] > 15) & (where[Organ.BONE] > 5)
    assert muscle.sum() > 5000
    assert 40 < np.median(hu[muscle]) < 60


def test_fat_is_as_dense_as_real_fat(scan):
    _, hu, where = scan
    fat = (where[Organ.BODY] < -5) & (where[Organ.LEAN] > 5) & (where[Organ.GLAND] > 5)
    assert fat.sum() > 2000
    assert -115 < np.median(hu[fat]) < -90


def test_noise_is_that_of_the_kernel_and_lower_in_lung(scan):
    preset, hu, where = scan
    soft = local_noise(hu, where[Organ.BLOOD] < -7)
    assert 0.6 * preset.noise_hu < soft < 1.5 * preset.noise_hu
    assert local_noise(hu, where[Organ.LUNGS] < -10) < soft


def local_noise(hu, inside):
    """Median over small neighbourhoods of the SD within a slice, vessels and edges left out."""
    size = (1, 9, 9)
    mean = ndimage.uniform_filter(hu, size)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(hu * hu, size) - mean * mean, 0))
    return float(np.median(spread[inside]))


def test_noise_is_as_strong_as_in_real_scans():
    standard, sharp = PRESETS[0], PRESETS[1]
    grid = Grid.centred((3, 512, 512), (1.0, 0.7, 0.7))
    disc = np.where(np.hypot(grid.x[None, :], grid.y[:, None]) < 140, 50.0, -1000.0)
    flat = np.repeat(disc[None].astype(np.float32), 3, axis=0)
    for preset, least, most in ((standard, 17, 23), (sharp, 37, 46)):
        middle = acquire(flat.copy(), grid, preset, np.random.default_rng(0))[:, 236:276, 236:276]
        assert middle.mean() == pytest.approx(50, abs=2)
        assert least < middle.std() < most


def test_noise_streaks_from_shoulder_to_shoulder():
    grid = Grid.centred((1, 256, 256), (1.0, 1.5, 1.5))
    oval = (grid.x[None, :] / 180) ** 2 + (grid.y[:, None] / 70) ** 2 < 1
    flat = np.where(oval, 40.0, -1000.0)[None].astype(np.float32)
    flat = np.concatenate([flat, flat])
    grid = Grid(np.array([0.0, 1.0], np.float32), grid.y, grid.x)
    noise = acquire(flat, grid, PRESETS[0], np.random.default_rng(0))[:, 108:148, 88:168]
    noise = noise - noise.mean()
    along = (noise[:, :, 1:] * noise[:, :, :-1]).mean()
    across = (noise[:, 1:] * noise[:, :-1]).mean()
    assert along > across + 0.1 * noise.var()


def real_series():
    sitk = pytest.importorskip("SimpleITK")
    archives = sorted(REAL.glob("*.zip"))
    if not archives:
        pytest.skip("the real chest CT series is not on this machine")
    return sitk, archives[0]


@pytest.mark.slow
def test_the_real_series_lies_where_the_anchors_say(tmp_path):
    import zipfile

    sitk, archive = real_series()
    with zipfile.ZipFile(archive) as file:
        for number, member in enumerate(m for m in file.namelist() if m.endswith(".dcm")):
            (tmp_path / f"{number:04d}.dcm").write_bytes(file.read(member))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    hu = sitk.GetArrayFromImage(reader.Execute())[35:60].astype(np.float32)
    smooth = ndimage.uniform_filter(hu, (1, 9, 9))
    lung = ndimage.binary_erosion(smooth < -780, iterations=4) & (smooth > -960)
    soft = ndimage.binary_erosion((smooth > 10) & (smooth < 90), iterations=2)
    assert -925 < np.median(hu[lung]) < -840
    assert 30 < np.median(hu[soft]) < 75
    assert local_noise(hu, lung) < local_noise(hu, soft)
