"""The page of a comparison: self-contained, so that it can be mailed and filed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medfed.core.files import write_atomic
from medfed.services.comparison.plots import draw
from medfed.services.comparison.statistics import ALL, MEAN

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ found.title }}: comparison</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2430; background: #f6f7f9; margin: 0; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem; }
section { background: #fff; border: 1px solid #dfe3e8; border-radius: 8px; padding: 1rem 1.25rem;
  margin: 1rem 0; overflow-x: auto; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
.statement { white-space: pre-line; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #dfe3e8; }
th { font-weight: 600; }
.muted { color: #5b6675; font-size: .9rem; }
svg { max-width: 100%; height: auto; }
</style>
</head>
<body><main>
<h1>{{ found.title }}</h1>
<p class="muted">Comparison of {{ found.recipes | length }} recipes, seeds
{{ found.seeds | join(", ") }}; study {{ found.study[:12] }}</p>
<section><h2>Is it worth it for us?</h2><p class="statement">{{ found.statement }}</p></section>
<section><h2>{{ found.metric }}, by hospital</h2>
<table><thead><tr><th scope="col">test patients of</th><th scope="col">recipe</th>
<th scope="col">{{ found.metric }} [95 % interval]</th><th scope="col">{{ first }} less it</th>
</tr></thead><tbody>
{% for row in rows %}<tr><th scope="row">{{ row.place }}</th>
<td>{{ row.recipe }}</td><td>{{ row.figure }}</td><td>{{ row.ahead }}</td></tr>
{% endfor %}</tbody></table></section>
{% for name, svg in pictures.items() %}<section><h2>{{ name }}</h2>{{ svg }}</section>{% endfor %}
<section><h2>What was compared</h2><ul>
{% for name, about in found.recipes.items() %}<li><b>{{ name }}</b>: {{ about }}</li>{% endfor %}
</ul>
<p class="muted">Every recipe is tested on the same patients of each hospital; the patients are the
same for all seeds. The baselines do as many rounds and passes over the training patients as the
study. Intervals: 95 %, paired bootstrap, test patients redrawn within each hospital and seeds
redrawn among those run. Hospitals count once each in the mean of sites. In "all patients", scores
of different models are put together where each hospital has a model of its own.</p></section>
</main></body></html>
"""

_HEADINGS = {"sites": "Figures, with intervals", "differences": "Paired differences"}


def write_page(out: Path, found: Mapping[str, Any]) -> None:
    """Write the pictures and the page."""
    import jinja2
    from markupsafe import Markup

    pictures = draw(found)
    for name, kinds in pictures.items():
        for kind, blob in kinds.items():
            write_atomic(out / f"{name}.{kind}", blob)
    inline = {_HEADINGS[n]: Markup(_svg(kinds["svg"])) for n, kinds in pictures.items()}  # noqa: S704  # drawn here, Matplotlib escapes names
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(_PAGE).render(
        found=found, pictures=inline, rows=figure_rows(found), first=next(iter(found["recipes"]))
    )
    write_atomic(out / "comparison.html", page.encode())


def figure_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures of the chosen metric as rows for people, a row for each place and recipe."""
    metric = found["metric"]
    figures = {(f["recipe"], f["site"]): f for f in found["summary"] if f["metric"] == metric}
    ahead = {(d["against"], d["site"]): d for d in found["differences"] if d["metric"] == metric}
    counts = found["test_patients"]
    places = {**counts, MEAN: None, ALL: sum(counts.values())}
    return [
        {
            "place": f"{place} ({n})" if n else place,
            "recipe": recipe,
            "figure": cell(figures[recipe, place]),
            "ahead": cell(ahead.get((recipe, place)), "+.3f"),
        }
        for place, n in places.items()
        for recipe in found["recipes"]
        if (recipe, place) in figures
    ]


def cell(figure: Mapping[str, Any] | None, form: str = ".3f") -> str:
    """A figure with its interval; empty where there is none."""
    if figure is None:
        return ""
    value, low, high = (
        None if figure[k] is None else f"{figure[k] + 0.0:{form}}" for k in ("value", "low", "high")
    )
    text = f"{value} [{low}, {high}]" if low is not None else f"{value}"
    return text.replace("-", "−")


def _svg(blob: bytes) -> str:
    """The drawing without the prologue that only a file needs."""
    text = blob.decode()
    return text[text.index("<svg") :]
