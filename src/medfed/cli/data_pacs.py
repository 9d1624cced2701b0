"""``medfed data pacs``: what a PACS holds, and results sent to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from medfed.config import Settings
    from medfed.connectors.pacs import Pacs, Query

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)
ADDRESS = click.argument("address", metavar="PACS")
HOW = ("title", "receive_port", "tls", "ca", "certificate", "plain_http", "timeout")


def _all(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Several options as one decorator, in their order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


address_options: Callable[[Any], Any] = _all(
    [
        click.option("--title", default="MEDFED", show_default=True, help="Our own title (DIMSE)."),
        click.option(
            "--receive-port",
            type=click.IntRange(1, 65535),
            help="Retrieve by C-MOVE to this port of ours, in place of C-GET (DIMSE).",
        ),
        click.option("--tls", is_flag=True, help="DIMSE over TLS; DICOMweb goes by its address."),
        click.option("--ca", type=FILE, help="Certificates to trust, in place of the system's."),
        click.option("--certificate", type=FILE, help="Our own, with its key, if it asks for one."),
        click.option("--plain-http", is_flag=True, help="Allow http:// to another machine."),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0.1),
            default=60.0,
            show_default=True,
            help="Seconds to wait for the PACS.",
        ),
    ]
)

query_options: Callable[[Any], Any] = _all(
    [
        click.option("--patient-id", default="", help="In the PACS: only this patient's."),
        click.option("--accession", default="", help="In the PACS: only this accession number's."),
        click.option("--study", default="", help="In the PACS: only this study's, by UID."),
        click.option("--series", default="", help="In the PACS: only this series, by UID."),
        click.option("--dates", default="", help="In the PACS: of studies, as 20260101-20260131."),
        click.option("--description", default="", help="In the PACS: of studies; * is anything."),
        click.option("--modality", default="CT", show_default=True, help='"" for all.'),
    ]
)


@click.group()
def pacs() -> None:
    """What a PACS holds, and results sent to it.

    PACS is https://HOST/PATH for DICOMweb, or TITLE@HOST:PORT for DIMSE. User and password, or a
    token, stand in MEDFED_PACS_USER and MEDFED_PACS_PASSWORD, or MEDFED_PACS_TOKEN.
    """


@pacs.command()
@ADDRESS
@address_options
@click.pass_obj
def check(settings: Settings, /, address: str, **given: Any) -> None:
    """Try whether a PACS answers."""
    click.echo(opened(settings, address, given).check())


@pacs.command()
@ADDRESS
@query_options
@address_options
@click.option("--json", "as_json", is_flag=True, help="Print the series as JSON.")
@click.pass_obj
def find(settings: Settings, /, address: str, as_json: bool, **given: Any) -> None:
    """List series of a PACS, without names or numbers of patients."""
    from dataclasses import asdict

    found = opened(settings, address, given).find(asked(given))
    if as_json:
        click.echo(json.dumps({"schema": 1, "series": [asdict(one) for one in found]}))
        return
    for one in found:
        count = "?" if one.objects is None else str(one.objects)
        click.echo(f"{one.date}  {one.modality:4} {count:>5}  {one.series}  {one.description}")
    click.echo(f"{len(found)} series")


@pacs.command()
@ADDRESS
@click.argument("files", type=FILE, nargs=-1, required=True)
@address_options
@click.pass_obj
def send(settings: Settings, /, address: str, files: tuple[Path, ...], **given: Any) -> None:
    """Store DICOM FILES, such as results, in a PACS."""
    count = opened(settings, address, given).send(files)
    click.echo(f"{address} stored {count} object{'' if count == 1 else 's'}")


def opened(settings: Settings, address: str, given: dict[str, Any]) -> Pacs:
    """The PACS that the options describe."""
    from medfed.connectors.pacs import PacsOptions, open_pacs

    options = PacsOptions(
        **{name: given[name] for name in HOW},
        user=settings.pacs_user,
        password=settings.pacs_password,
        token=settings.pacs_token,
    )
    return open_pacs(address, options)


def asked(given: dict[str, Any]) -> Query:
    """The query that the options describe."""
    from medfed.connectors.pacs import Query

    names = ("accession", "study", "series", "dates", "description", "modality")
    return Query(patient=given["patient_id"], **{name: given[name] for name in names})
