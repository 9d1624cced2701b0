"""``medfed demo``: three synthetic hospitals, one model, live in a browser, in about a minute."""

import os
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from medfed.cli.data import drawing
from medfed.cli.demo_pace import Pace
from medfed.cli.demo_visit import Visitor, look_around, look_at_hospital, look_at_result
from medfed.cli.logs import set_up_logs
from medfed.cli.progress import RunProgress
from medfed.cli.signals import ending_on_sigterm
from medfed.config import Settings
from medfed.core.cores import cores

if TYPE_CHECKING:
    from medfed.cli.demo_houses import Served
    from medfed.services import console
    from medfed.services.demo_console import Furnished

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What a person asked for.

    Attributes:
        folder: The demo's folder.
        port: Where the console listens; 0 for any that is free.
        stays: Whether it is served until somebody ends it.
        browser: Whether pages are opened.
        check: Whether pages are looked at by the program.
    """

    folder: Path
    port: int
    stays: bool
    browser: bool
    check: bool


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the demo.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="By default any free one.")
@click.option(
    "--serve/--no-serve",
    "stays",
    default=None,
    help="Go on serving until Ctrl-C; by default where there is a terminal, and CI is not set.",
)
@click.option("--no-browser", is_flag=True, help="Open no page.")
@click.option("--check", is_flag=True, help="Verify pages, files and figures, open nothing, end.")
@click.option("--prepare", is_flag=True, help="Only draw the patients, for a later demo.")
@click.pass_obj
def demo(
    settings: Settings,
    /,
    out: Path | None,
    port: int,
    stays: bool | None,
    no_browser: bool,
    check: bool,
    prepare: bool,
) -> None:
    """See it work: three synthetic hospitals learn to find lung nodules.

    Serves a console on this machine with hospitals, patients, users and a study; prints its address
    and a password; trains one model together, live on its page, and one for each hospital alone;
    then writes a report that begins with held-out slices. About a minute on two cores. A demo that
    was stopped goes on where it was.
    """
    set_up_logs(settings)
    say = partial(Console(stderr=True, highlight=False).print, markup=False, soft_wrap=True)
    if prepare:
        _prepare(say)
        return
    stays = not check and (_watched() if stays is None else stays)
    folder = (out or _next_folder(settings.runs)).resolve()
    wish = Wish(folder, port, stays, not (no_browser or check) and _has_display(), check)
    say("Three hospitals that do not exist will learn to outline lung nodules on chest CTs,")
    say("without sharing a single scan. Their patients are synthetic: nothing here is clinical.\n")
    with ending_on_sigterm():
        _perform(wish, say)


def _perform(wish: Wish, say: Say) -> None:
    pace = Pace()
    from medfed.cli.demo_houses import houses_served
    from medfed.cli.serving import served
    from medfed.services.demo_console import furnish, stop
    from medfed.services.demo_helper import cached_phantom

    made = furnish(wish.folder)
    environment = {"MEDFED_DATA": str(cached_phantom().resolve()), "MEDFED_THREADS": "1"}
    with served(made.folder, made.faces, wish.port, environment) as server:
        url = f"http://127.0.0.1:{server.port}"
        click.echo(f"The console is at {url}, for this machine only")
        click.echo(f"Log in as admin with this password: {made.password}")
        if wish.check:
            Visitor(url).get("/login")
            pace.first_page()
        if wish.browser and wish.stays:
            webbrowser.open(url)
        with houses_served(wish.folder, made, server) as houses:
            for house in houses:
                say(f"  {house.name} has a console of its own at {house.url}, same password")
            try:
                summary = _live(wish, made, server.console, Visitor(url), houses, say, pace)
            except KeyboardInterrupt:
                say(f"Stopped; nothing is lost. Go on with: medfed demo --out {wish.folder}")
                raise
            finally:
                stop(server.console, made.admin, made.study)
            say(f"\nDone in {pace.so_far:.0f} s. Report: {summary['report']}")
            if wish.stays:
                _wait(url, say)
    if wish.check:
        click.echo(pace.words)
        pace.complain()
        click.echo("The demo is in order: its pages and files are there; the model has learned.")
    elif wish.browser and not wish.stays:
        webbrowser.open(Path(summary["report"]).as_uri())


def _live(
    wish: Wish,
    made: "Furnished",
    served: "console.Console",
    visitor: Visitor,
    houses: "Sequence[Served]",
    say: Say,
    pace: Pace,
) -> Mapping[str, Any]:
    """The run, its figures, and its model at work, while the console is served."""
    from medfed.services.demo import check_demo
    from medfed.services.demo_console import begin, follow, put_to_work
    from medfed.services.demo_helper import Helper, cached_phantom
    from medfed.services.demo_study import demo_study

    with Helper(cached_phantom(), wish.folder) as helper:
        with pace.apart():
            _patients(helper.patients, say)
        run = begin(served, made.admin, made.study).id
        others = [(each.house.site, each.house.console) for each in houses]
        helper.take_in([(made.site, made.folder), *others])
        say(f"Learning together, live at {visitor.url}/runs/{run}: only models travel.")
        say("Meanwhile each hospital learns alone, too.")
        if wish.check:
            visitor.log_in("admin", made.password)
            look_around(visitor, run)
        with RunProgress(demo_study()) as shown:
            follow(served, run, shown)
            helper.taken_in()
            folder = served.place.run_folder(run)
            summary = helper.judge(folder, shown.say)
        for _ in houses:
            helper.taken_in()
    put_to_work(served, made.admin, run, {each.house: each.console for each in houses})
    _show(summary)
    check_demo(folder, summary)
    if wish.check:
        look_at_result(visitor, run)
        for each in houses:
            look_at_hospital(each.url, "admin", made.password)
        pace.all_done()
    return summary


def _prepare(say: Say) -> None:
    from medfed.connectors.phantom import make_phantom
    from medfed.services.demo_helper import cached_phantom
    from medfed.services.demo_study import HOSPITALS, PATIENTS, SEED

    draw = partial(make_phantom, cached_phantom(), HOSPITALS, PATIENTS, "small", SEED)
    _patients(partial(draw, workers=cores()), say)


def _patients(draw: Callable[[Callable[[int, int, str], None]], Any], say: Say) -> None:
    from medfed.services.demo_study import HOSPITALS, PATIENTS

    say(f"Drawing {PATIENTS} patients for each of {len(HOSPITALS)} hospitals and their scanners.")
    with drawing() as progress:
        phantom = draw(progress)
    if phantom.reused:
        say(f"  they are still there from an earlier time, in {phantom.out}")


def _wait(url: str, say: Say) -> None:
    say(f"The console stays at {url} until you press Ctrl-C. Its model is ready under Inference.")
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        say("\nThe demo is closed.")


def _show(summary: Mapping[str, Any]) -> None:
    table = Table(title="Dice on held-out patients (1 is perfect)", title_justify="left")
    table.add_column("model")
    sites = list(next(iter(summary["sites"].values())))
    for site in sites:
        table.add_column(site, justify="right")
    table.add_column("all [95 % interval]", justify="right")
    for recipe, own in summary["sites"].items():
        whole = summary["intervals"][recipe]
        cells = [f"{own[site]:.2f}" if site in own else "–" for site in sites]
        table.add_row(recipe, *cells, _with_bounds(whole))
    console = Console(highlight=False)
    console.print(table)
    without = summary["patients"] - summary["with_nodules"]
    console.print(
        f"{summary['with_nodules']} held-out patients with nodules"
        + (f"; {without} without count among false positives only" if without else "")
        + ". Synthetic patients, one seed: this says nothing clinical."
    )


def _with_bounds(figure: Mapping[str, float | None]) -> str:
    """A figure with its interval, where patients differ enough for one."""
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    shown = "–" if value is None else f"{value:.2f}"
    return shown if low is None or high is None else f"{shown} [{low:.2f}, {high:.2f}]"


def _next_folder(runs: Path) -> Path:
    """The first folder ``demo``, ``demo-2``, … that holds no finished demo."""
    number = 1
    while True:
        folder = runs / ("demo" if number == 1 else f"demo-{number}")
        if not (folder / "demo.json").exists():
            return folder
        number += 1


def _watched() -> bool:
    """Whether somebody is there who would end it."""
    return sys.stdin.isatty() and sys.stdout.isatty() and not os.environ.get("CI")


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
