"""``medfed compare``: is the federation worth it for us?"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from medfed.cli.bar import EventBar
from medfed.cli.logs import set_up_logs
from medfed.cli.signals import ending_on_sigterm
from medfed.config import Settings
from medfed.core.events import (
    ComparedRun,
    ComparisonAt,
    ComparisonStarted,
    Event,
    Notice,
    RoundFinished,
    SiteMissing,
)
from medfed.core.study_file import read_comparison, read_study
from medfed.services.run_options import Listener


def _names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return tuple(name.strip() for name in value.split(",") if name.strip())


@click.command()
@click.argument("study_file", metavar="STUDY", type=click.Path(path_type=Path))
@click.option(
    "--recipes",
    callback=_names,
    help="What to compare, the first against all others; other study files (NAME.toml) too. If "
    "silent, what the study has under [compare], else federated,local,leave-one-out,pooled.",
)
@click.option(
    "--strategies",
    callback=_names,
    help="Strategies to try in the place of the study's, such as fedprox,scaffold. If silent, what "
    "the study has under [compare]; none beside --recipes.",
)
@click.option("--seeds", type=int, help="How many seeds, from the study's own on; 3 if silent.")
@click.option("--seed", "chosen", type=int, multiple=True, help="This seed; may be repeated.")
@click.option("--metric", help="The metric of the statement and plots; else the study's.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; goes on where it stopped.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the data; else MEDFED_DATA."
)
@click.option(
    "--ledgers",
    type=click.Path(path_type=Path),
    help="Folder of the hospitals' site folders, whose ledgers pay for a study with privacy lines; "
    "if silent, each run has ledgers of its own, which know of nothing else.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Processes that share the runs and the cores.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as the last line, in JSON.")
@click.option("--record", hidden=True, help="Run and fence of a console, in MEDFED_DATABASE.")
@click.pass_obj
def compare(  # noqa: PLR0913, PLR0917  # one argument per option
    settings: Settings,
    study_file: Path,
    recipes: tuple[str, ...] | None,
    strategies: tuple[str, ...] | None,
    seeds: int | None,
    chosen: tuple[int, ...],
    metric: str | None,
    out: Path | None,
    data: Path | None,
    ledgers: Path | None,
    workers: int,
    as_json: bool,
    record: str | None,
) -> None:
    """Compare STUDY with what each hospital could do alone, without one, and with all data pooled.

    Every recipe is trained with several seeds and tested on the same patients of each hospital.
    Intervals are a paired bootstrap over patients and seeds; where the interval of a difference
    holds 0, it says "no difference shown". A comparison that was stopped goes on where it was.
    """
    set_up_logs(settings)
    study, told = read_study(study_file), read_comparison(study_file)
    folder = out or settings.runs / f"{study_file.stem}-{study.digest[:8]}-comparison"
    from medfed.services.comparison import CompareOptions  # imports the numerics
    from medfed.services.comparison import compare as start

    options = CompareOptions(
        out=folder,
        data=data or settings.data,
        ledgers=ledgers,
        recipes=told.recipes if recipes is None else recipes,
        strategies=told.strategies if recipes is None and strategies is None else strategies or (),
        seeds=_seeds(seeds, chosen, study.seed),
        workers=workers,
        metric=metric,
    )
    with CompareProgress() as progress, ending_on_sigterm():
        try:
            if record:
                _recorded(settings.database, record, partial(start, study, options))
                return
            found = start(study, options, progress)
        except KeyboardInterrupt:
            progress.say("Stopped; nothing is lost. The same command goes on where it was")
            raise
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        show(found)


def _recorded(database: str, record: str, start: Callable[[Listener], Any]) -> None:
    """Compare for a console, which is told of the comparison, and not of each run's rounds."""
    from medfed.services.console.recording import Recorder, recorded
    from medfed.services.console_database import open_database

    run_id, _, fence = record.partition(":")
    recorder = Recorder(open_database(database), run_id, int(fence))

    def tell(event: Event) -> None:
        if isinstance(event, (ComparisonStarted, ComparisonAt, ComparedRun, Notice)):
            recorder(event)

    with recorded(recorder):
        start(tell)


def _seeds(count: int | None, chosen: Sequence[int], first: int) -> tuple[int, ...]:
    if count is not None and chosen:
        raise click.UsageError("give either --seeds or --seed")
    if count is not None and count < 1:
        raise click.BadParameter("a comparison needs 1 seed or more", param_hint="--seeds")
    return tuple(chosen) if count is None else tuple(range(first, first + count))


class CompareProgress(EventBar):
    """Listens to a comparison's events and shows on standard error how it goes."""

    def __init__(self) -> None:
        super().__init__("Runs")
        self._now, self._runs, self._finished = "", 0, 0

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case ComparisonStarted():
                self._started(event)
            case ComparisonAt():
                self._now = event.now
                self.at(event.now)
            case RoundFinished():
                self.at(f"{self._now}, round {event.round}")
            case SiteMissing() if event.round <= 1:
                self.say(f"{self._now}: {event.site} is missing: {event.message}")
            case ComparedRun():
                self._count(event)
            case Notice() if not event.message.startswith("federated "):
                self.say(event.message)

    def _started(self, event: ComparisonStarted) -> None:
        self._runs = event.runs
        self.begin(event.runs)
        seeds = ", ".join(map(str, event.seeds))
        self.say(f"Comparing {', '.join(event.recipes)}; seeds {seeds}: {event.runs} runs")

    def _count(self, event: ComparedRun) -> None:
        self._finished += 1
        self.done(self._finished)
        line = f"run {self._finished}/{self._runs}: {event.name}"
        self.say_seldom(line, last=self._finished == self._runs)


def show(found: Mapping[str, Any]) -> None:
    """Print the answer for people on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from medfed.services.comparison.page import figure_rows

    console = Console(highlight=False)
    # Plain columns: with borders the intervals would not fit into a terminal's 80.
    table = Table(title=found["title"], title_justify="left", box=None, pad_edge=False)
    first = next(iter(found["recipes"]))
    for heading in (
        "test patients of",
        "recipe",
        f"{found['metric']} [95 %]",
        f"{first} less it",
    ):
        table.add_column(Text(heading), no_wrap=True)
    for place, group in itertools.groupby(figure_rows(found), key=lambda row: row["place"]):
        for number, row in enumerate(group):
            name = "" if number else place
            table.add_row(*map(Text, (name, row["recipe"], row["figure"], row["ahead"])))
        table.add_row()
    console.print(table)
    console.print(found["statement"], markup=False, soft_wrap=True)
    console.print(f"Page, plots and all figures: {found['out']}", markup=False, soft_wrap=True)
