"""How the run went, round by round."""

from collections.abc import Mapping
from typing import Any

from medfed.services.reports import charts, palette, words
from medfed.services.reports.drawing import MARKERS
from medfed.services.reports.speech import later
from medfed.services.reports.view import RunView

MOST_ROUNDS = 40
"""Rows of the round-by-round table; of longer runs it shows every so many."""

_SETS = {"valid": later("validation"), "test": later("test"), "train": later("training")}


def section(view: RunView, colours: Mapping[str, str]) -> dict[str, Any]:
    """The headline metric and the loss round by round, as charts and as a table."""
    say, metric, rows = view.say, view.headline, view.rows
    sets = [say(_SETS[name]) if name in _SETS else name for name in view.scored_sets or ("test",)]
    on = words.listing(sets, say=say)
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
    title = say("{metric}, {set} patients", metric=words.metric_title(metric, say), set=on)
    training = say("Loss while training, training patients")
    drawn = [
        charts.curve("score", title, score, site_score, colours, kept, say=say),
        charts.curve("loss", training, loss, site_loss, colours, say=say),
    ]
    lines = [*site_score.values(), *site_loss.values()]
    return {
        "charts": [chart for chart in drawn if chart],
        "set": on,
        "kept": kept,
        "spread": len(colours) > palette.MOST_COLOURED,
        "per_site": any(words.finite(y) for line in lines for _, y in line),
        "metrics": [words.metric_title(name, say) for name in view.metrics],
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
            "up": words.bytes_text(row.get("bytes_up"), view.say),
            "down": words.bytes_text(row.get("bytes_down"), view.say),
        }
        for i, row in enumerate(view.rows)
        if i % every == 0 or i == last or row["round"] == view.kept_round
    ]
    return {"rows": rows, "every": every}


def legend(view: RunView, colours: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Each site's name, colour and marker; empty when there are too many to tell apart."""
    if len(colours) > palette.MOST_COLOURED or not view.shows_sites:
        return []
    return [
        (site, palette.swatch(colours, site), "●■▲◆▼✚★✖"["os^DvP*X".index(MARKERS[i])])
        for i, site in enumerate(view.sites)
    ]
