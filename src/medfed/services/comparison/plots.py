"""The two pictures of a comparison: figures by hospital, and paired differences."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medfed.services.comparison.statistics import ALL, MEAN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255", "#7a7a3c",
)  # fmt: skip
_MARKERS = "osD^vPX*"
_INK, _GREY = "#1b2430", "#8a94a1"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "medfed",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
}
WIDTH = 7.3


def draw(found: Mapping[str, Any]) -> dict[str, dict[str, bytes]]:
    """Both pictures of an answer: by name, then by format (``png``, ``svg``)."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # it knows its keys by a long literal
        pictures = {"sites": _sites(found), "differences": _differences(found)}
        return {name: _saved(figure) for name, figure in pictures.items() if figure is not None}


def _sites(found: Mapping[str, Any]) -> "Figure | None":
    """A dot with its interval for every hospital and recipe."""
    figures = [row for row in found["summary"] if row["metric"] == found["metric"]]
    if not figures:
        return None
    places = _places(figures)
    recipes = list(dict.fromkeys(row["recipe"] for row in figures))
    figure, axes = _canvas(0.5 + len(places) * (0.16 * len(recipes) + 0.22))
    for number, recipe in enumerate(recipes):
        own = {row["site"]: row for row in figures if row["recipe"] == recipe}
        shift = (number - (len(recipes) - 1) / 2) * 0.8 / len(recipes)
        colour, marker = _COLOURS[number % 8], _MARKERS[number % 8]
        label: str | None = recipe
        for place, row in own.items():
            _dot(axes, row, places.index(place) + shift, colour, marker, label)
            label = None
    _name_rows(axes, places)
    axes.set_xlabel(f"{found['metric']} on each hospital's own test patients, 95 % interval")
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=min(4, len(recipes)))
    return figure


def _differences(found: Mapping[str, Any]) -> "Figure | None":
    """A forest of paired differences; grey where none was shown."""
    rows = [row for row in found["differences"] if row["metric"] == found["metric"]]
    if not rows:
        return None
    figure, axes = _canvas(0.6 + 0.24 * len(rows))
    for number, row in enumerate(rows):
        colour = _COLOURS[0] if row["shown"] else _GREY
        marker = "D" if row["site"] in (MEAN, ALL) else "o"
        _dot(axes, row, number, colour, marker, None)
    axes.axvline(0, color=_INK, linewidth=0.9)
    _name_rows(axes, [f"against {row['against']}, {row['site']}" for row in rows])
    axes.set_xlabel(
        f"difference in {found['metric']}, {rows[0]['recipe']} less the other, 95 % interval\n"
        "grey: no difference shown"
    )
    return figure


def _canvas(height: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, max(2.0, height)), layout="constrained")
    axes = figure.subplots()
    axes.grid(axis="x", color="#dfe3e8", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _dot(
    axes: "Axes", row: Mapping[str, Any], at: float, colour: str, marker: str, label: str | None
) -> None:
    if row["low"] is not None:
        axes.plot([row["low"], row["high"]], [at, at], color=colour, linewidth=1.4)
    axes.plot([row["value"]], [at], marker=marker, color=colour, markersize=4.5, label=label, ls="")


def _name_rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def _places(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    seen = list(dict.fromkeys(row["site"] for row in figures))
    return [*(p for p in seen if p not in (MEAN, ALL)), *(p for p in (MEAN, ALL) if p in seen)]


def _saved(figure: "Figure") -> dict[str, bytes]:
    found = {}
    for kind, about in (("png", {"Software": None}), ("svg", {"Date": None})):
        blob = io.BytesIO()
        figure.savefig(blob, format=kind, dpi=160, metadata=about)
        found[kind] = blob.getvalue()
    return found
