"""``medfed demo``: three synthetic hospitals, one model, a report, in about a minute."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from medfed.cli.data import drawing
from medfed.cli.logs import set_up_logs
from medfed.cli.progress import RunProgress
from medfed.config import Settings


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the demo.")
@click.option("--no-browser", is_flag=True, help="Do not open the report.")
@click.option("--check", is_flag=True, help="Verify files and figures; open nothing.")
@click.pass_obj
def demo(settings: Settings, out: Path | None, no_browser: bool, check: bool) -> None:
    """See it work: three synthetic hospitals learn to find lung nodules.

    Draws chest CTs of made-up patients, trains one model together and one for each hospital alone,
    and opens a report that begins with held-out slices. About a minute on two cores. A demo that
    was stopped goes on where it was.
    """
    set_up_logs(settings)
    began = time.monotonic()
    folder = out or _next_folder(settings.runs)
    console = Console(stderr=True, highlight=False)
    say = partial(console.print, markup=False, soft_wrap=True)
    say("Three hospitals that do not exist will learn to outline lung nodules on chest CTs,")
    say("without sharing a single scan. Their patients are synthetic: nothing here is clinical.\n")
    try:
        summary = _perform(folder, say)
    except KeyboardInterrupt:
        say(f"Stopped; nothing is lost. Go on with: medfed demo --out {folder}")
        raise
    from medfed.services.demo import check_demo

    _show(summary)
    check_demo(folder, summary)
    say(f"\nDone in {time.monotonic() - began:.0f} s. Report: {summary['report']}")
    if check:
        click.echo("The demo is in order: its files are there, and the model has learned.")
    elif not no_browser and _has_display():
        import webbrowser

        webbrowser.open(Path(summary["report"]).as_uri())


def _perform(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    from medfed.services.demo_helper import Helper, cached_phantom
    from medfed.services.demo_study import HOSPITALS, PATIENTS, demo_study

    say(f"Drawing {PATIENTS} patients for each of {len(HOSPITALS)} hospitals and their scanners.")
    with Helper(cached_phantom(), folder) as helper:
        with drawing() as progress:
            phantom = helper.patients(progress)
        if phantom.reused:
            say(f"  they are still there from an earlier demo, in {phantom.out}")
        from medfed.services.demo import Stage, run_demo  # the numerics, loaded meanwhile

        study = demo_study()
        with RunProgress(study) as shown:
            stage = Stage(shown.say, lambda _: shown, lambda: helper.finish(shown.say))
            return run_demo(study, folder, phantom.out, stage)


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
        bounds = f"{whole['value']:.2f} [{whole['low']:.2f}, {whole['high']:.2f}]"
        table.add_row(recipe, *cells, bounds)
    console = Console(highlight=False)
    console.print(table)
    without = summary["patients"] - summary["with_nodules"]
    console.print(
        f"{summary['with_nodules']} held-out patients with nodules"
        + (f"; {without} without count among false positives only" if without else "")
        + ". Synthetic patients, one seed: this says nothing clinical."
    )


def _next_folder(runs: Path) -> Path:
    """The first folder ``demo``, ``demo-2``, … that holds no finished demo."""
    number = 1
    while True:
        folder = runs / ("demo" if number == 1 else f"demo-{number}")
        if not (folder / "demo.json").exists():
            return folder
        number += 1


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
