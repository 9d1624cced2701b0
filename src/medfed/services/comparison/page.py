"""The page of a comparison: self-contained, so that it can be mailed and filed."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medfed import __version__
from medfed.core.files import write_atomic
from medfed.services.comparison.statistics import ALL, MEAN
from medfed.services.reports import words
from medfed.services.reports.view import notices_of
from medfed.storage.run_folder import RunFolder

Figure = Mapping[str, Any]


def write_page(out: Path, found: Mapping[str, Any], question: str = "") -> None:
    """Write the pictures and the page.

    Args:
        out: The comparison's folder.
        found: The answer, as ``comparison.json`` holds it.
        question: The study's clinical question.
    """
    from medfed.services.comparison.plots import NAMES, draw  # brings Matplotlib, and Jinja2 below
    from medfed.services.reports.page import render_page

    pictures = draw(found)
    for name, picture in pictures.items():
        for kind, blob in picture.files.items():
            write_atomic(out / f"{name}.{kind}", blob)
    inline = {name: pictures[name].inline if name in pictures else "" for name in NAMES}
    metric = found["metric"]
    page = render_page(
        "comparison.html",
        "medfed.services.comparison",
        title=found["title"],
        question=question,
        notices=_notices(out),
        medfed=__version__,
        metric=words.first_capital(words.metric_name(metric)),
        meaning=words.metric_meaning(metric),
        first=next(iter(found["recipes"])),
        recipes=found["recipes"],
        statement=_statement(found["statement"]),
        pictures=inline,
        groups=list(_groups(found)),
        seeds=found["seeds"],
        digest=found["study"],
    )
    write_atomic(out / "comparison.html", page.encode())


def _notices(out: Path) -> tuple[str, ...]:
    """What the runs say must not be overlooked, such as that the patients are made up."""
    runs = [RunFolder(folder) for folder in sorted((out / "runs").glob("*"))]
    return notices_of(*(run.record() for run in runs if run.exists))


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


def _cells(value: str, low: str, high: str, joint: str = "–") -> tuple[str, str]:
    return value, f"{low}{' to ' if '−' in low else joint}{high}" if low else ""


def _groups(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The table's rows, those of a place together."""
    for (place, n), rows in itertools.groupby(_figures(found), key=lambda row: row[:2]):
        cells = [
            {
                "recipe": recipe,
                "figure": _cells(*_parts(figure)),
                "ahead": _cells(*_parts(ahead, sign=True), " to "),
                "shown": bool(ahead and ahead["shown"]),
            }
            for _, _, recipe, figure, ahead in rows
        ]
        yield {"place": place, "patients": n, "whole": place in (MEAN, ALL), "rows": cells}


def _statement(text: str) -> dict[str, Any]:
    """The statement's lines by kind: opening, one against each recipe, and remarks."""
    opening, *lines = text.split("\n")
    against: list[tuple[str, list[str]]] = []
    notes: list[str] = []
    for line in lines:
        if line.startswith("  ") and against:
            against[-1][1].append(line.strip())
        elif line.startswith("Against "):
            against.append((line, []))
        else:
            notes.append(line)
    by_hospital = any(hospitals for _, hospitals in against)
    return {"opening": opening, "against": against, "notes": notes, "by_hospital": by_hospital}
