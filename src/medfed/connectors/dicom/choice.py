"""Which series of several is the chest CT."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.scans.problems import ScanError, as_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medfed.connectors.dicom.series import FoundSeries, SeriesSummary, Survey

LEAST_EXTENT_MM = 100.0
"""Shorter stacks are timing scans and details."""

AXIAL = 0.7
"""Cosine between the slices' normal and the body's axis: within 45 degrees."""


def choose(found: Survey, series_uid: str | None) -> tuple[FoundSeries, str]:
    """The series to read, and the reason in a sentence.

    With a UID, that one. Without, among the usable ones: of the chest if any is, long enough,
    axial, then the thinnest spacing, then the most slices.

    Args:
        found: all series.
        series_uid: the one that is asked for.

    Raises:
        ScanError: there is none, or what is asked for or the only one cannot be used: then its
            first fatal problem.
    """
    if series_uid is not None:
        asked = [s for s in found.series if s.summary.uid == series_uid]
        if not asked:
            raise ScanError("no-series", "there is no DICOM series of this UID")
        return _usable(asked[0]), ""
    if not found.series:
        raise _nothing(found)
    usable = [s for s in found.series if s.summary.usable]
    if not usable:
        raise _unusable(found.series)
    best = min(usable, key=lambda s: _rank(s.summary))
    return best, _reason(best.summary, [s.summary for s in usable], len(found.series))


def _rank(series: SeriesSummary) -> tuple[bool, bool, bool, float, int, str]:
    assert series.geometry is not None  # noqa: S101 - usable ones only
    step = series.geometry.spacing_mm[0]
    return (
        not series.of_the_chest,
        series.geometry.extent_mm[0] < LEAST_EXTENT_MM,
        abs(np.asarray(series.geometry.direction)[2, 2]) < AXIAL,
        round(step, 3),
        -series.slices,
        series.uid,
    )


def _reason(best: SeriesSummary, usable: Sequence[SeriesSummary], total: int) -> str:
    if total == 1:
        return ""
    assert best.geometry is not None  # noqa: S101 - usable ones only
    rivals = sum(s.of_the_chest == best.of_the_chest for s in usable)
    apart = best.geometry.spacing_mm[0]
    if best.of_the_chest:
        return (
            f"Chose one of {total} series: of the {rivals} usable chest CT series the one with the "
            f"thinnest spacing, {best.slices} slices {apart:g} mm apart."
        )
    return (
        f"Chose one of {total} series: of the {rivals} usable CT series, none of them named a "
        f"chest CT, the one with the thinnest spacing, {best.slices} slices {apart:g} mm apart."
    )


def _usable(found: FoundSeries) -> FoundSeries:
    if found.summary.usable:
        return found
    raise as_error(next(p for p in found.summary.problems if p.fatal))


def _unusable(series: Sequence[FoundSeries]) -> ScanError:
    """The problem of the only CT series; of several, the names of all."""
    scans = [s for s in series if s.summary.modality == "CT"] or list(series)
    if len(scans) == 1:
        return as_error(next(p for p in scans[0].summary.problems if p.fatal))
    names = Counter(p.name for s in scans for p in s.summary.problems if p.fatal)
    listed = ", ".join(f"{name} ({count})" for name, count in names.most_common())
    return ScanError("no-usable-series", f"none of the {len(scans)} series can be used: {listed}")


def _nothing(found: Survey) -> ScanError:
    """Why there is no series: the files' own problem where all have the same."""
    fatal = [p for p in found.problems if p.fatal]
    if len(fatal) == 1:
        return as_error(fatal[0])
    if not fatal:
        return ScanError("not-a-scan")
    return ScanError("no-series", "there is no DICOM series here")
