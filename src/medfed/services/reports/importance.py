"""What each input is worth, as a chart: for the report's page, and as a picture by itself."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

from medfed.services.reports import palette, words
from medfed.services.reports.drawing import FULL, KINDS, canvas, label_rows, style, to_svg, whisker
from medfed.services.reports.speech import ENGLISH, Speech
from medfed.services.reports.words import Figure, finite, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

MOST_INPUTS = 20
DPI = 160


def importance(
    name: str, metric: str, figures: Mapping[str, Figure], say: Speech = ENGLISH
) -> Markup | None:
    """What each input is worth; hollow where the interval includes zero."""
    top = _top(figures)
    if not top:
        return None
    with style():
        label = say(
            "Permutation importance of {many} inputs, the most important first: {names}",
            many=len(top),
            names=words.listing(list(top), 8, say),
        )
        return to_svg(_drawn(metric, top, say), name, label)


def importance_file(
    kind: str, metric: str, figures: Mapping[str, Figure], say: Speech = ENGLISH
) -> bytes:
    """The same as a file of its own.

    Args:
        kind: Among `KINDS`.
        metric: What it is the fall of, in words of ``say``'s language.
        figures: By input.
        say: What its labels are said through.
    """
    buffer = io.BytesIO()
    with style():
        figure = _drawn(metric, _top(figures), say)
        about = dict.fromkeys(KINDS[kind])
        figure.savefig(buffer, format=kind, dpi=DPI, facecolor="white", metadata=about)
    return buffer.getvalue()


def clear_of_zero(figure: Figure) -> bool:
    """Whether the interval lies on one side of zero."""
    low, high = figure.get("low"), figure.get("high")
    if not finite(low) or not finite(high):
        return False
    return float(low or 0) > 0 or float(high or 0) < 0


def _top(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    known = {key: f for key, f in figures.items() if finite(f.get("value"))}
    names = sorted(known, key=lambda key: -float(known[key]["value"] or 0))[:MOST_INPUTS]
    return {name: known[name] for name in names}


def _drawn(metric: str, top: Mapping[str, Figure], say: Speech) -> "Drawing":
    figure, axes = canvas(FULL, 0.55 + 0.22 * len(top))
    axes.axvline(0, color=palette.MUTED, lw=0.8)
    for place, worth in enumerate(top.values()):
        whisker(axes, place, worth, palette.ACCENT, "o", hollow=not clear_of_zero(worth))
    label_rows(axes, [shorten(key, 34) for key in top])
    fall = say("fall in {metric} when the input is shuffled, with 95 % interval", metric=metric)
    axes.set_xlabel(fall)
    return figure
