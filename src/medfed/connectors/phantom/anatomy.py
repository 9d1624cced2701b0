"""One patient's chest as smooth shapes: body, cage, lungs, heart, vessels, bones, airways.

A patient is a handful of numbers (`Anatomy`) and every organ a signed distance in mm, so the same
patient can be asked about at any point and at any resolution. Proportions were set by eye against
a real chest CT of the CPTAC-LSCC collection; nobody in particular is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom import abdomen, mediastinum, skeleton, torso
from medfed.connectors.phantom.frame import Frame, bump, ramp
from medfed.connectors.phantom.shapes import Field, smooth_union, superellipse
from medfed.connectors.phantom.skeleton import LEVEL_MM

if TYPE_CHECKING:
    from numpy.typing import NDArray

HILA = ((-42.0, 18.0, 0.0), (47.0, 24.0, 2.0))
"""The roots of the right and the left lung: ``(x, y, z)``, mm."""


class Organ(IntEnum):
    """Channels of `organs`."""

    BODY = 0
    LEAN = 1  # the body without its subcutaneous fat
    GLAND = 2
    RIBCAGE = 3  # distance to the ribs' inside, for all that glides on it
    CAGE = 4  # inside of it, and of the neck's inlet
    BELLY = 5  # inside the diaphragm, below its domes
    LIVER = 6
    STOMACH = 7
    SPLEEN = 8  # and kidneys and thyroid, which take up contrast like it
    GAS = 9
    HEART = 10  # the sac
    MYOCARD = 11
    BLOOD = 12  # chambers and great vessels
    GULLET = 13
    LUNGS = 14
    FISSURE = 15
    BLADE = 16
    BONE = 17
    DISC = 18
    CANAL = 19
    CARTILAGE = 20
    AIRWAY = 21


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What differs from patient to patient; lengths in mm.

    Attributes:
        scale: of everything.
        body: half width and half depth of the trunk.
        fat: under the skin.
        breast: size; 0 for none.
        muscle: thickness of muscles, 1 in the middle.
        heart: size, 1 in the middle.
        dome: height of the diaphragm at the right and at the left.
        kyphosis: how far the spine bends back.
        rib_phase: where the vertebrae begin.
        gas: how much gas is in the stomach.
        fissure: height of the oblique fissures at the right and at the left.
        warp: phases of a gentle deformation.
    """

    scale: float
    body: tuple[float, float]
    fat: float
    breast: float
    muscle: float
    heart: float
    dome: tuple[float, float]
    kyphosis: float
    rib_phase: float
    gas: float
    fissure: tuple[float, float]
    warp: NDArray[np.float32]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Anatomy:
        """A random adult."""
        fat = rng.uniform(8.0, 30.0)
        woman = rng.random() < 0.5
        return cls(
            scale=float(rng.uniform(0.90, 1.0) if woman else rng.uniform(0.95, 1.05)),
            body=(137.0 + fat * 1.05, 97.0 + fat * 0.80),
            fat=float(fat),
            breast=float(rng.uniform(6.0, 10.0 + fat)) if woman else 0.0,
            muscle=float(rng.uniform(0.65, 0.95) if woman else rng.uniform(0.8, 1.25)),
            heart=float(rng.uniform(0.88, 1.1)),
            dome=(float(rng.uniform(-80.0, -62.0)), float(rng.uniform(-92.0, -76.0))),
            kyphosis=float(rng.uniform(4.0, 14.0)),
            rib_phase=float(rng.uniform(0.0, LEVEL_MM)),
            gas=float(rng.uniform(0.0, 30.0)),
            fissure=(float(rng.uniform(-6.0, 6.0)), float(rng.uniform(-6.0, 6.0))),
            warp=rng.uniform(0.0, 2 * np.pi, (3, 2, 2)).astype(np.float32),
        )


def organs(a: Anatomy, x: Field, y: Field, z: Field) -> dict[Organ, Field]:
    """Signed distances of every organ at points in the phantom's frame.

    Args:
        a: the patient.
        x: to the patient's left, mm; broadcasts with ``y`` and ``z``.
        y: to the back, mm.
        z: to the head, mm.
    """
    f = Frame.of(a.scale, a.warp, x, y, z)
    cage = torso.cage(f)
    dome = abdomen.domes(a, f)
    sac, muscle, chambers = mediastinum.heart(a, f)
    great, airway = mediastinum.vessels(f), mediastinum.airways(f)
    body, lean, gland = torso.body(a, f, cage.wall)
    room = abdomen.belly(f, cage.wall, *dome)
    bag = abdomen.stomach(a, f)
    vertebrae, disc, canal = skeleton.spine(a, f)
    ribs, gristle = skeleton.ribs(a, f, cage.wall)
    bone = np.minimum(np.minimum(vertebrae, ribs), skeleton.breastbone(f, cage.wall))
    bone = np.maximum(np.minimum(bone, skeleton.shoulder_bones(f)), lean + 1)
    fields = {
        Organ.BODY: body,
        Organ.LEAN: lean,
        Organ.GLAND: np.maximum(gland, body + 4),
        Organ.RIBCAGE: cage.wall,
        Organ.CAGE: np.minimum(cage.wall, torso.inlet(f)),
        Organ.BELLY: room,
        Organ.LIVER: abdomen.liver(a, f, room),
        Organ.STOMACH: np.maximum(bag, room + 3),
        Organ.SPLEEN: np.minimum(
            np.maximum(abdomen.spleen_kidneys(a, f), room + 2), mediastinum.thyroid(f)
        ),
        Organ.GAS: np.maximum(abdomen.gas(a, f, bag), room + 5),
        Organ.HEART: sac,
        Organ.MYOCARD: muscle,
        Organ.BLOOD: np.minimum(chambers, great),
        Organ.GULLET: mediastinum.gullet(f),
        Organ.LUNGS: _lungs(a, f, cage, sac, dome),
        Organ.FISSURE: fissure(a, f),
        Organ.BLADE: np.maximum(skeleton.blade(f), lean + 3),
        Organ.BONE: bone,
        Organ.DISC: disc,
        Organ.CANAL: canal,
        Organ.CARTILAGE: gristle,
        Organ.AIRWAY: airway,
    }
    scale = np.float32(a.scale)
    for field in fields.values():
        np.multiply(field, scale, out=field)
    return fields


def lungs(a: Anatomy, x: Field, y: Field, z: Field) -> Field:
    """Signed distance to the lungs alone (both), for placing and clipping what lies in them."""
    f = Frame.of(a.scale, a.warp, x, y, z)
    sac, _, _ = mediastinum.heart(a, f)
    found = _lungs(a, f, torso.cage(f), sac, abdomen.domes(a, f))
    return np.asarray(found * np.float32(a.scale), dtype=np.float32)


def fissures(a: Anatomy, x: Field, y: Field, z: Field) -> Field:
    """Distance to the nearest fissure between lobes; signed, and good near it."""
    return fissure(a, Frame.of(a.scale, a.warp, x, y, z)) * np.float32(a.scale)


def to_grid(a: Anatomy, point: tuple[float, float, float]) -> tuple[float, float, float]:
    """A point of the anatomy's own frame in the phantom's frame (the warp, < 6 mm, left out)."""
    x, y, z = (float(c * a.scale) for c in point)
    return x, y, z


def fissure(a: Anatomy, f: Frame) -> Field:
    """The oblique fissures of both lungs, falling from the back to the front."""
    lift = np.where(f.x < 0, np.float32(a.fissure[0]), np.float32(a.fissure[1]))
    bow = 8 * np.sin((np.abs(f.x) - 60) * np.float32(0.03) + f.y * np.float32(0.02))
    plane = f.z - lift - 2 - 0.86 * f.y - bow
    return np.asarray(plane * np.float32(0.75), dtype=np.float32)


def _lungs(a: Anatomy, f: Frame, cage: torso.Cage, sac: Field, dome: tuple[Field, Field]) -> Field:
    """The pleural sacs without mediastinum, heart, root and what the domes lift."""
    s = cage.taper
    # The mediastinum: thin in front of the great vessels, wide at the root, the spine behind.
    y, z = f.plain[1:]
    wall = 7 + 8 * np.exp(-(((y - 22) / 22) ** 2)) + 9 * np.exp(-(((y + 84) / 18) ** 2))
    wall = wall.astype(np.float32) + 5 * (1 - s)
    wall = wall + 12 * ramp(z, 45, 95) * bump(y, -18, 62)  # great veins
    middle = np.abs(f.x - 3) - wall.astype(np.float32)
    behind = f.y - skeleton.spine_y(a, f.z) - 3
    bodies = superellipse(f.x, behind, np.float32(22), np.float32(21), 2.4)
    middle = smooth_union(middle, bodies, 8.0)
    middle = smooth_union(middle, mediastinum.root(f), 9.0)
    middle = smooth_union(middle, sac - 1.5, 8.0)
    slope = np.float32(0.8)
    one = np.maximum(cage.right, (dome[0] - f.z) * slope)
    two = np.maximum(cage.left, (dome[1] - f.z) * slope)
    return np.maximum(np.maximum(np.minimum(one, two), -middle), f.z - torso.APEX_MM)
