"""What a person sees while a run goes on: rounds, sites, traffic, time left."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from medfed.cli.bar import EventBar
from medfed.core.events import (
    Event,
    Notice,
    ReplyCounted,
    RoundFinished,
    RoundStarted,
    RunStarted,
    Scored,
    SiteMissing,
)
from medfed.core.study import Study

SHOWN_METRICS = 2
"""In the table at the end, which fits into 80 columns; the report has them all."""


class RunProgress(EventBar):
    """Listens to a run's events and shows them on standard error."""

    def __init__(self, study: Study) -> None:
        super().__init__("Rounds")
        self.study = study
        self._bytes = 0
        self._scores: dict[str, float] = {}
        self._missing: set[tuple[str, str]] = set()

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case RunStarted():
                self._started(event)
            case RoundStarted():
                self._show(
                    f"round {event.round}: {event.purpose}, {len(event.sites)} sites at work"
                )
            case ReplyCounted():
                self._bytes += event.bytes
                self._show(f"round {event.round}: {event.site} done ({event.seconds:.1f} s)")
            case SiteMissing():
                self._missed(event)
            case Scored():
                self._scores = event.metrics
            case RoundFinished():
                self._finished(event)
            case Notice():
                self.say(event.message)

    def _started(self, event: RunStarted) -> None:
        verb = f"Going on after round {event.resumed_at} of" if event.resumed_at else "Running"
        self.say(f'{verb} "{event.title}": {len(event.sites)} sites, {event.rounds} rounds')
        self.begin(event.rounds, event.resumed_at)

    def _show(self, now: str) -> None:
        self.at(f"{now}, {human_bytes(self._bytes)} in")

    def _missed(self, event: SiteMissing) -> None:
        known = (event.site, event.reason)
        if known not in self._missing:
            self._missing.add(known)
            self.say(f"round {event.round}: {event.site} is missing: {event.message}")

    def _finished(self, event: RoundFinished) -> None:
        self.done(event.round)
        scores = ", ".join(f"{name} {value:.3f}" for name, value in self._scores.items())
        before = f"; before it: {scores}" if scores else ""
        of = f"round {event.round}/{self.study.rounds}"
        self.say_seldom(f"{of}: {len(event.participants)} sites, {event.seconds:.2f} s{before}")

    def show_result(self, result: Mapping[str, Any]) -> None:
        """Print the result as a table on standard output."""
        console = Console(highlight=False)
        if result["metrics"]["overall"]:
            console.print(self._figures(result))
        else:
            console.print(
                "No figures: the study lets none leave the hospitals, or nobody was tested."
            )
        for statistic in result.get("statistics", ()):
            console.print(Text(statistic_line(statistic)))
        console.print(
            f"{result['rounds']} rounds in {result['seconds']:.1f} s; "
            f"{human_bytes(result['bytes_up'])} from the sites, "
            f"{human_bytes(result['bytes_down'])} to them"
        )
        console.print(f"Report: {result['run_dir']}/report.html", soft_wrap=True)

    def _figures(self, result: Mapping[str, Any]) -> Table:
        overall = result["metrics"]["overall"]
        table = Table(title=Text(self.study.title), title_justify="left")
        table.add_column("test patients of", no_wrap=True)
        table.add_column("n", justify="right")
        shown = list(overall)[:SHOWN_METRICS]
        for name in shown:
            table.add_column(f"{name} [95 % interval]", justify="right", no_wrap=True)
        rows = {"all sites": overall, **result["metrics"]["sites"]}
        counts = {**result["patients"], "all sites": result["patients"].get("overall", 0)}
        for site, metrics in rows.items():
            cells = [_cell(metrics.get(name)) for name in shown]
            table.add_row(site, str(counts.get(site, "")), *cells)
        return table


def statistic_line(statistic: Mapping[str, Any]) -> str:
    """A noised statistic with what the noise is likely to have moved it by, in a line."""
    asked, noise = statistic["asked"], statistic["noise"]
    figures = {k: v for k, v in statistic.items() if k not in ("asked", "noise", "edges")}
    shown = "; ".join(f"{name} {_figures(value)}" for name, value in figures.items())
    spread = ", ".join(f"{name} ± {value:.3g}" for name, value in noise.items())
    of = asked.get("column") or " × ".join(filter(None, (asked.get("rows"), asked.get("by"))))
    return f"{' of '.join(filter(None, (asked['name'], of)))}: {shown} (noise: {spread})"


def _figures(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_figures(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " ".join(f"{one:.4g}" for one in value)
    return f"{value:.4g}"


def _cell(interval: Mapping[str, float | None] | None) -> str:
    if interval is None:
        return "–"
    if interval["low"] is None:
        return f"{interval['value']:.3f}"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def human_bytes(size: float) -> str:
    """Bytes in the unit that people read."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size:.0f} bytes"
