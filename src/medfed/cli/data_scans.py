"""``medfed data import``, ``list``, ``inspect``: the scans of a site, and a look at a scan."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import TextColumn, TimeElapsedColumn

from medfed.cli.bar import bar
from medfed.cli.data_pacs import address_options, asked, opened, query_options

if TYPE_CHECKING:
    from medfed.config import Settings
    from medfed.services.imports import ImportReport

PATH = click.Path(path_type=Path)
SITE = click.option("--site", type=PATH, required=True, help="The site's own folder.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
NOTHING_USABLE = 3


@click.command("import")
@click.argument("path", type=PATH, required=False)
@SITE
@click.option("--from", "pacs", metavar="PACS", help="A PACS in place of PATH: its address.")
@query_options
@address_options
@click.option("--patient", help="Whose scans these are, where the files do not say.")
@click.option(
    "--patient-is",
    type=click.Choice(["folder", "parent", "file"]),
    default="folder",
    show_default=True,
    help="What names the patient of a .mhd, .mha or .nii.",
)
@click.option("--keep-characteristics", is_flag=True, help="Keep age, sex, size and weight.")
@click.option("--keep-links", is_flag=True, help="Write down who is who, in the site's folder.")
@click.option("--accept-doubts", is_flag=True, help="Also pictures that may show a name or face.")
@JSON
@click.pass_obj
def import_(
    settings: Settings,
    /,
    path: Path | None,
    site: Path,
    pacs: str | None,
    patient: str | None,
    patient_is: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Bring the CT scans in PATH, or in a PACS, into a site's catalogue, under other names.

    PATH is a folder, a zip or one file: DICOM, MetaImage or NIfTI. It is not changed. The same
    import again changes nothing.
    """
    from medfed.services.imports import ImportOptions, import_from_pacs, import_scans
    from medfed.services.machine_acts import leave_act

    if (path is None) == (pacs is None):
        raise click.UsageError("Give PATH, or --from with the address of a PACS.")
    decisions = ("keep_characteristics", "keep_links", "accept_doubts")
    options = ImportOptions(
        patient=patient,
        naming=patient_is,  # type: ignore[arg-type]  # one of the choices above
        **{name: given[name] for name in decisions},
    )
    with counting() as progress:
        if path is not None:
            report = import_scans(site, path, options, progress)
        else:
            archive = opened(settings, str(pacs), given)
            report = import_from_pacs(site, archive, asked(given), options, progress)
    if new := len(report.imported) + len(report.completed):
        leave_act(site, "data.add", "scans", reason=f"imported: {new}")
    if as_json:
        click.echo(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        _tell(report)
    if not report.useful:
        sys.exit(NOTHING_USABLE)


@click.command("list")
@SITE
@JSON
def list_(site: Path, as_json: bool) -> None:
    """List the scans of a site, by pseudonym."""
    from dataclasses import asdict

    from medfed.services.imports import list_scans

    folder, scans = list_scans(site)
    if as_json:
        rows = [{**asdict(one), "bytes": one.bytes} for one in scans]
        click.echo(json.dumps({"schema": 1, "folder": str(folder), "scans": rows}))
        return
    if not scans:
        click.echo(f"Nothing was imported into {site} yet: medfed data import PATH --site {site}")
        return
    for one in scans:
        size = "×".join(str(n) for n in one.shape[::-1])
        step = "×".join(f"{s:.3g}" for s in one.spacing_mm[::-1])
        marks = [*(["mask"] if one.mask else []), *(["synthetic"] if one.synthetic else [])]
        scanner = " ".join(part for part in (one.manufacturer, one.model, one.kernel) if part)
        words = [one.form, f"{size} of {step} mm", scanner, *marks, *one.doubts]
        click.echo(f"{one.patient}  {one.scan}  {', '.join(word for word in words if word)}")
    patients = len({one.patient for one in scans})
    click.echo(f"{_many(len(scans), 'scan')} of {_many(patients, 'patient')} in {folder}")


@click.command()
@click.argument("path", type=PATH)
@click.option("--series", help="UID of the DICOM series; else the thinnest chest CT.")
@click.option("--picture", type=PATH, help="Write a PNG here: axial, coronal and sagittal.")
@JSON
def inspect(path: Path, series: str | None, picture: Path | None, as_json: bool) -> None:
    """Look at a scan before importing it: grid, values, problems. Nothing is kept.

    The descriptions of DICOM series are the scanner's own words, and may name somebody.
    """
    from medfed.services.imports.inspection import bars, inspect_scan
    from medfed.services.imports.inspection import picture as drawn

    found = inspect_scan(path, series)
    if picture and found.scan:
        from medfed.core.files import write_atomic

        write_atomic(picture, drawn(found.scan.volume))
    about = found.to_json()
    if as_json:
        click.echo(json.dumps(about, ensure_ascii=False))
    else:
        _show(about, bars)
        if picture and found.scan:
            click.echo(f"The picture is {picture}; it shows the patient.")
    if found.problem:
        if as_json:
            sys.exit(found.problem.exit_code)
        raise found.problem


@contextmanager
def counting() -> Iterator[Callable[[int, str], None]]:
    """A count of scans, on standard error; silent without a terminal."""
    columns = (TextColumn("{task.completed}"), TextColumn("{task.fields[now]}"))
    with bar("[bold]Scans", *columns, TimeElapsedColumn()) as shown:
        task = shown.add_task("", total=None, now="")
        yield lambda done, now: shown.update(task, completed=done, now=now)


def _tell(report: ImportReport) -> None:
    done = {
        "imported": report.imported,
        "completed": report.completed,
        "already there": report.unchanged,
    }
    words = [f"{len(scans)} {what}" for what, scans in done.items() if scans]
    click.echo(f"{report.site}: {', '.join(words) or 'nothing imported'}; in {report.folder}")
    if not report.imported and not report.completed and report.unchanged:
        click.echo("Nothing changed.")
    if not (report.imported or report.completed or report.unchanged or report.refused):
        click.echo("There is no scan: give DICOM, a .mhd or .mha, a .nii or .nii.gz, or a zip.")
    for name, count in sorted(report.left_out.items()):
        click.echo(f"Left out: {count} {name}")
    for name, count in sorted(Counter(one.name for one in report.refused).items()):
        one = next(one for one in report.refused if one.name == name)
        times = f" ({count} times)" if count > 1 else ""
        click.echo(click.style("Not imported: ", fg="yellow") + f"{name}{times}: {one.message}.")
        if one.remedy:
            click.echo(f"  What to do: {one.remedy}")
    if report.record:
        click.echo(f"Which files these are stands in {report.record}; it may name patients.")
    if report.doubtful:
        click.echo(f"{_many(len(report.doubtful), 'scan')} may show a name or a face: look at them")
    if report.texts_emptied:
        fields = _many(report.texts_emptied, "field")
        click.echo(f"{fields} held a name or number of the patient where none belongs: emptied")
    for note in report.notes:
        click.echo(note)


def _show(about: dict[str, Any], bars: Callable[[list[int], list[int]], list[str]]) -> None:
    for one in about["series"]:
        wrong = ", ".join(p["name"] for p in one["problems"]) or "usable"
        text = f"{one['modality'] or '?'}, {one['slices']} slices, {one['description']!r}: {wrong}"
        click.echo(f"series {one['uid']}  {text}")
    scan = about["scan"]
    if scan is None:
        return
    rows = {
        "form": scan["form"],
        "voxels x y z": " × ".join(str(n) for n in scan["shape_zyx"][::-1]),
        "spacing x y z": " × ".join(f"{s:.4g}" for s in scan["spacing_mm_zyx"][::-1]) + " mm",
        "extent x y z": " × ".join(f"{s:.1f}" for s in scan["extent_mm_zyx"][::-1]) + " mm",
        "first voxel": ", ".join(f"{o:.2f}" for o in scan["origin_mm_xyz"]) + " mm, LPS",
        "HU": f"{scan['hu']['least']} to {scan['hu']['greatest']}, mean {scan['hu']['mean']:.0f}",
    }
    for what, value in rows.items():
        click.echo(f"{what:14} {value}")
    for name, share in scan["hu"]["shares"].items():
        click.echo(f"{'':14} {share:6.1%} {name}")
    for line in bars(scan["hu"]["counts"], scan["hu"]["edges"]):
        click.echo(line)
    for note in scan["notes"]:
        click.echo(note)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
