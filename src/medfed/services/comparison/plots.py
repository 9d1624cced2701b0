"""The two pictures of a comparison: figures by hospital, and paired differences."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from medfed.services.comparison.statistics import ALL, MEAN
from medfed.services.reports import palette, words
from medfed.services.reports.drawing import MARKERS, canvas, label_rows, style, to_svg, whisker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("sites", "differences")
WIDTH = 7.3


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as files (``png``, ``svg``) and as a piece of a page."""

    files: Mapping[str, bytes]
    inline: Markup


def draw(found: Mapping[str, Any]) -> dict[str, Picture]:
    """The pictures of an answer, by name."""
    name = words.metric_name(found["metric"])
    labels = {
        "sites": f"{name} of each recipe on each hospital’s own test patients",
        "differences": f"paired differences in {name}, hospital by hospital",
    }
    with style():
        drawn = {"sites": _sites(found, name), "differences": _differences(found, name)}
        return {
            key: Picture(_files(figure), to_svg(figure, key, f"{labels[key]}; see the table."))
            for key, figure in drawn.items()
            if figure is not None
        }


def _sites(found: Mapping[str, Any], name: str) -> "Figure | None":
    """A dot with its interval for every hospital and recipe."""
    figures = [row for row in found["summary"] if row["metric"] == found["metric"]]
    if not figures:
        return None
    places = _places(figures)
    recipes = list(dict.fromkeys(row["recipe"] for row in figures))
    figure, axes = canvas(WIDTH, max(2.0, 0.8 + len(places) * (0.13 * len(recipes) + 0.16)))
    for number, recipe in enumerate(recipes):
        shift = (number - (len(recipes) - 1) / 2) * 0.76 / len(recipes)
        colour, marker = palette.SITE_LIGHT[number % 8], MARKERS[number % 8]
        for row in figures:
            if row["recipe"] == recipe:
                place = places.index(row["site"]) + shift
                whisker(axes, place, row, colour, marker, size=4.5)
        axes.plot([], [], marker, color=colour, ms=4.5, label=recipe)
    label_rows(axes, [words.shorten(place) for place in places])
    for place in range(1, len(places)):
        whole = places[place] in (MEAN, ALL) and places[place - 1] not in (MEAN, ALL)
        colour = palette.MUTED if whole else palette.GRID
        axes.axhline(place - 0.5, color=colour, lw=0.8 if whole else 0.6)
    axes.set_xlabel(f"{name} on test patients, with 95 % interval")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=min(5, len(recipes)))
    return figure


def _differences(found: Mapping[str, Any], name: str) -> "Figure | None":
    """A forest of paired differences, filled where one is shown."""
    rows = [row for row in found["differences"] if row["metric"] == found["metric"]]
    if not rows:
        return None
    against = list(dict.fromkeys(row["against"] for row in rows))
    lines: list[tuple[str, Mapping[str, Any] | None]] = []
    for other in against:
        own = {row["site"]: row for row in rows if row["against"] == other}
        lines.append((f"against {words.shorten(other)}", None))
        lines += [(words.shorten(place), own[place]) for place in _places(list(own.values()))]
    figure, axes = canvas(WIDTH, max(2.0, 0.6 + 0.2 * len(lines)))
    axes.axvline(0, color=palette.MUTED, lw=0.8)
    for number, (_, row) in enumerate(lines):
        if row is not None:
            colour = palette.ACCENT if row["shown"] else palette.MUTED
            marker = "D" if row["site"] in (MEAN, ALL) else "o"
            whisker(axes, number, row, colour, marker, size=4.5, hollow=not row["shown"])
    label_rows(axes, [label for label, _ in lines])
    for tick, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
        tick.set_fontweight("normal" if row else "bold")
    axes.set_xlabel(f"difference in {name}, {rows[0]['recipe']} less the other, 95 % interval")
    return figure


def _places(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    seen = list(dict.fromkeys(row["site"] for row in rows))
    return [*(p for p in seen if p not in (MEAN, ALL)), *(p for p in (MEAN, ALL) if p in seen)]


def _files(figure: "Figure") -> dict[str, bytes]:
    found = {}
    for kind, about in (("png", {"Software": None}), ("svg", {"Date": None})):
        blob = io.BytesIO()
        figure.savefig(blob, format=kind, dpi=160, metadata=about, facecolor="white")
        found[kind] = blob.getvalue()
    return found
