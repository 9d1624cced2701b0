"""The two pictures of a comparison: figures by hospital, and paired differences."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from medfed.services.comparison.statistics import ALL, MEAN
from medfed.services.reports import palette, words
from medfed.services.reports.drawing import (
    KINDS,
    MARKERS,
    canvas,
    label_rows,
    style,
    to_svg,
    whisker,
)
from medfed.services.reports.speech import ENGLISH, Speech

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.3


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, and the same as a piece of a page."""

    figure: "Figure"
    inline: Markup

    def file(self, kind: str) -> bytes:
        """As a file of its own.

        Args:
            kind: Among `KINDS`.
        """
        blob, about = io.BytesIO(), dict.fromkeys(KINDS[kind])
        with style():
            self.figure.savefig(blob, format=kind, dpi=160, metadata=about, facecolor="white")
        return blob.getvalue()


def draw(found: Mapping[str, Any], say: Speech = ENGLISH) -> dict[str, Picture]:
    """The pictures of an answer that there are, by name.

    Args:
        found: The answer, as ``comparison.json`` holds it.
        say: What their labels are said through.
    """
    name = words.metric_name(found["metric"], say)
    labels = {
        "sites": say(
            "{metric} of each recipe on each hospital’s own test patients; see the table.",
            metric=name,
        ),
        "differences": say(
            "paired differences in {metric}, hospital by hospital; see the table.", metric=name
        ),
    }
    with style():
        drawn = {"sites": _sites(found, name, say), "differences": _differences(found, name, say)}
        return {
            key: Picture(figure, to_svg(figure, key, labels[key]))
            for key, figure in drawn.items()
            if figure is not None
        }


def _sites(found: Mapping[str, Any], name: str, say: Speech) -> "Figure | None":
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
        axes.plot([], [], marker, color=colour, ms=4.5, label=words.recipe_name(recipe, say))
    label_rows(axes, [words.shorten(_called(place, say)) for place in places])
    for place in range(1, len(places)):
        whole = places[place] in (MEAN, ALL) and places[place - 1] not in (MEAN, ALL)
        colour = palette.MUTED if whole else palette.GRID
        axes.axhline(place - 0.5, color=colour, lw=0.8 if whole else 0.6)
    axes.set_xlabel(say("{metric} on test patients, with 95 % interval", metric=name))
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=min(5, len(recipes)))
    return figure


def _differences(found: Mapping[str, Any], name: str, say: Speech) -> "Figure | None":
    """A forest of paired differences, filled where one is shown."""
    rows = [row for row in found["differences"] if row["metric"] == found["metric"]]
    if not rows:
        return None
    against = list(dict.fromkeys(row["against"] for row in rows))
    lines: list[tuple[str, Mapping[str, Any] | None]] = []
    for other in against:
        own = {row["site"]: row for row in rows if row["against"] == other}
        recipe = words.shorten(words.recipe_name(other, say))
        lines.append((say("against {recipe}", recipe=recipe), None))
        places = _places(list(own.values()))
        lines += [(words.shorten(_called(place, say)), own[place]) for place in places]
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
    axes.set_xlabel(
        say(
            "difference in {metric}, {recipe} less the other, 95 % interval",
            metric=name,
            recipe=words.recipe_name(rows[0]["recipe"], say),
        )
    )
    return figure


def _places(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    seen = list(dict.fromkeys(row["site"] for row in rows))
    return [*(p for p in seen if p not in (MEAN, ALL)), *(p for p in (MEAN, ALL) if p in seen)]


def _called(place: str, say: Speech) -> str:
    return say(place) if place in (MEAN, ALL) else place
