"""``medfed study``: write, check and show study files."""

import dataclasses
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medfed.core.errors import StudyError
from medfed.core.files import write_atomic
from medfed.core.study import Study
from medfed.core.study_file import read_study
from medfed.federation.site_folder import SiteFolder
from medfed.services.prices import prices
from medfed.services.protections import protections
from medfed.services.study_templates import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medfed.services.outlook import Outlook


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
@click.option(
    "--site",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A hospital's site folder: whether its ledger has room for the study.",
)
@click.option("--json", "as_json", is_flag=True, help="Digest, protections and prices, in JSON.")
def check(file: Path, folder: Path | None, as_json: bool) -> None:
    """Check FILE: every problem is named by line, field and remedy.

    With --site it also says what the study would cost that hospital's patients, and what is left.
    """
    found = read_study(file)
    here = None if folder is None else _outlook(found, folder)
    if as_json:
        said = [dataclasses.asdict(each) for each in protections(found)]
        told = {
            "schema": 1,
            "digest": found.digest,
            "title": found.title,
            "protections": said,
            "prices": [each.to_json() for each in prices(found)],
        }
        if here is not None:
            told["outlook"] = [each.to_json() for each in here]
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(f"{file} is in order. Digest {found.digest}")
    say_protection(found)
    if here is not None:
        _say_outlook(here, folder)


def _outlook(found: Study, folder: Path) -> "Sequence[Outlook]":
    """What the study would cost at the site of a folder, by its ledger."""
    from medfed.services.outlook import outlooks
    from medfed.services.sites import open_ledger  # slow import

    name = SiteFolder(folder).settings().name
    if name not in found.sites:
        message = f"the study has no site {name}, whose folder {folder} is"
        raise StudyError(message, remedy=f"Give the folder of one of {', '.join(found.sites)}")
    return outlooks(open_ledger(folder), found, [p for p in prices(found) if p.site == name])


def _say_outlook(here: "Sequence[Outlook]", folder: Path | None) -> None:
    from medfed.services.outlook_words import sentences

    click.echo(f"\n{click.style(f'By the ledger of {folder}', bold=True)}")
    if not here:
        _item("Nothing in this study has a price: it spends nothing.")
    for each in here:
        for sentence in sentences(each):
            _item(sentence)


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
            _item(sentence)


def _item(sentence: str) -> None:
    click.echo(textwrap.fill(sentence, 92, initial_indent="- ", subsequent_indent="  "))
