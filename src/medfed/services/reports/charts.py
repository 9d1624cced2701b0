"""The report's charts; each takes plain figures and gives SVG, or nothing to draw."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from medfed.services.reports import palette, words
from medfed.services.reports.drawing import (
    FULL,
    HALF,
    MARKERS,
    canvas,
    label_rows,
    style,
    to_svg,
    whisker,
)
from medfed.services.reports.speech import ENGLISH, Speech
from medfed.services.reports.words import Figure, finite, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_FOREST = 30
EDGE = 12
"""Of more sites than a chart can hold: how many of the lowest and of the highest it shows."""

Series = Sequence[tuple[int, float | None]]


def curve(
    name: str,
    title: str,
    overall: Series,
    by_site: Mapping[str, Series],
    colours: Mapping[str, str],
    kept: int | None = None,
    say: Speech = ENGLISH,
) -> Markup | None:
    """A figure round by round, over all sites and at each.

    Args:
        name: The chart's name in the page.
        title: What is drawn, and on whom.
        overall: Round and value over all sites.
        by_site: The same for each site.
        colours: The sites' colours.
        kept: The round whose aggregate is the result, to mark it.
        say: What its labels are said through.
    """
    drawn = {site: line for site, line in by_site.items() if _known(line)}
    if not _known(overall) and not drawn:
        return None
    with style():
        figure, axes = canvas(HALF, 2.5)
        if len(colours) > palette.MOST_COLOURED:
            _spread(axes, drawn)
        else:
            _site_lines(axes, drawn, colours)
        _overall_line(axes, overall, kept)
        axes.set_title(title)
        axes.set_xlabel(say("round"))
        _whole_numbers(axes)
        axes.margins(x=0.03, y=0.08)
        label = say("{title}, by round. {course}", title=title, course=_course(overall, say))
        return to_svg(figure, name, label)


def forest(
    name: str,
    title: str,
    figures: Mapping[str, Figure],
    overall: Figure | None,
    colours: Mapping[str, str],
    say: Speech = ENGLISH,
) -> Markup | None:
    """Each site's value with its interval, over a line at the overall value."""
    known = {site: f for site, f in figures.items() if finite(f.get("value"))}
    if not known:
        return None
    with style():
        names, gap = _fitting(known)
        rows = len(names) + bool(overall)
        figure, axes = canvas(FULL, 0.55 + 0.24 * rows)
        for place, site in enumerate(names):
            colour = colours.get(site, palette.ACCENT)
            whisker(axes, place, known[site], colour, _marker(colours, site))
        labels = [shorten(site) for site in names]
        if overall and finite(overall.get("value")):
            whisker(axes, len(names), overall, palette.INK, "D", size=6.5)
            axes.axvline(float(overall["value"] or 0), color=palette.MUTED, lw=0.8, ls=(0, (3, 3)))
            labels.append(say("all sites"))
        label_rows(axes, labels)
        axes.set_xlabel(say("{metric}, with 95 % interval", metric=title))
        if gap:
            axes.axhline(gap - 0.5, color=palette.FAINT, lw=0.8, ls=(0, (1, 2)))
        label = say("{metric} with its 95 % interval; the figures are in the table.", metric=title)
        return to_svg(figure, name, label)


def reliability(
    name: str,
    groups: Sequence[Mapping[str, float]],
    curve: Mapping[str, Any],
    say: Speech = ENGLISH,
) -> Markup:
    """Shares observed by score, over the curve that was put through them."""
    with style():
        figure, axes = canvas(HALF, 2.8)
        axes.plot([0, 1], [0, 1], color=palette.MUTED, lw=0.8, ls=(0, (1, 2)))
        axes.plot(curve["scores"], curve["observed"], color=palette.ACCENT)
        most = max(g["candidates"] for g in groups)
        sizes = [12 + 36 * g["candidates"] / most for g in groups]
        at, observed = ([g[key] for g in groups] for key in ("score", "observed"))
        axes.scatter(at, observed, sizes, color=palette.INK, zorder=5, linewidths=0)
        axes.set_xlabel(say("score"))
        axes.set_ylabel(say("share on a nodule"))
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        label = say("Share of candidates on a nodule by score, with the calibration curve.")
        return to_svg(figure, name, label)


STATES = {
    "took part": palette.ACCENT,
    "late": palette.LATE,
    "refused": palette.REFUSED,
    "lost": palette.LOST,
    "not asked": palette.ABSENT,
}
"""What a site did in a round, and its colour in the strip."""


def participation(
    name: str,
    states: Mapping[str, Sequence[str]],
    first: int,
    label: str,
    say: Speech = ENGLISH,
) -> Markup | None:
    """Who took part in each round: a strip a site.

    Args:
        name: The chart's name in the page.
        states: For each site one of `STATES` a round.
        first: The number of the first round.
        label: The chart in words.
        say: What its labels are said through.
    """
    if not states:
        return None
    with style():
        figure, axes = canvas(FULL, 0.75 + 0.2 * len(states))
        heights = {"took part": 0.56, "not asked": 0.16}
        for place, row in enumerate(states.values()):
            for state, spans in _spans(row, first).items():
                height = heights.get(state, 0.84)
                bars = (place - height / 2, height)
                axes.broken_barh(spans, bars, facecolors=STATES[state], edgecolor="none")
        label_rows(axes, [shorten(site) for site in states])
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        length = max(len(row) for row in states.values())
        axes.set_xlim(first - 0.6, first + length - 0.4)
        _whole_numbers(axes)
        axes.set_xlabel(say("round"))
        return to_svg(figure, name, label)


def per_round(
    name: str, title: str, lines: Mapping[str, Series], unit: str, say: Speech = ENGLISH
) -> Markup | None:
    """What rounds cost: one or two lines from zero up."""
    drawn = {label: _points(line) for label, line in lines.items() if _known(line)}
    if not drawn:
        return None
    looks = ((palette.ACCENT, "-", "o"), (palette.REFUSED, "--", "s"))
    with style():
        figure, axes = canvas(HALF, 1.9)
        for (label, (x, y)), (colour, dashes, marker) in zip(drawn.items(), looks, strict=False):
            point = marker if len(x) <= 40 else ""
            axes.plot(x, y, dashes, color=colour, marker=point, ms=3, label=label)
        axes.set_title(title)
        axes.set_xlabel(say("round"))
        axes.set_ylabel(unit)
        highest = max(max(y) for _, y in drawn.values()) or 1.0
        axes.set_ylim(0, highest * (1.12 if len(drawn) < 2 else 1.35))  # room for the legend
        _whole_numbers(axes)
        if len(drawn) > 1:
            axes.legend(loc="upper left", ncols=2, borderaxespad=0.1)
        return to_svg(figure, name, say("{title}, by round, in {unit}.", title=title, unit=unit))


def recipes(
    name: str,
    metric: str,
    summary: Mapping[str, Figure],
    dots: Mapping[str, Sequence[float]],
    say: Speech = ENGLISH,
) -> Markup | None:
    """Recipes beside each other: interval, and a pale dot for each single result."""
    known = {recipe: f for recipe, f in summary.items() if finite(f.get("value"))}
    if not known:
        return None
    with style():
        figure, axes = canvas(FULL, 0.6 + 0.36 * len(known))
        for place, (recipe, total) in enumerate(known.items()):
            values = [value for value in dots.get(recipe, ()) if finite(value)][:400]
            heights = [place + 0.27] * len(values)
            axes.plot(values, heights, "|", color=palette.MUTED, ms=5, alpha=0.75, clip_on=False)
            whisker(axes, place, total, palette.ACCENT, "D" if place == 0 else "o", size=6)
        names = [words.recipe_name(recipe, say) for recipe in known]
        label_rows(axes, [shorten(called, 34) for called in names])
        ticks = say("{metric}, with 95 % interval; ticks below: single results", metric=metric)
        axes.set_xlabel(ticks)
        label = say("{metric} of {names}.", metric=metric, names=words.listing(names, 8, say))
        return to_svg(figure, name, label)


def _overall_line(axes: "Axes", overall: Series, kept: int | None) -> None:
    x, y = _points(overall)
    if not x:
        return
    axes.plot(x, y, color=palette.INK, lw=2.0, marker="o" if len(x) < 3 else "", ms=4, zorder=5)
    values = dict(zip(x, y, strict=True))
    if kept in values:
        axes.axvline(kept, color=palette.MUTED, lw=0.8, ls=(0, (3, 3)), zorder=1)
        point = {"ms": 6, "mfc": palette.PAPER, "mec": palette.INK, "mew": 1.6}
        axes.plot([kept], [values[kept]], "o", zorder=6, **point)  # type: ignore[arg-type]


def _site_lines(axes: "Axes", by_site: Mapping[str, Series], colours: Mapping[str, str]) -> None:
    for site, line in by_site.items():
        x, y = _points(line)
        marker = _marker(colours, site)
        every = max(1, len(x) // 5)
        looks: dict[str, Any] = {"color": colours[site], "marker": marker, "ms": 3.6}
        axes.plot(x, y, lw=1.1, markevery=every, alpha=0.9, **looks)


def _spread(axes: "Axes", by_site: Mapping[str, Series]) -> None:
    """All sites' range, and the middle half of them."""
    values: dict[int, list[float]] = {}
    for line in by_site.values():
        for x, y in zip(*_points(line), strict=True):
            values.setdefault(x, []).append(y)
    rounds = sorted(values)
    for low, high, alpha in ((0.0, 1.0, 0.16), (0.25, 0.75, 0.28)):
        bottom = [_quantile(values[x], low) for x in rounds]
        top = [_quantile(values[x], high) for x in rounds]
        axes.fill_between(rounds, bottom, top, color=palette.ACCENT, alpha=alpha, lw=0)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]


def _fitting(figures: Mapping[str, Figure]) -> tuple[list[str], int]:
    """The sites that fit, and where the others are left out (0: nowhere)."""
    names = list(figures)
    if len(names) <= MOST_FOREST:
        return names, 0
    names.sort(key=lambda site: float(figures[site]["value"] or 0))
    return [*names[:EDGE], *names[-EDGE:]], EDGE


def _spans(row: Sequence[str], first: int) -> dict[str, list[tuple[float, float]]]:
    """Neighbouring rounds of one state as one bar, so that long runs stay small."""
    spans: dict[str, list[tuple[float, float]]] = {}
    start = 0
    for place in range(1, len(row) + 1):
        if place < len(row) and row[place] == row[start]:
            continue
        bar = (first + start - 0.46, place - start - 0.08)
        spans.setdefault(row[start], []).append(bar)
        start = place
    return spans


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=8))


def _marker(colours: Mapping[str, str], site: str) -> str:
    """The site's own marker, for eyes and paper that do not tell colours apart."""
    if len(colours) > len(MARKERS):
        return "o"
    return MARKERS[list(colours).index(site)]


def _known(line: Series) -> bool:
    return any(finite(y) for _, y in line)


def _points(line: Series) -> tuple[list[int], list[float]]:
    known = [(x, float(y or 0)) for x, y in line if finite(y)]
    return [x for x, _ in known], [y for _, y in known]


def _course(line: Series, say: Speech) -> str:
    x, y = _points(line)
    if not x:
        return ""
    return say(
        "Over all sites: {begin} at round {first}, {end} at round {last}.",
        begin=f"{y[0]:.3g}",
        first=x[0],
        end=f"{y[-1]:.3g}",
        last=x[-1],
    )
