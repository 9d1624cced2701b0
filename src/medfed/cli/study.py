"""``medfed study``: write, check and show study files."""

import dataclasses
import json
import textwrap
from pathlib import Path

import click

from medfed.core.errors import StudyError
from medfed.core.files import write_atomic
from medfed.core.study import Study
from medfed.core.study_file import read_study
from medfed.services.prices import prices
from medfed.services.protections import protections
from medfed.services.study_templates import TEMPLATES


@click.group()
def study() -> None:
    """Write, check and show study files."""


@study.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--task",
    type=click.Choice(sorted(TEMPLATES)),
    default="tabular-classification",
    show_default=True,
)
def new(file: Path, task: str) -> None:
    """Write a commented study to FILE, ready to be changed."""
    if file.exists():
        raise StudyError(f"{file} exists already", remedy="Choose another name")
    if not file.parent.is_dir():
        raise StudyError(f"there is no folder {file.parent}", remedy="Make it first")
    write_atomic(file, TEMPLATES[task].encode())
    click.echo(f"Wrote {file}. Change it, then: medfed study check {file}")


@study.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Digest, protections and prices, in JSON.")
def check(file: Path, as_json: bool) -> None:
    """Check FILE: every problem is named by line, field and remedy."""
    found = read_study(file)
    if as_json:
        said = [dataclasses.asdict(each) for each in protections(found)]
        told = {
            "schema": 1,
            "digest": found.digest,
            "title": found.title,
            "protections": said,
            "prices": [each.to_json() for each in prices(found)],
        }
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(f"{file} is in order. Digest {found.digest}")
    say_protection(found)


@study.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The canonical study, in JSON.")
def show(file: Path, as_json: bool) -> None:
    """Show FILE as every site signs it: with all defaults filled in."""
    found = read_study(file)
    if as_json:
        click.echo(json.dumps({**found.to_json(), "digest": found.digest}, ensure_ascii=False))
        return
    click.echo(f"{found.title}\n{found.question}\ndigest  {found.digest}\n")
    for name, value in found.to_json().items():
        if isinstance(value, dict):
            click.echo(f"{name}: {value.get('name', '')}".rstrip())
            for option, given in value.items():
                if option != "name":
                    click.echo(f"    {option} = {json.dumps(given, ensure_ascii=False)}")
        elif name not in ("title", "question", "schema") and value not in (None, []):
            click.echo(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    say_protection(found)


def say_protection(found: Study) -> None:
    """What the aggregator and each privacy line protect, against whom, and at what cost."""
    for each in protections(found):
        click.echo(f"\n{click.style(each.name, bold=True)}")
        for sentence in each.sentences:
            click.echo(textwrap.fill(sentence, 92, initial_indent="- ", subsequent_indent="  "))
