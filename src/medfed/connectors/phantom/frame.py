"""A patient's own coordinates: the phantom's frame without size and with a gentle warp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom.shapes import FAR_MM, WARP_MM, Field, capsule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Triple

Shape = Callable[[Field, Field, Field], Field]
Chain = tuple[Sequence[Sequence[float]], Sequence[float]]
"""Points ``(x, y, z)`` and the radius at each, mm."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Points in a patient's own coordinates; three arrays of one shape, mm.

    Attributes:
        x: to the patient's left.
        y: to the back.
        z: to the head.
        plain: ``x, y, z`` without the warp, which broadcast; for what need not be exact.
    """

    x: Field
    y: Field
    z: Field
    plain: tuple[Field, Field, Field]

    @classmethod
    def of(cls, scale: float, warp: NDArray[np.float32], x: Field, y: Field, z: Field) -> Frame:
        """Undo size and a low-frequency warp of a few mm: nobody is an ellipse."""
        inverse = np.float32(1 / scale)
        x, y, z = x * inverse, y * inverse, z * inverse
        plain, p = (x, y, z), warp
        wave = np.float32(2 * np.pi)
        dx = 2.5 * np.sin(y * wave / 150 + p[0, 0, 0]) * np.sin(z * wave / 170 + p[0, 0, 1])
        dx = dx + 2.0 * np.sin(z * wave / 110 + p[0, 1, 0])
        dy = 2.5 * np.sin(x * wave / 160 + p[1, 0, 0]) * np.sin(z * wave / 150 + p[1, 0, 1])
        dy = dy + 1.5 * np.sin(x * wave / 90 + p[1, 1, 0])
        dz = 3.0 * np.sin(x * wave / 140 + p[2, 0, 0]) * np.sin(y * wave / 120 + p[2, 0, 1])
        x, y, z = np.broadcast_arrays(x + dx, y + dy, z + dz)
        return cls(x, y, z, plain)

    def near(self, low: Triple, high: Triple, draw: Shape, far: float = FAR_MM) -> Field:
        """A shape that fills at most the box from ``low`` to ``high``, ``(x, y, z)``.

        Far from the box it is not computed: the distance there is ``far``. This is most of the
        drawing's speed.
        """
        box = self._box(low, high)
        distance = np.full(self.x.shape, np.float32(far))
        if box is not None:
            distance[box] = draw(self.x[box], self.y[box], self.z[box])
        return distance

    def tubes(self, *chains: Chain, reach: float = 10.0, far: float | None = None) -> Field:
        """Chains of tapered capsules; what is farther than ``reach`` mm is at ``far``, or there."""
        distance = np.full(self.x.shape, np.float32(reach if far is None else far))
        for points, radii in chains:
            ends = zip(pairwise(points), pairwise(radii), strict=True)
            for (start, end), (r0, r1) in ends:
                margin = max(r0, r1) + reach
                low = [min(c) - margin for c in zip(start, end, strict=True)]
                high = [max(c) + margin for c in zip(start, end, strict=True)]
                box = self._box(low, high)
                if box is not None:
                    x, y, z = self.x[box], self.y[box], self.z[box]
                    piece = capsule(x, y, z, start, end, r0, r1)
                    np.minimum(distance[box], piece, out=distance[box])
        return distance

    def _box(self, low: Sequence[float], high: Sequence[float]) -> tuple[slice, ...] | None:
        """Where on a slightly warped grid a box lies; scattered points are not sorted out."""
        if self.x.ndim != 3:
            return (slice(None),) * self.x.ndim
        slices = []
        axes = (self.z[:, 0, 0], self.y[0, :, 0], self.x[0, 0, :])
        for axis, lo, hi in zip(axes, low[::-1], high[::-1], strict=True):
            inside = np.flatnonzero((axis >= lo - WARP_MM) & (axis <= hi + WARP_MM))
            if not len(inside):
                return None
            slices.append(slice(int(inside[0]), int(inside[-1]) + 1))
        return tuple(slices)


def bump(t: Field, centre: float, half: float) -> Field:
    """1 at the centre, 0 from ``half`` away, smooth."""
    u = np.maximum(1 - ((t - centre) * np.float32(1 / half)) ** 2, 0)
    return np.asarray(u * u)


def ramp(t: Field, start: float, stop: float) -> Field:
    """0 at ``start``, 1 at ``stop``, smooth."""
    u = np.clip((t - start) * np.float32(1 / (stop - start)), 0, 1)
    return np.asarray(u * u * (3 - 2 * u))
