"""``medfed data``: import scans, fetch public data sets, make synthetic ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from medfed.cli.bar import bar
from medfed.cli.data_pacs import pacs
from medfed.cli.data_scans import import_, inspect, list_
from medfed.config import Settings
from medfed.core.cores import cores


@click.group()
def data() -> None:
    """Import scans into a site; fetch public data sets, make synthetic ones."""


for _command in (import_, list_, inspect, pacs):
    data.add_command(_command)


@data.command()
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path), help="Data folder; else MEDFED_DATA.")
@click.pass_obj
def fetch(settings: Settings, name: str, into: Path | None) -> None:
    """Bring the public data set NAME, such as heart-disease; every file is checked."""
    from medfed.connectors.fetch import fetch as bring

    folder = into or settings.data or Path("data")
    with fetching() as progress:
        where = bring(name, folder, progress=progress)
    click.echo(f"{name} is in {where}; whose it is stands in SOURCE.txt there.")
    click.echo(f"Use it with --data {folder}")


@data.command()
@click.option("--hospitals", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--patients", type=click.IntRange(1), default=12, show_default=True, help="Of each hospital."
)
@click.option("--size", type=click.Choice(["small", "full"]), default="small", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--dicom", is_flag=True, help="Write each CT as a DICOM series, too.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes that draw.  [default: one a core]"
)
def phantom(
    hospitals: int,
    patients: int,
    size: str,
    seed: int,
    out: Path,
    dicom: bool,
    workers: int | None,
) -> None:
    """Draw chest CTs of synthetic patients with lung nodules, for hospitals that do not exist."""
    from medfed.connectors.phantom import make_phantom

    with drawing() as progress:
        made = make_phantom(
            out,
            hospitals,
            patients,
            "full" if size == "full" else "small",
            seed,
            progress,
            dicom=dicom,
            workers=workers or cores(),
        )
    verb = "holds these already" if made.reused else "now holds"
    count = made.patients * len(made.hospitals)
    click.echo(
        f"{out} {verb}: {count} patients, {made.nodules} nodules: {', '.join(made.hospitals)}"
    )
    click.echo("All of it is synthetic and says nothing clinical.")
    click.echo(f"Next: medfed run examples/nodules.toml --data {out}")


@contextmanager
def drawing() -> Iterator[Callable[[int, int, str], None]]:
    """A bar over patients, on standard error; silent without a terminal."""
    columns = (MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    with bar("[bold]Patients", *columns) as shown:
        task = shown.add_task("", total=None)
        yield lambda done, total, _: shown.update(task, completed=done, total=total)


@contextmanager
def fetching() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each file, on standard error; silent without a terminal."""
    with bar("{task.description}", DownloadColumn()) as shown:
        tasks = {}

        def tell(file: str, done: int, size: int) -> None:
            if file not in tasks:
                tasks[file] = shown.add_task(file, total=size)
            shown.update(tasks[file], completed=done)

        yield tell
