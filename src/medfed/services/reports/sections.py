"""What the report says, section by section, as plain data for its template."""

import shlex
import statistics
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medfed.core.errors import PartError
from medfed.core.registry import Part, load
from medfed.services.reports import charts, palette, words
from medfed.services.reports.toml_text import study_toml
from medfed.services.reports.view import RunView
from medfed.services.reports.words import count, finite, metric_name

MOST_ROUNDS = 40
"""Rows of the round-by-round table; of longer runs it shows every so many."""

MOST_STRIPS = 40
"""Strips in the participation chart; of more sites it shows those that were missing."""

MOST_REASONS = 30
MOST_TIMES = 20

_REFUSAL_FREE = {"late": "late", "rejected": "lost", "worker-lost": "lost", "failed": "lost"}
_SETS = {"valid": "validation", "test": "test", "train": "training"}
_TABLE_KINDS = ("task", "source", "split", "strategy", "aggregator", "compression")


# --- the headline ---------------------------------------------------------------------------------


def headline(view: RunView) -> dict[str, Any]:
    """The result in a sentence, and the few figures that belong beside it."""
    figure = view.overall.get(view.headline)
    return {
        "sentence": headline_sentence(view),
        "meaning": words.metric_meaning(view.headline),
        "metric": words.first_capital(metric_name(view.headline)),
        "value": words.value_text(figure),
        "bounds": words.bounds_text(figure),
        "tiles": _tiles(view),
    }


def headline_sentence(view: RunView) -> str:
    """Metric, interval, patients, sites and rounds, in plain words."""
    figure = view.overall.get(view.headline)
    if not figure or not finite(figure.get("value")):
        return (
            f"No {metric_name(view.headline)} could be computed on the held-out test patients, "
            f"after {count(int(view.result.get('rounds', 0)), 'round')} at "
            f"{count(len(view.sites), 'site')}."
        )
    bounds = words.bounds_text(figure, " to ")
    interval = f" (95 % interval {bounds})" if bounds else ""
    return (
        f"On {_who(view)}, {_which_model(view)} reaches "
        f"{metric_name(view.headline)} {words.value_text(figure)}{interval}."
    )


def _who(view: RunView) -> str:
    many = view.patients()
    scored = [site for site in view.sites if view.patients(site)]
    sites = count(len(view.sites), "site")
    if scored and len(scored) < len(view.sites):
        sites = f"{len(scored)} of {sites}"
    patients = count(many, "held-out test patient") if many else "the held-out test patients"
    return f"{patients} of {sites}"


def _which_model(view: RunView) -> str:
    model = "each site’s own personalised model" if view.personal else "the federated model"
    rounds = int(view.result.get("rounds", 0))
    if view.kept_round == 0:
        return "the untrained model"
    if view.study.keep == "last":
        return f"{model} after {count(rounds, 'round')} of training (the last aggregate)"
    return (
        f"{model} of round {view.kept_round}, the best of {count(rounds, 'round')} on the "
        "validation patients,"
    )


def _tiles(view: RunView) -> list[tuple[str, str]]:
    result = view.result
    traffic = sum(int(result.get(name) or 0) for name in ("bytes_up", "bytes_down"))
    patients = view.patients()
    return [
        *([("test patients", _option(patients))] if patients else []),
        ("sites", str(len(view.sites))),
        ("rounds", str(result.get("rounds", 0))),
        ("time", words.duration_text(result.get("seconds"))),
        ("traffic", words.bytes_text(traffic)),
    ]


# --- pictures and comparison ----------------------------------------------------------------------


def pictures(view: RunView) -> list[dict[str, str]]:
    """Pictures inside the page."""
    return [
        {"data": b64encode(p.png).decode(), "caption": p.caption or f"Picture {i}"}
        for i, p in enumerate(view.pictures, 1)
    ]


def comparison(view: RunView) -> dict[str, Any] | None:
    """Recipes beside each other: statement, table and chart."""
    given = view.comparison
    if given is None:
        return None
    summary = [item for item in given["summary"] if "recipe" in item and "metric" in item]
    known = list(dict.fromkeys(str(item["metric"]) for item in summary))
    metrics = [m for m in view.metrics if m in known] + [m for m in known if m not in view.metrics]
    recipes = list(dict.fromkeys(str(item["recipe"]) for item in summary))
    cells = {(str(item["recipe"]), str(item["metric"])): item for item in summary}
    return {
        "statement": str(given.get("statement", "")),
        "metrics": [words.first_capital(metric_name(m)) for m in metrics],
        "rows": [(r, [_cell(cells.get((r, m))) for m in metrics]) for r in recipes],
        "chart": _recipes_chart(metrics[0], cells, given.get("rows", ())) if metrics else None,
    }


def _recipes_chart(
    metric: str,
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    rows: Iterable[Mapping[str, Any]],
) -> Any:
    dots: dict[str, list[float]] = {}
    for row in rows:
        if row.get("metric") == metric and finite(row.get("value")):
            dots.setdefault(str(row.get("recipe")), []).append(float(row["value"]))
    summary = {recipe: item for (recipe, name), item in cells.items() if name == metric}
    name = words.first_capital(metric_name(metric))
    return charts.recipes("recipes", name, summary, dots)


# --- curves ---------------------------------------------------------------------------------------


def curves(view: RunView, colours: Mapping[str, str]) -> dict[str, Any]:
    """The headline metric and the loss round by round, as charts and as a table."""
    metric, rows = view.headline, view.rows
    on = " and ".join(f"{_SETS.get(name, name)}" for name in view.scored_sets) or "test"
    shown = words.first_capital(metric_name(metric))
    score = [(int(row["round"]), row.get("metrics", {}).get(metric)) for row in rows]
    loss = [(int(row["round"]), row.get("loss")) for row in rows]
    site_score = {
        site: [(int(r["round"]), (r.get("sites") or {}).get(site, {}).get(metric)) for r in rows]
        for site in view.sites
    }
    site_loss = {
        site: [(int(r["round"]), (r.get("site_loss") or {}).get(site)) for r in rows]
        for site in view.sites
    }
    if not view.shows_sites:
        site_score, site_loss = {}, {}
    kept = view.kept_round
    drawn = [
        charts.curve("score", f"{shown}, {on} patients", score, site_score, colours, kept),
        charts.curve("loss", "Loss while training, training patients", loss, site_loss, colours),
    ]
    lines = [*site_score.values(), *site_loss.values()]
    return {
        "charts": [chart for chart in drawn if chart],
        "set": on,
        "kept": kept,
        "spread": len(colours) > palette.MOST_COLOURED,
        "per_site": any(finite(y) for line in lines for _, y in line),
        "metrics": [words.first_capital(metric_name(name)) for name in view.metrics],
        **_round_table(view),
    }


def _round_table(view: RunView) -> dict[str, Any]:
    every = max(1, -(-len(view.rows) // MOST_ROUNDS))
    last = len(view.rows) - 1
    rows = [
        {
            "round": row["round"],
            "kept": row["round"] == view.kept_round,
            "metrics": [words.number(row.get("metrics", {}).get(m)) for m in view.metrics],
            "loss": words.number(row.get("loss")),
            "sites": len(row["participants"]) if "participants" in row else words.NOTHING,
            "seconds": words.duration_text(row.get("seconds") or None),
            "up": words.bytes_text(row.get("bytes_up")),
            "down": words.bytes_text(row.get("bytes_down")),
        }
        for i, row in enumerate(view.rows)
        if i % every == 0 or i == last or row["round"] == view.kept_round
    ]
    return {"rows": rows, "every": every}


# --- figures by site ------------------------------------------------------------------------------


def results(view: RunView, colours: Mapping[str, str]) -> dict[str, Any]:
    """All figures on the test patients, over all sites and at each."""
    trained = {r.site: r.patients for r in view.receipts if r.patients}
    shown = view.by_site
    table = [
        {
            "site": site,
            "swatch": _swatch(colours, site),
            "patients": view.patients(site) or words.NOTHING,
            "trained": trained.get(site, words.NOTHING),
            "cells": [_cell(shown.get(site, {}).get(metric)) for metric in view.metrics],
        }
        for site in view.sites
    ]
    name = words.first_capital(metric_name(view.headline))
    figures = {site: m[view.headline] for site, m in shown.items() if m.get(view.headline)}
    total = sum(trained.values()) if len(trained) == len(view.sites) else 0
    return {
        "metrics": [
            (words.first_capital(metric_name(m)), words.metric_meaning(m), _arrow(view, m))
            for m in view.metrics
        ],
        "overall": {
            "patients": view.patients() or words.NOTHING,
            "trained": total or words.NOTHING,
            "cells": [_cell(view.overall.get(metric)) for metric in view.metrics],
        },
        "with_trained": bool(trained),
        "rows": table if shown else [],
        "many": len(table) > charts.MOST_FOREST,
        "shown": 2 * charts.EDGE,
        "why_not": why_no_sites(view),
        "incomplete": any(set(view.metrics) - set(shown.get(site, ())) for site in view.sites),
        "chart": charts.forest("forest", name, figures, view.overall.get(view.headline), colours),
    }


def why_no_sites(view: RunView) -> str:
    """Why there are no figures of single sites."""
    if not view.shows_sites:
        return (
            'The study keeps each site’s figures among the sums (report = "overall"), so there '
            "are none to show."
        )
    if not view.sees_sites:
        return "The aggregator sees sums only: no single site’s figures exist outside that site."
    return "This run recorded no figures of single sites."


def _arrow(view: RunView, metric: str) -> str:
    better = view.task.higher_is_better.get(metric)
    if better is None:
        return ""
    return "higher is better" if better else "lower is better"


def _cell(figure: Any) -> tuple[str, str]:
    return words.value_text(figure), words.bounds_text(figure)


def _swatch(colours: Mapping[str, str], site: str) -> str:
    many = len(colours) > palette.MOST_COLOURED
    return "" if many else f"site{list(colours).index(site)}"


def legend(view: RunView, colours: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Each site's name, colour and marker; empty when there are too many to tell apart."""
    if len(colours) > palette.MOST_COLOURED or not view.shows_sites:
        return []
    return [
        (site, _swatch(colours, site), "●■▲◆▼✚★✖"["os^DvP*X".index(charts.MARKERS[i])])
        for i, site in enumerate(view.sites)
    ]


# --- notes ----------------------------------------------------------------------------------------


def notes(view: RunView) -> list[str]:
    """What a reader must know before believing a figure."""
    found = [_note_on_sets(view), _note_on_keeping(view)]
    if any(words.bounds_text(figure) for figure in view.overall.values()):
        found.append(
            "An interval says how far a figure could move with other test patients of the same "
            "kind. It does not hold the luck of one training run: another seed gives another "
            "model. Intervals are not corrected for looking at several metrics and sites."
        )
    if any(_no_width(f) for m in (view.overall, *view.by_site.values()) for f in m.values()):
        found.append(
            "An interval without width, such as 1.00–1.00, does not mean certainty: drawing these "
            "few patients again never met an error, and other patients may well bring one."
        )
    few = _note_on_numbers(view)
    if few:
        found.append(few)
    if view.personal:
        found.append(
            "The strategy personalises: the figures are those of each site’s own model on its own "
            "test patients. The model file holds the shared part only."
        )
    return found


def _no_width(figure: Mapping[str, Any]) -> bool:
    return finite(figure.get("low")) and figure.get("low") == figure.get("high")


def _note_on_sets(view: RunView) -> str:
    if "test" in view.scored_sets:
        return (
            "The study has no validation patients, so the curves are drawn on the test patients. "
            "Nothing in this run depended on them: it stopped for no metric and kept the last "
            "aggregate. Whoever changes the study after looking at these curves does use them."
        )
    return (
        "The curves are on validation patients; the figures and intervals are on test patients, "
        "who were neither trained on nor used to stop the run or to choose the model."
    )


def _note_on_keeping(view: RunView) -> str:
    study, rounds = view.study, int(view.result.get("rounds", 0))
    stopped = ""
    if study.stop and rounds < study.rounds:
        stopped = (
            f" The run stopped after {rounds} of {study.rounds} rounds: "
            f"{metric_name(study.stop.metric)} on validation patients no longer improved."
        )
    if study.keep == "best":
        return (
            f"The best aggregate by {metric_name(study.metric)} on validation patients was kept, "
            f"that of round {view.kept_round}.{stopped}"
        )
    return f"The last aggregate was kept, that of round {view.kept_round}.{stopped}"


def _note_on_numbers(view: RunView) -> str:
    few = [site for site in view.sites if 0 < (view.patients(site) or 0) < 50]
    overall = view.patients()
    if few:
        who = words.listing(few) if len(few) < 5 else f"{len(few)} of {len(view.sites)} sites"
        return (
            f"With fewer than 50 test patients at {who}, intervals are wide there, and "
            "differences between sites may be chance."
        )
    if overall and overall < 200:
        return f"With {overall} test patients in all, intervals are wide."
    return ""


# --- participation --------------------------------------------------------------------------------


def participation(view: RunView) -> dict[str, Any] | None:
    """Who took part in each round, and why others did not."""
    rounds = [row for row in view.rows if "participants" in row]
    if not rounds:
        return None
    states = {site: [_state(row, site) for row in rounds] for site in view.sites}
    always = [site for site, row in states.items() if set(row) == {"took part"}]
    shown = states
    if len(states) > MOST_STRIPS:
        missed = {s: row for s, row in states.items() if {*row} - {"took part", "not asked"}}
        shown = dict(list((missed or states).items())[:MOST_STRIPS])
    first = int(rounds[0]["round"])
    sentence = _participation_sentence(always, states, len(rounds))
    kinds = {state for row in shown.values() for state in row}
    complete = len(always) == len(states)
    chart = charts.participation("strip", shown, first, sentence)
    return {
        "sentence": sentence,
        "chart": None if complete and len(states) > MOST_STRIPS else chart,
        "states": [state for state in charts.STATES if state in kinds],
        "hidden": len(states) - len(shown),
        **_reasons(view),
    }


def _state(row: Mapping[str, Any], site: str) -> str:
    missing = (row.get("missing") or {}).get(site)
    if missing:
        return _REFUSAL_FREE.get(str(missing.get("reason")), "refused")
    return "took part" if site in row["participants"] else "not asked"


def _participation_sentence(
    always: Sequence[str], states: Mapping[str, Sequence[str]], rounds: int
) -> str:
    every = "the one round" if rounds == 1 else f"all {rounds} rounds"
    if len(always) == len(states):
        who = "The one site" if len(states) == 1 else f"All {len(states)} sites"
        return f"{who} took part in {every}."
    if not always:
        return f"No site took part in {every}."
    names = f": {words.listing(always, 4)}" if len(states) <= MOST_STRIPS else ""
    return f"{len(always)} of {len(states)} sites took part in {every}{names}."


def _reasons(view: RunView) -> dict[str, Any]:
    """Rounds missed, by site, reason and message."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for row in view.rows:
        for site, why in (row.get("missing") or {}).items():
            key = (str(site), str(why.get("reason", "")), str(why.get("message", "")))
            found.setdefault(key, []).append(int(row["round"]))
    rows = [(*key, words.rounds_text(rounds), len(rounds)) for key, rounds in found.items()]
    rows.sort(key=lambda row: -row[4])
    return {"reasons": rows[:MOST_REASONS], "more_reasons": max(0, len(rows) - MOST_REASONS)}


# --- importance -----------------------------------------------------------------------------------


def importance(view: RunView) -> dict[str, Any] | None:
    """What each input is worth, with the caution that belongs to it."""
    figures = view.result.get("importance") or {}
    name = metric_name(view.task.metric)
    chart = charts.importance("importance", name, figures)
    if chart is None:
        return None
    return {
        "chart": chart,
        "metric": name,
        "sentence": importance_sentence(view),
        "more": max(0, len(figures) - charts.MOST_INPUTS),
        "rows": [(key, *_cell(figure)) for key, figure in figures.items()],
    }


def importance_sentence(view: RunView) -> str:
    """Which inputs are shown to matter; empty where none was examined."""
    figures = view.result.get("importance") or {}
    sure = [key for key, figure in figures.items() if charts.clear_of_zero(figure)]
    if not figures:
        return ""
    if not sure:
        return (
            "No single input is shown to matter by itself: every interval includes zero. Inputs "
            "that say the same thing can stand in for each other."
        )
    verb = "has an interval" if len(sure) == 1 else "have intervals"
    return f"Of {count(len(figures), 'input')}, {words.listing(sure, 6)} {verb} clear of zero."


# --- cost -----------------------------------------------------------------------------------------


def cost(view: RunView) -> dict[str, Any]:
    """Traffic and time, a round and in all."""
    rounds = [row for row in view.rows if "participants" in row]
    up = [(int(r["round"]), r.get("bytes_up")) for r in rounds]
    down = [(int(r["round"]), r.get("bytes_down")) for r in rounds]
    seconds = [(int(r["round"]), r.get("seconds")) for r in rounds]
    unit, step = _byte_unit([*up, *down])
    lines = {
        "from the sites": _scaled(up, step),
        "to the sites": _scaled(down, step),
    }
    drawn = [
        charts.per_round("traffic", "Traffic a round", lines, unit),
        charts.per_round("time", "Time a round", {"round": seconds}, "seconds"),
    ]
    result = view.result
    return {
        "charts": [chart for chart in drawn if chart],
        "table": [
            ("from the sites", _median_bytes(up), words.bytes_text(result.get("bytes_up"))),
            ("to the sites", _median_bytes(down), words.bytes_text(result.get("bytes_down"))),
            (
                "time",
                words.duration_text(_median(y for _, y in seconds)),
                words.duration_text(result.get("seconds")),
            ),
        ],
        **_site_times(view),
    }


def _site_times(view: RunView) -> dict[str, Any]:
    """How long sites took to reply: the middle one of their rounds, slowest first."""
    taken: dict[str, list[float]] = {}
    for row in view.rows:
        for site, seconds in (row.get("site_seconds") or {}).items():
            taken.setdefault(str(site), []).append(float(seconds))
    middle = sorted(((statistics.median(v), max(v), s) for s, v in taken.items()), reverse=True)
    text = words.duration_text
    rows = [(site, text(usual), text(longest)) for usual, longest, site in middle]
    return {"times": rows[:MOST_TIMES], "more_times": max(0, len(rows) - MOST_TIMES)}


def _byte_unit(line: Sequence[tuple[int, Any]]) -> tuple[str, float]:
    most = max((float(y) for _, y in line if finite(y)), default=0.0)
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if most >= step:
            return unit, step
    return "bytes", 1.0


def _scaled(line: Sequence[tuple[int, Any]], step: float) -> list[tuple[int, float | None]]:
    return [(x, float(y) / step if finite(y) else None) for x, y in line]


def _median(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if finite(value)]
    return statistics.median(known) if known else None


def _median_bytes(line: Sequence[tuple[int, Any]]) -> str:
    return words.bytes_text(_median(y for _, y in line))


# --- what left ------------------------------------------------------------------------------------


def receipts(view: RunView) -> dict[str, Any]:
    """What left each site, by its own signed record."""
    rows = [
        {
            "site": r.site,
            "count": r.count,
            "bytes": words.bytes_text(r.bytes),
            "last": r.last,
            "signed": "all" if r.signed == r.count else f"{r.signed} of {r.count}",
            "doubt": r.signed < r.count,
        }
        for r in view.receipts
    ]
    return {
        "rows": rows,
        "many": len(rows) > charts.MOST_FOREST,
        "with_last": view.shows_sites,
        "replies": sum(r.count for r in view.receipts),
        "total": words.bytes_text(sum(r.bytes for r in view.receipts)),
        "privacy": privacy_sentences(view),
    }


def privacy_sentences(view: RunView) -> list[str]:
    """What did and did not protect the updates, and nothing that is not so."""
    found = []
    parts = view.study.privacy
    if parts:
        names = words.listing([part_text(part) for part in parts])
        found.append(
            f"The study lists privacy mechanisms: {names}. What they guarantee follows from these "
            "options and from the sites’ ledgers; it is not restated here."
        )
    else:
        found.append(
            "Model updates were not protected by differential privacy. Someone who holds the "
            "updates or the model may learn something about single training patients, such as "
            "whether a known patient was among them."
        )
    if view.sees_sites:
        found.append("The coordinator could read each site’s update by itself, not only the sum.")
    else:
        found.append("The aggregator let the coordinator read sums over sites only.")
    if view.record.get("engine") == "local":
        found.append(
            "All sites ran on one machine (engine local): what left a site is what would have "
            "crossed the network, but nothing kept the sites’ data apart from this machine."
        )
    return found


def part_text(part: Part) -> str:
    """A part in a line: its name and options."""
    given = {name: value for name, value in part.options.items() if value is not None}
    options = ", ".join(f"{name} {_option(value)}" for name, value in given.items())
    return f"{part.name} ({options})" if options else part.name


# --- the study, and how to repeat it --------------------------------------------------------------


def study(view: RunView) -> dict[str, Any]:
    """The study's parts with their options, and the whole of it as TOML."""
    given = {kind: getattr(view.study, kind) for kind in _TABLE_KINDS}
    parts = [(kind, part) for kind, part in given.items() if part is not None]
    parts += [("mechanism", part) for part in view.study.privacy]
    rows = [
        {
            "kind": "privacy" if kind == "mechanism" else kind,
            "name": part.name,
            "about": _about(kind, part),
            "options": [(name, _option(value)) for name, value in part.options.items()],
        }
        for kind, part in parts
    ]
    return {"parts": rows, "toml": study_toml(view.study), "model": model_words(view)}


def model_words(view: RunView) -> list[tuple[str, str]]:
    """The task's words for the model, each as text."""
    return [(name, _option(value)) for name, value in view.about_model.items()]


def _about(kind: str, part: Part) -> str:
    """The part in its own words; nothing where it is not installed any more."""
    try:
        doc = load(kind, part.name).__doc__ or ""
    except PartError:
        return ""
    return doc.strip().split("\n", 1)[0]


def _option(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_option(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_option(item) for item in value) or "none"
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}".replace(",", "\u202f")
    return str(value)


def environment(view: RunView) -> dict[str, Any]:
    """Digests, versions and the command that makes the same model again."""
    record = view.record
    execution = record.get("execution", {})
    rows = [
        ("study digest", str(view.result.get("study", record.get("study", "")))),
        ("model SHA-256", str(view.result.get("model_sha256", ""))),
        ("run", str(record.get("run", ""))),
        ("started", str(record.get("started", "")).replace("T", " ").replace("Z", " UTC")),
        ("engine", _engine(record)),
        ("seed", str(view.study.seed)),
        ("execution", ", ".join(f"{name} {value}" for name, value in execution.items())),
    ]
    return {
        "digests": [row for row in rows if row[1]],
        "versions": ", ".join(f"{k} {v}" for k, v in record.get("environment", {}).items()),
        "saved": (view.path / "study.toml").exists(),
        "command": shlex.join(view.repeat),
        "same_bits": not view.study.privacy,
    }


def _engine(record: Mapping[str, Any]) -> str:
    workers = int(record.get("workers") or 0)
    how = f"{count(workers, 'worker process', 'worker processes')}" if workers else "one process"
    return f"{record.get('engine', '')}, {how}"
