"""``medfed privacy-report``: what could an attacker learn from this run?"""

import json
from pathlib import Path

import click
from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

from medfed.cli.bar import bar
from medfed.cli.logs import set_up_logs
from medfed.cli.signals import ending_on_sigterm
from medfed.config import Settings

PATH = click.Path(path_type=Path)


@click.command("privacy-report")
@click.argument("run", type=PATH)
@click.option("--site", help="Whose patients; needed where the run's folder holds several sites.")
@click.option("--data", type=PATH, help="The site's data folder; else the one that the run used.")
@click.option("--out", type=PATH, help="The page to write (.html); else one in the site's folder.")
@click.option(
    "--shadows",
    type=click.IntRange(min=8),
    default=64,
    show_default=True,
    help="Shadow models that LiRA trains.",
)
@click.option(
    "--language",
    type=click.Choice(("en", "zh-CN")),
    default="en",
    show_default=True,
    help="Of the page; the JSON file is English.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as the last line, in JSON.")
@click.pass_obj
def privacy_report(
    settings: Settings,
    run: Path,
    site: str | None,
    data: Path | None,
    out: Path | None,
    shadows: int,
    language: str,
    as_json: bool,
) -> None:
    """Attack the model of RUN (a finished run's folder) with one site's own patients.

    Tried are membership inference (LiRA with shadow models for tables, a threshold on the loss for
    all tasks), reading rows out of the first layer and, where the study has privacy lines,
    canaries whose lower bound stands beside the claimed ε. The page and the JSON file beside it
    can be read by you only and are sent nowhere: they tell something about the site's patients.
    """
    set_up_logs(settings)
    from medfed.services.evidence.report import ReportOptions, make_report  # imports the numerics

    columns = (MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    with bar("[bold]Shadow models", *columns) as shown, ending_on_sigterm():
        task = shown.add_task("", total=None, visible=False)

        def tick(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total, visible=done < total)

        def say(text: str) -> None:
            shown.console.print(text, markup=False, soft_wrap=True)

        done = make_report(ReportOptions(run, site, data, out, shadows, language), say, tick)
    if as_json:
        where = {"page": str(done.page.resolve()), "file": str(done.json.resolve())}
        click.echo(json.dumps({**done.about, **where}, ensure_ascii=False))
        return
    from medfed.services.evidence.words import headline

    click.echo(headline(done.about))
    for finding in done.about["findings"]:
        click.echo(f"- {finding}")
    click.echo(f"Report, for this site only: {done.page}")
