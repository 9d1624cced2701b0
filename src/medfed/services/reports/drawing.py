"""From a Matplotlib figure to a piece of SVG that lives inside a page."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from medfed.imaging.fonts import CHINESE
from medfed.services.greenlets import real_lock
from medfed.services.reports import palette
from medfed.services.reports.words import Figure, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

WIDE = Path(__file__).with_name("wide.ttf")
"""Measures Han characters that `CHINESE` lacks, see ``scripts/wide_font.py``.

Readers' own fonts draw the words of SVG.
"""
_FONTS = {"medfed Chinese": CHINESE, "medfed wide": WIDE}
_ALONE = real_lock()
"""Matplotlib's settings are those of the whole process."""
_STYLE = {
    "font.family": ["sans-serif", *_FONTS],
    "svg.fonttype": "none",  # text stays text: small, selectable, in the page's own font
    "svg.hashsalt": "medfed",  # the same chart has the same bytes
    "text.parse_math": False,  # names of sites and columns may hold dollar signs
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "text.color": palette.INK,
    "axes.labelcolor": palette.MUTED,
    "axes.titlecolor": palette.INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": palette.FAINT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": palette.GRID,
    "grid.linewidth": 0.6,
    "xtick.color": palette.FAINT,
    "ytick.color": palette.FAINT,
    "xtick.labelcolor": palette.MUTED,
    "ytick.labelcolor": palette.MUTED,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}

MARKERS = "osD^vPX*"
"""For eyes and paper that do not tell colours apart."""
KINDS = {"png": ("Software",), "svg": ("Date", "Creator", "Format", "Type")}
"""Files, by their ending, and what is not said in them: when and by what they were drawn."""


HALF, FULL = 3.55, 7.3
"""Widths in inches of a chart beside another, and of one by itself."""


@contextmanager
def style() -> Iterator[None]:
    """Every chart's looks."""
    import matplotlib as mpl

    _know_fonts()
    with _ALONE, mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # it knows its keys by a long literal
        yield


@cache
def _know_fonts() -> None:
    from matplotlib.font_manager import FontEntry, fontManager

    for (name, file), weight in product(_FONTS.items(), ("normal", "bold")):
        entry = FontEntry(str(file), name=name, weight=weight, size="scalable")
        fontManager.ttflist.append(entry)


def canvas(width: float, height: float) -> tuple["Drawing", "Axes"]:
    """An empty chart, in inches; nothing of pyplot's global state is touched."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
    figure = Figure(figsize=(width, height), layout=layout)
    return figure, figure.add_subplot()


def whisker(
    axes: "Axes",
    place: float,
    figure: Figure,
    colour: str,
    marker: str,
    *,
    size: float = 5.5,
    hollow: bool = False,
) -> None:
    """A value with its interval, in a row of the chart."""
    low, high = figure.get("low"), figure.get("high")
    if finite(low) and finite(high):
        axes.hlines(place, float(low or 0), float(high or 0), color=colour, lw=1.6)
    face = palette.PAPER if hollow else colour
    value = float(figure["value"] or 0)
    axes.plot([value], [place], marker, ms=size, mfc=face, mec=colour, mew=1.3, zorder=5)


def label_rows(axes: "Axes", labels: Sequence[str]) -> None:
    """Name the rows, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=palette.INK)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.05)


def to_svg(figure: "Drawing", name: str, label: str) -> Markup:
    """The chart as SVG for a page.

    Args:
        figure: The chart.
        name: Unique in the page: keeps the identifiers of several charts apart.
        label: What the chart shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(KINDS["svg"])
    figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    head, body = text[text.index("<svg") :].split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', head)
    wide = " wide" if figure.get_figwidth() > 5 else ""
    opening = (
        f'<svg class="chart{wide}" role="img" aria-label="{escape(label)}" '
        f'viewBox="{box.group(1) if box else "0 0 100 100"}">'
    )
    return Markup(opening + _tidy(body, name))  # noqa: S704  # Matplotlib escapes


def _tidy(body: str, name: str) -> str:
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, count=1, flags=re.DOTALL)  # the page has it
    # Only inside tags: what looks like an attribute may also be a site's name.
    return re.sub(r"<[a-zA-Z][^<>]*>", lambda tag: _at_home(tag.group(), name), body)


def _at_home(tag: str, name: str) -> str:
    """A tag with identifiers of its own, the page's colours and the page's font."""
    tag = palette.themed(tag)
    tag = re.sub(
        r' id="(?:figure|axes|patch|line2d|matplotlib|text|xtick|ytick|legend)[^"]*"', "", tag
    )
    tag = re.sub(r' id="([^"]*)"', rf' id="{name}-\1"', tag)
    tag = re.sub(r'(?:xlink:)?href="#([^"]*)"', rf'href="#{name}-\1"', tag)
    tag = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r"\s*\n\s*", " ", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    return re.sub(r"font: (\w+ )?([\d.]+px) [^;\"]*", _font, tag)


def _font(match: re.Match[str]) -> str:
    weight = f"font-weight: {match[1].strip()}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}"
