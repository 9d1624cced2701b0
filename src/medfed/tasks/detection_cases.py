"""What a released model marks in a scan, each place cut out, beside what is there in truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medfed.imaging.candidates import Candidate, candidates, suppressed
from medfed.imaging.froc import Finding, Mark, Scored, match
from medfed.imaging.geometry import Geometry, Volume
from medfed.imaging.lungs import lung_mask
from medfed.imaging.prediction import ScanPredictor
from medfed.imaging.resample import AIR_HU

Places = NDArray[np.float64]
"""World ``(x, y, z)``, mm, one row each."""


class Scan(Protocol):
    """What a source of volumes gives."""

    @property
    def patient(self) -> str:
        """Whose scan."""

    def volume(self) -> Volume:
        """The CT."""

    def mask(self) -> NDArray[np.uint8]:
        """The nodules, on the CT's grid."""


@runtime_checkable
class AnnotatedScan(Protocol):
    """What a source gives besides, where readers wrote down what they found."""

    def findings(self) -> Sequence[Finding]:
        """Nodules and irrelevant findings, in world coordinates."""


@dataclass(frozen=True)
class Marking:
    """How candidates are made of a released model's probabilities, and cut out.

    Attributes:
        threshold: Probability from which a voxel belongs to a candidate.
        smallest_mm3: Smaller candidates are left out.
        distance_mm: Of candidates closer together than this the most probable stays.
        most: So many of a scan are kept, the most probable.
        edge: Voxels along each edge of what is cut out, with a margin for moving it about.
        step_mm: The distance of its voxels, mm.
    """

    threshold: float
    smallest_mm3: float
    distance_mm: float
    most: int
    edge: int
    step_mm: float


@dataclass(frozen=True, eq=False)
class Looked:
    """One scan after the released model looked at it.

    Attributes:
        patient: Whose.
        places: Centres of the candidates, the most probable first.
        probability: The released model's own score of each.
        cubes: int16 HU around each, shape (candidates, edge, edge, edge).
        on_nodule: Whether each hits a nodule.
        irrelevant: Whether each hits nothing but an irrelevant finding; such are not learned from.
        findings: What is there.
    """

    patient: str
    places: Places
    probability: NDArray[np.float64]
    cubes: NDArray[np.int16]
    on_nodule: NDArray[np.bool_]
    irrelevant: NDArray[np.bool_]
    findings: tuple[Finding, ...]

    def scored(self, scores: NDArray[np.floating], most: int) -> Scored:
        """The candidates with these scores, held against the findings by LUNA16's rules."""
        marks = [
            Mark((float(x), float(y), float(z)), float(score))
            for (x, y, z), score in zip(self.places, scores, strict=True)
        ]
        return match(marks, self.findings, most)


def look(scan: Scan, predictor: ScanPredictor, how: Marking) -> Looked:
    """Find a scan's candidates and cut them out."""
    volume = scan.volume()
    found = predictor(volume, lung_mask(volume), lambda *_: None)
    spacing = found.geometry.spacing_mm
    kept = suppressed(
        candidates(found.values, spacing, how.threshold, how.smallest_mm3), how.distance_mm
    )[: how.most]
    places = found.geometry.to_world(_centres(kept))
    findings = tuple(findings_of(scan, volume.geometry))
    relevant = [f for f in findings if f.relevant]
    on_nodule = _on(places, relevant)
    return Looked(
        patient=scan.patient,
        places=places,
        probability=np.array([c.probability for c in kept], np.float64),
        cubes=cubes(volume, places, how.edge, how.step_mm),
        on_nodule=on_nodule,
        irrelevant=_on(places, [f for f in findings if not f.relevant]) & ~on_nodule,
        findings=findings,
    )


def findings_of(scan: Scan, grid: Geometry) -> Sequence[Finding]:
    """What readers wrote down; where nobody did, the connected pieces of the mask.

    A piece becomes a nodule at its centre, with the diameter of the sphere of its volume.
    """
    if isinstance(scan, AnnotatedScan):
        return scan.findings()
    pieces = candidates(scan.mask().astype(np.float32), grid.spacing_mm, 0.5)
    centres = grid.to_world(_centres(pieces))
    return [
        Finding((float(x), float(y), float(z)), piece.diameter_mm)
        for (x, y, z), piece in zip(centres, pieces, strict=True)
    ]


def cubes(volume: Volume, places: Places, edge: int, step_mm: float) -> NDArray[np.int16]:
    """Cubes of a CT around places, along its own axes, linearly interpolated.

    Args:
        volume: The CT.
        places: World coordinates of their centres.
        edge: Voxels along each edge.
        step_mm: Distance of their voxels, mm.

    Returns:
        int16 HU, shape (places, edge, edge, edge), air outside the scan.
    """
    from scipy import ndimage

    spacing = np.asarray(volume.spacing_mm)
    offsets = (np.arange(edge) - (edge - 1) / 2) * step_mm
    found = np.full((len(places), edge, edge, edge), AIR_HU, np.int16)
    for row, centre in enumerate(volume.geometry.to_index(places)):
        axes = [c + offsets / s for c, s in zip(centre, spacing, strict=True)]
        box = [
            (max(0, int(np.floor(a[0]))), min(n, int(np.ceil(a[-1])) + 1))
            for a, n in zip(axes, volume.shape, strict=True)
        ]
        if any(low >= high for low, high in box):
            continue
        part = volume.hu[tuple(slice(low, high) for low, high in box)]
        at = np.meshgrid(*(a - low for a, (low, _) in zip(axes, box, strict=True)), indexing="ij")
        lifted = np.maximum(part, AIR_HU).astype(np.float32)
        cube = ndimage.map_coordinates(lifted, at, order=1, cval=AIR_HU)
        found[row] = np.rint(cube).astype(np.int16)
    return found


def _centres(many: Sequence[Candidate]) -> NDArray[np.float64]:
    return np.array([c.centre_zyx for c in many], np.float64).reshape(-1, 3)


def _on(places: Places, findings: Sequence[Finding]) -> NDArray[np.bool_]:
    """Whether each place hits one of the findings, as `medfed.imaging.froc` sees it."""
    hit = np.zeros(len(places), bool)
    for finding in findings:
        squares = ((places - np.asarray(finding.centre_mm)) ** 2).sum(axis=1)
        hit |= squares < finding.radius_mm**2
    return hit
