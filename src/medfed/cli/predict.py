"""``medfed predict``: a trained model at work on one scan."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

from medfed.cli.bar import bar
from medfed.cli.data_pacs import address_options, opened
from medfed.cli.logs import set_up_logs
from medfed.cli.signals import ending_on_sigterm
from medfed.config import Settings

if TYPE_CHECKING:
    from medfed.services.prediction.predict import Predicted

MOST_ROWS = 20
PATH = click.Path(path_type=Path)


@click.command()
@click.option("--model", type=PATH, required=True, help="A run's folder, or its model.safetensors.")
@click.option(
    "--input", "scan", type=PATH, required=True, help="A chest CT: file, DICOM folder or zip."
)
@click.option("--out", type=PATH, required=True, help="The folder to make.")
@click.option("--series", help="Which DICOM series, by UID; else the best chest CT.")
@click.option("--send", "pacs", help="Store the DICOM objects there; see `medfed data pacs`.")
@address_options
@click.option("--threads", type=click.IntRange(min=1), help="Threads for the numerics.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as the last line, in JSON.")
@click.pass_obj
def predict(
    settings: Settings,
    /,
    model: Path,
    scan: Path,
    out: Path,
    series: str | None,
    pacs: str | None,
    threads: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Find lung nodules on one chest CT. Research use only; not a medical device.

    The folder holds findings.json, the mask, pictures and a report; for a DICOM series also a
    segmentation and a structured report, to be stored beside it. The folder appears whole or not
    at all.
    """
    set_up_logs(settings)
    from medfed.services.prediction.predict import PredictOptions  # imports the numerics
    from medfed.services.prediction.predict import predict as look

    # An address that makes no sense is better known before the work than after it.
    target = opened(settings, pacs.removeprefix("dimse://"), given) if pacs else None
    options = PredictOptions(model, scan, out, series, threads, to_send=target is not None)
    with _windows() as progress, ending_on_sigterm():
        done = look(options, progress)
        sent = target.send(done.dicom) if target and done.dicom else 0
    if as_json:
        click.echo(json.dumps(summary(done, sent), ensure_ascii=False))
        return
    show(done)
    if pacs:
        click.echo(f"{pacs} stored {sent} objects" if sent else "There was nothing to send")


def summary(done: "Predicted", sent: int) -> dict[str, Any]:
    """What ``--json`` prints: `findings.json` with where it lies and how much was sent."""
    return {**done.findings, "out": str(done.out.resolve()), "sent": sent}


def show(done: "Predicted") -> None:
    """Print the findings as a table on standard output."""
    from rich.console import Console
    from rich.table import Table

    from medfed.services.prediction.report import place

    about = done.findings
    console = Console(highlight=False)
    findings = about["findings"]
    if findings:
        table = Table()
        for name in ("no.", "where", "diameter", "volume", "kind", _score_name(findings)):
            table.add_column(name, justify="left" if name in {"where", "kind"} else "right")
        for f in findings[:MOST_ROWS]:
            table.add_row(
                str(f["number"]),
                place(f),
                f"{f['longest_axial_diameter_mm']:.1f} mm",
                f"{f['volume_mm3']:.0f} mm³",
                f["attenuation"],
                f"{f['probability']:.2f}",
            )
        console.print(table)
        if len(findings) > MOST_ROWS:
            click.echo(f"and {len(findings) - MOST_ROWS} less probable ones; the report has all")
    else:
        click.echo("The model marked nothing. That does not mean that there is nothing.")
    for line in (*about["notes"], *about["notices"]):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"Report: {done.out / about['files']['report']}", soft_wrap=True)


def _score_name(findings: list[dict[str, Any]]) -> str:
    return "probability" if findings[0]["calibrated"] else "score"


@contextmanager
def _windows() -> Iterator[Callable[[int, int], None]]:
    """A bar over windows, on standard error; silent without a terminal."""
    columns = (MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    with bar("[bold]Windows", *columns) as shown:
        task = shown.add_task("", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
