"""What each hospital's scanner makes of the same patient: kernel, slices, dose, padding.

Kernels are given as fractions of the grid's own Nyquist frequency, so that they differ visibly at
every size of phantom (at 3-4 mm a clinical kernel in cycles/mm would blur nothing). Noise is white
noise coloured by ramp and kernel, as filtered back-projection does (Riederer, Pelc and Chesler,
Phys Med Biol 23, 1978). Its variance grows with the attenuation along the rays (Chesler, Riederer
and Pelc, J Comput Assist Tomogr 1, 1977), here told apart for rays from the side and from the
front: so it is low in the lungs and streaks from shoulder to shoulder. Tube current modulation
takes back most of the difference between slices.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft, ndimage

from medfed.core.seeding import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.connectors.phantom.grid import Grid
    from medfed.connectors.phantom.shapes import Field
    from medfed.imaging.geometry import Triple

SMALL_SHAPE = (64, 96, 96)
FULL_ROWS = 512
FULL_HEIGHT_MM = 290.0

ATTENUATION = 0.014
"""Of water per mm; a little below 0.019 at 120 kV, for the bow-tie filter."""

MODULATION = 0.75
"""How far the tube current follows the patient from slice to slice."""


@dataclass(frozen=True)
class Scanner:
    """One hospital's scanner and habits.

    Attributes:
        name: a made-up model; no vendor's.
        kernel: what its reconstruction kernel is called there.
        sharpness: where the kernel's MTF falls to a half, as a fraction of Nyquist.
        boost: edge enhancement, the MTF's surplus at middle frequencies.
        small_mm: spacing ``(z, y, x)`` of ``small`` phantoms, mm.
        full_mm: spacing of ``full`` phantoms, mm.
        thickness: slice thickness in slice distances (above 1: slices overlap).
        noise_hu: standard deviation of noise in the middle of the body.
        contrast_hu: what a contrast agent adds to blood; 0 without.
        padding: value outside the reconstruction circle; None where the whole square is filled.
        table: whether the couch shows.
        size_shift: the hospital's mix of nodule sizes, see `nodules.draw_sizes`.
    """

    name: str
    kernel: str
    sharpness: float
    boost: float
    small_mm: Triple
    full_mm: Triple
    thickness: float
    noise_hu: float
    contrast_hu: float
    padding: int | None
    table: bool
    size_shift: float

    def describe(self) -> dict[str, Any]:
        """As plain values, for ``scanner.json``."""
        return {"synthetic": True, **asdict(self)}


PRESETS = (
    Scanner(
        name="Phantom One",
        kernel="standard",
        sharpness=0.68,
        boost=0.05,
        small_mm=(4.0, 3.6, 3.6),
        full_mm=(1.25, 0.72, 0.72),
        thickness=1.0,
        noise_hu=20.0,
        contrast_hu=0.0,
        padding=-2000,
        table=True,
        size_shift=0.0,
    ),
    Scanner(
        name="Phantom Two",
        kernel="sharp",
        sharpness=0.95,
        boost=0.45,
        small_mm=(3.9, 3.4, 3.4),
        full_mm=(1.0, 0.60, 0.60),
        thickness=1.0,
        noise_hu=41.0,
        contrast_hu=0.0,
        padding=None,
        table=True,
        size_shift=-0.25,
    ),
    Scanner(
        name="Phantom Three",
        kernel="soft",
        sharpness=0.55,
        boost=0.0,
        small_mm=(4.2, 3.8, 3.8),
        full_mm=(2.0, 0.80, 0.80),
        thickness=1.5,
        noise_hu=23.0,
        contrast_hu=130.0,
        padding=-3024,
        table=False,
        size_shift=0.25,
    ),
    Scanner(
        name="Phantom Four",
        kernel="lung, low dose",
        sharpness=0.78,
        boost=0.25,
        small_mm=(4.0, 3.5, 3.5),
        full_mm=(1.25, 0.75, 0.75),
        thickness=1.3,
        noise_hu=32.0,
        contrast_hu=60.0,
        padding=-2048,
        table=True,
        size_shift=0.1,
    ),
)


def scanner_of(number: int, hospital: str, seed: int) -> Scanner:
    """The scanner of the ``number``-th hospital: a preset, each later round of them varied."""
    preset = PRESETS[number % len(PRESETS)]
    if number < len(PRESETS):
        return preset
    rng = generator(seed, "phantom", hospital, "scanner")
    fields = asdict(preset) | {
        "name": f"{preset.name}, variant {number // len(PRESETS)}",
        "sharpness": round(preset.sharpness * float(rng.uniform(0.85, 1.15)), 3),
        "noise_hu": round(float(rng.uniform(20.0, 40.0)), 1),
        "size_shift": round(float(rng.uniform(-0.3, 0.3)), 2),
    }
    return Scanner(**fields)


def grid_of(scanner: Scanner, size: str) -> tuple[tuple[int, int, int], Triple]:
    """Shape ``(z, y, x)`` and spacing in mm of this scanner's volumes."""
    if size == "small":
        return SMALL_SHAPE, scanner.small_mm
    slices = round(FULL_HEIGHT_MM / scanner.full_mm[0])
    return (slices, FULL_ROWS, FULL_ROWS), scanner.full_mm


def acquire(hu: Field, grid: Grid, scanner: Scanner, rng: np.random.Generator) -> NDArray[np.int16]:
    """Scan: slice profile, kernel, noise, clipping and padding.

    Args:
        hu: float32 on the grid, noise-free; used up as working space.
        grid: its grid.
        scanner: the scanner.
        rng: the patient's stream.

    Returns:
        int16 Hounsfield units, as they lie in the file.
    """
    if scanner.thickness > 1:
        profile = 0.36 * scanner.thickness
        ndimage.gaussian_filter1d(hu, profile, axis=0, output=hu, mode="nearest", truncate=3.0)
    rows, columns = hu.shape[1:]
    mtf, colour = _filters(rows, columns, scanner)
    aside = _aside(rows, columns) * colour
    ahead = colour - aside
    from_side, from_front = _noise_amounts(hu, grid)
    circle = _outside_circle(grid) if scanner.padding is not None else None
    result = np.empty(hu.shape, dtype=np.int16)
    shape = (rows, columns)
    for number, picture in enumerate(hu):
        white = _white(rows, columns, rng)
        noise = fft.irfft2(white * aside, s=shape) * from_side[number][:, None]
        noise += fft.irfft2(white * ahead, s=shape) * from_front[number][None, :]
        values = fft.irfft2(fft.rfft2(picture) * mtf, s=shape)
        values += scanner.noise_hu * noise
        np.clip(np.rint(values, out=values), -1024, 3071, out=values)
        if circle is not None:
            values[circle] = scanner.padding
        result[number] = values
    return result


def _white(rows: int, columns: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    """White noise of unit variance, already as a half spectrum."""
    shape = (rows, columns // 2 + 1, 2)
    pairs = rng.standard_normal(shape, dtype=np.float32)
    pairs *= np.float32(np.sqrt(rows * columns / 2))
    white = pairs.view(np.complex64)[..., 0]
    white[:, 0] *= np.float32(np.sqrt(2))  # of these the way back keeps the real part only
    if columns % 2 == 0:
        white[:, -1] *= np.float32(np.sqrt(2))
    return white


def _aside(rows: int, columns: int) -> Field:
    """How much each frequency owes to rays from the side, which smear along a row."""
    fy = fft.fftfreq(rows)[:, None]
    fx = fft.rfftfreq(columns)[None, :]
    return np.asarray(fy**2 / (fy**2 + fx**2 + 1e-9), dtype=np.float32)


def _noise_amounts(hu: Field, grid: Grid) -> tuple[Field, Field]:
    """Noise by row (rays from the side) and by column (from the front), 1 in mid-body."""
    _, dy, dx = grid.spacing
    half = 0.5 * ATTENUATION
    side, front = [], []
    for picture in hu:  # water-equivalent paths, mm
        water = np.maximum(picture + np.float32(1000), 0) * np.float32(1e-3)
        across, down = half * dx * water.sum(axis=1), half * dy * water.sum(axis=0)
        side.append(ndimage.uniform_filter1d(across, max(1, round(20 / dy))))
        front.append(ndimage.uniform_filter1d(down, max(1, round(20 / dx))))
    by_row, by_column = np.exp(np.asarray(side)), np.exp(np.asarray(front))
    middle = 0.5 * (_centre(by_row) + _centre(by_column))
    given = middle**MODULATION * np.median(middle) ** (1 - MODULATION)
    return (by_row / given).astype(np.float32), (by_column / given).astype(np.float32)


def _filters(rows: int, columns: int, scanner: Scanner) -> tuple[Field, Field]:
    """The kernel's MTF, and the colour of unit-variance noise behind it."""
    fy = fft.fftfreq(rows)[:, None] * 2
    fx = fft.rfftfreq(columns)[None, :] * 2
    f = np.hypot(fy, fx)  # fraction of Nyquist
    mtf = np.exp(-np.log(2) * (f / scanner.sharpness) ** 2)
    mtf = mtf * (1 + scanner.boost * 4 * (f / 0.9) ** 2 * np.exp(-2 * (f / 0.9) ** 2) * np.e / 2)
    colour = np.sqrt(f + 0.02) * mtf
    # Frequencies between the first and last column of a half spectrum count twice.
    twice = np.full(fx.shape, 2.0)
    twice[0, 0] = 1.0
    if columns % 2 == 0:
        twice[0, -1] = 1.0
    colour /= np.sqrt((colour**2 * twice).sum() / (rows * columns))
    return mtf.astype(np.float32), colour.astype(np.float32)


def _centre(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    third = profile.shape[1] // 3
    return np.asarray(profile[:, third:-third].mean(axis=1, keepdims=True))


def _outside_circle(grid: Grid) -> NDArray[np.bool_]:
    radius = (grid.x[-1] - grid.x[0]) / 2
    return np.asarray(np.hypot(grid.x[None, :], grid.y[:, None]) > radius)
