"""Who took part in each round, and why others did not."""

from collections.abc import Mapping, Sequence
from typing import Any

from medfed.services.reports import charts, words
from medfed.services.reports.speech import Speech, later
from medfed.services.reports.view import RunView

MOST_STRIPS = 40
"""Strips in the participation chart; of more sites it shows those that were missing."""

MOST_REASONS = 30

TONES = {
    "took part": "accent",
    "late": "late",
    "refused": "refused",
    "lost": "lost",
    "not asked": "absent",
}
"""Each state's colour, as style sheets call it."""

_KEY = {
    "took part": later("took part"),
    "late": later("late"),
    "refused": later("refused"),
    "lost": later("lost, or its reply unusable"),
    "not asked": later("not asked, or not counted"),
}

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
    sentence = _sentence(view.say, always, states, len(rounds))
    kinds = {state for row in shown.values() for state in row}
    complete = len(always) == len(states)
    chart = charts.participation("strip", shown, first, sentence, view.say)
    return {
        "sentence": sentence,
        "chart": None if complete and len(states) > MOST_STRIPS else chart,
        "states": [(TONES[s], view.say(_KEY[s])) for s in charts.STATES if s in kinds],
        "hidden": len(states) - len(shown),
        **_reasons(view),
    }


def _state(row: Mapping[str, Any], site: str) -> str:
    missing = (row.get("missing") or {}).get(site)
    if missing:
        return _REFUSAL_FREE.get(str(missing.get("reason")), "refused")
    return "took part" if site in row["participants"] else "not asked"


def _sentence(
    say: Speech, always: Sequence[str], states: Mapping[str, Sequence[str]], rounds: int
) -> str:
    every = say("the one round") if rounds == 1 else say("all {rounds} rounds", rounds=rounds)
    about = {"always": len(always), "sites": len(states), "every": every}
    if not always:
        return say("No site took part in {every}.", **about)
    if len(always) == len(states) == 1:
        return say("The one site took part in {every}.", **about)
    if len(always) == len(states):
        return say("All {sites} sites took part in {every}.", **about)
    if len(states) > MOST_STRIPS:
        return say("{always} of {sites} sites took part in {every}.", **about)
    return say(
        "{always} of {sites} sites took part in {every}: {names}.",
        names=words.listing(always, 4, say),
        **about,
    )


def _reasons(view: RunView) -> dict[str, Any]:
    """Rounds missed, by site, reason and message."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for row in view.rows:
        for site, why in (row.get("missing") or {}).items():
            message = view.say.again(str(why.get("message", "")))
            key = (str(site), str(why.get("reason", "")), message)
            found.setdefault(key, []).append(int(row["round"]))
    rows = [(*key, words.rounds_text(rounds), len(rounds)) for key, rounds in found.items()]
    rows.sort(key=lambda row: -row[4])
    return {"reasons": rows[:MOST_REASONS], "more_reasons": max(0, len(rows) - MOST_REASONS)}
