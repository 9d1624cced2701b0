"""Who took part in each round, and why others did not."""

from collections.abc import Mapping, Sequence
from typing import Any

from medfed.services.reports import charts, words
from medfed.services.reports.view import RunView

MOST_STRIPS = 40
"""Strips in the participation chart; of more sites it shows those that were missing."""

MOST_REASONS = 30

_REFUSAL_FREE = {"late": "late", "rejected": "lost", "worker-lost": "lost", "failed": "lost"}


def section(view: RunView) -> dict[str, Any] | None:
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
    sentence = _sentence(always, states, len(rounds))
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


def _sentence(always: Sequence[str], states: Mapping[str, Sequence[str]], rounds: int) -> str:
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
