"""Traffic and time, a round and in all."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from medfed.services.reports import charts, words
from medfed.services.reports.speech import Speech
from medfed.services.reports.view import RunView

MOST_TIMES = 20


def section(view: RunView) -> dict[str, Any]:
    """Traffic and time, a round and in all."""
    rounds = [row for row in view.rows if "participants" in row]
    up = [(int(r["round"]), r.get("bytes_up")) for r in rounds]
    down = [(int(r["round"]), r.get("bytes_down")) for r in rounds]
    seconds = [(int(r["round"]), r.get("seconds")) for r in rounds]
    say, result = view.say, view.result
    unit, step = _byte_unit([*up, *down], say)
    from_sites, to_sites = say("from the sites"), say("to the sites")
    lines = {from_sites: _scaled(up, step), to_sites: _scaled(down, step)}
    drawn = [
        charts.per_round("traffic", say("Traffic a round"), lines, unit, say),
        charts.per_round("time", say("Time a round"), {"": seconds}, say("seconds"), say),
    ]
    return {
        "charts": [chart for chart in drawn if chart],
        "table": [
            (from_sites, _median_bytes(up, say), words.bytes_text(result.get("bytes_up"), say)),
            (to_sites, _median_bytes(down, say), words.bytes_text(result.get("bytes_down"), say)),
            (
                say("time"),
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


def _byte_unit(line: Sequence[tuple[int, Any]], say: Speech) -> tuple[str, float]:
    most = max((float(y) for _, y in line if words.finite(y)), default=0.0)
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if most >= step:
            return unit, step
    return say("bytes"), 1.0


def _scaled(line: Sequence[tuple[int, Any]], step: float) -> list[tuple[int, float | None]]:
    return [(x, float(y) / step if words.finite(y) else None) for x, y in line]


def _median(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if words.finite(value)]
    return statistics.median(known) if known else None


def _median_bytes(line: Sequence[tuple[int, Any]], say: Speech) -> str:
    return words.bytes_text(_median(y for _, y in line), say)
