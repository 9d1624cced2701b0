"""What a first model marked, through the eyes of a second."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from medfed.imaging.candidates import Candidate, suppressed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medfed.imaging.geometry import Geometry, Volume
    from medfed.imaging.prediction import SecondLook


def judged(
    second: SecondLook,
    found: Sequence[Candidate],
    volume: Volume,
    grid: Geometry,
    least: float,
) -> tuple[list[Candidate], list[str]]:
    """The candidates with the second model's scores, in place of the first one's.

    Args:
        second: The second model, and which candidates it is asked about.
        found: What the first model marked.
        volume: The scan.
        grid: The grid of the candidates.
        least: What gets a lower score is left out.

    Returns:
        What stays, and sentences about what does not.
    """
    large = [c for c in found if c.volume_mm3 >= second.smallest_mm3]
    asked = suppressed(large, second.distance_mm)[: second.most]
    centres = np.array([c.centre_zyx for c in asked], np.float64).reshape(-1, 3)
    scores = second.judge(volume, grid.to_world(centres))
    scored = [replace(c, probability=float(s)) for c, s in zip(asked, scores, strict=True)]
    kept = [c for c in scored if c.probability >= least]
    out = len(scored) - len(kept)
    if not out:
        return kept, []
    return kept, [_note(out, len(scored), least)]


def _note(out: int, many: int, least: float) -> str:
    if many == 1:
        return (
            "The one place that the first model marked was left out: the second model gave it a "
            f"score below {least:g}."
        )
    if out == 1:
        return (
            f"1 of the {many} places that the first model marked was left out: the second model "
            f"gave it a score below {least:g}."
        )
    return (
        f"{out} of the {many} places that the first model marked were left out: the second model "
        f"gave them a score below {least:g}."
    )
