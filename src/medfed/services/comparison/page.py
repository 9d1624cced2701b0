"""The page of a comparison: self-contained, so that it can be mailed and filed."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from medfed import __version__
from medfed.core.files import write_atomic
from medfed.services.comparison.statement import statement
from medfed.services.comparison.statistics import ALL, MEAN
from medfed.services.reports import words
from medfed.services.reports.drawing import KINDS
from medfed.services.reports.speech import ENGLISH, Speech
from medfed.services.reports.told import told
from medfed.services.reports.view import notices_of
from medfed.storage.run_folder import RunFolder

PAGE = "comparison.html"
Figure = Mapping[str, Any]


def write_page(out: Path, found: Mapping[str, Any], question: str = "") -> None:
    """Write the pictures and the page.

    Args:
        out: The comparison's folder.
        found: The answer, as ``comparison.json`` holds it.
        question: The study's clinical question.
    """
    from medfed.services.comparison.plots import draw  # brings Matplotlib

    pictures = draw(found)
    for name, picture in pictures.items():
        for kind in KINDS:
            write_atomic(out / f"{name}.{kind}", picture.file(kind))
    inline = {name: picture.inline for name, picture in pictures.items()}
    page = _page(found, _notices(out), question, inline, ENGLISH)
    write_atomic(out / PAGE, page.encode())


def page_in(path: Path, say: Speech) -> bytes:
    """The page of a finished comparison in a language.

    Args:
        path: Its ``comparison.html``.
        say: The language.
    """

    def make() -> str:
        from medfed.services.comparison.plots import draw

        found = json.loads(path.with_name("comparison.json").read_bytes())
        inline = {name: picture.inline for name, picture in draw(found, say).items()}
        return _page(found, _notices(path.parent), _question(path.parent), inline, say)

    return told(path, say, make)


def picture_in(path: Path, say: Speech) -> bytes:
    """A picture of a finished comparison in a language.

    Args:
        path: Its PNG or SVG file.
        say: The language.
    """

    def make() -> bytes:
        from medfed.services.comparison.plots import draw

        found = json.loads(path.with_name("comparison.json").read_bytes())
        return draw(found, say)[path.stem].file(path.suffix[1:])

    return told(path, say, make)


def _page(
    found: Mapping[str, Any],
    notices: Sequence[str],
    question: str,
    pictures: Mapping[str, Markup],
    say: Speech,
) -> str:
    from medfed.services.reports.page import render_page  # brings Jinja2

    metric = found["metric"]
    return render_page(
        "comparison.html",
        "medfed.services.comparison",
        say,
        title=found["title"],
        question=question,
        notices=[say.again(notice) for notice in notices],
        medfed=__version__,
        metric=words.metric_title(metric, say),
        meaning=words.metric_meaning(metric, say),
        first=words.recipe_name(next(iter(found["recipes"])), say),
        recipes=_recipes(found, say),
        statement=statement(found, say),
        pictures={"sites": "", "differences": "", **pictures},
        groups=list(_groups(found, say)),
        seeds=found["seeds"],
        digest=found["study"],
    )


def _recipes(found: Mapping[str, Any], say: Speech) -> list[tuple[str, str]]:
    about = found["recipes"].items()
    return [(words.recipe_name(name, say), say.again(text)) for name, text in about]


def _runs(out: Path) -> list[RunFolder]:
    runs = [RunFolder(folder) for folder in sorted((out / "runs").glob("*"))]
    return [run for run in runs if run.exists]


def _notices(out: Path) -> tuple[str, ...]:
    """What the runs say must not be overlooked, such as that the patients are made up."""
    return notices_of(*(run.record() for run in _runs(out)))


def _question(out: Path) -> str:
    """The clinical question, which the runs' studies took over."""
    return next((run.study().question for run in _runs(out)), "")


def figure_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures of the chosen metric as rows for people, a row for each place and recipe."""
    return [
        {
            "place": f"{place} ({n})" if n else place,
            "recipe": recipe,
            "figure": _line(*_parts(figure)),
            "ahead": _line(*_parts(ahead, sign=True)),
        }
        for place, n, recipe, figure, ahead in _figures(found)
    ]


def _figures(
    found: Mapping[str, Any],
) -> Iterator[tuple[str, int | None, str, Figure, Figure | None]]:
    """Place, its test patients, recipe, figure, and how far the first recipe is ahead of it."""
    metric = found["metric"]
    figures = {(f["recipe"], f["site"]): f for f in found["summary"] if f["metric"] == metric}
    ahead = {(d["against"], d["site"]): d for d in found["differences"] if d["metric"] == metric}
    counts = found["test_patients"]
    places = {**counts, MEAN: None, ALL: sum(counts.values())}
    for place, n in places.items():
        for recipe in found["recipes"]:
            if (recipe, place) in figures:
                yield place, n, recipe, figures[recipe, place], ahead.get((recipe, place))


def _parts(figure: Figure | None, *, sign: bool = False) -> tuple[str, str, str]:
    """A value and its bounds, in digits that line up; empty where there is none."""
    if figure is None:
        return "", "", ""
    value, low, high = (_number(figure[key], sign) for key in ("value", "low", "high"))
    return (value, low, high) if figure["low"] is not None else (value, "", "")


def _number(value: float | None, sign: bool) -> str:
    text = words.number(value)
    return f"+{text}" if sign and value and value > 0 and float(text) else text


def _line(value: str, low: str, high: str) -> str:
    return f"{value} [{low}, {high}]" if low else value


def _cells(parts: tuple[str, str, str], say: Speech, *, spoken: bool = False) -> tuple[str, str]:
    value, low, high = parts
    return value, words.span_text(low, high, say, spoken) if low else ""


def _groups(found: Mapping[str, Any], say: Speech) -> Iterator[dict[str, Any]]:
    """The table's rows, those of a place together."""
    for (place, n), rows in itertools.groupby(_figures(found), key=lambda row: row[:2]):
        cells = [
            {
                "recipe": words.recipe_name(recipe, say),
                "figure": _cells(_parts(figure), say),
                "ahead": _cells(_parts(ahead, sign=True), say, spoken=True),
                "shown": bool(ahead and ahead["shown"]),
            }
            for _, _, recipe, figure, ahead in rows
        ]
        whole = place in (MEAN, ALL)
        yield {
            "place": say(place) if whole else place,
            "patients": n,
            "whole": whole,
            "rows": cells,
        }
