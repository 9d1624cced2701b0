"""``medfed audit``: what happened at a site, verified offline."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medfed.core.errors import SiteError, WireError
from medfed.federation.keys import PUBLIC, fingerprint, load_public
from medfed.federation.site_folder import SiteFolder

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
KEY = click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    help="The site's public key as you know it; else the folder's.",
)


@click.group()
def audit() -> None:
    """Verify, offline, that a site's record of what left it was not rewritten."""


@audit.command()
@FOLDER
@KEY
@click.option(
    "--checkpoint",
    "earlier",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A checkpoint kept from another day; may be given again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def verify(folder: Path, key_file: Path | None, earlier: tuple[Path, ...], as_json: bool) -> None:
    """Check the log of the site in FOLDER, or of every site in a run's folder.

    With --checkpoint also that the site itself rewrote nothing since.
    """
    from medfed.federation.audit.verify import verify_folder
    from medfed.services.sites import site_vault  # slow import

    sites = _sites(folder)
    if len(sites) > 1 and (key_file or earlier):
        raise click.UsageError("--key and --checkpoint are of one site: name its folder.")
    notes = [file.read_text(encoding="utf-8") for file in earlier]
    found = []
    for path in sites:
        key = load_public(key_file or path / PUBLIC)
        name, vault = SiteFolder(path).settings().name, site_vault(path)
        verdict = verify_folder(path, name, key, notes, vault)
        found.append(verdict)
        if not as_json:
            _tell(verdict.site, key, verdict.entries, verdict.receipts, verdict.faults)
    bad = any(verdict.faults for verdict in found)
    if as_json:
        content = {"schema": 1, "ok": not bad, "sites": [asdict(verdict) for verdict in found]}
        click.echo(json.dumps(content, ensure_ascii=False))
    if bad:
        sys.exit(WireError.exit_code)


@audit.command()
@FOLDER
def checkpoint(folder: Path) -> None:
    """Print the signed checkpoint of the site in FOLDER: give it to whoever is to watch it."""
    from medfed.federation.audit.log import CHECKPOINT
    from medfed.federation.audit.log import FOLDER as LOG

    SiteFolder(folder).settings()
    file = folder / LOG / CHECKPOINT
    if not file.exists():
        raise SiteError(f"{folder} has logged nothing yet", remedy="It does with its first reply")
    click.echo(file.read_text(encoding="utf-8"), nl=False)


@audit.command()
@FOLDER
@click.argument("index", type=click.IntRange(min=0))
def prove(folder: Path, index: int) -> None:
    """Print, as JSON, the proof that entry INDEX is in the site's log; it shows no other entry."""
    from medfed.federation.audit.verify import prove as proof_of
    from medfed.services.sites import site_vault

    click.echo(json.dumps(proof_of(folder, index, site_vault(folder)), ensure_ascii=False))


@audit.command()
@FOLDER
@click.argument("to", type=click.Path(path_type=Path))
def export(folder: Path, to: Path) -> None:
    """Copy the record of the site in FOLDER, opened, to the new folder TO.

    Give it to whoever is to verify it and has no key of an encrypted site: `medfed audit verify`
    needs the site's public key alone then.
    """
    from medfed.services.record_copy import copy_record  # slow import

    copy_record(folder, to)
    click.echo(f"The record is in {to}. It holds what receipts hold: studies, counts, no patient.")


@audit.command()
@click.argument("proof", type=click.File("r", encoding="utf-8"))
@click.option("--site", required=True, help="The site's name.")
@click.option("--key", "key_file", required=True, type=click.Path(path_type=Path))
def check(proof: TextIO, site: str, key_file: Path) -> None:
    """Check a PROOF (a file, or - for standard input) without the log it came from."""
    from medfed.federation.audit.verify import check_proof

    try:
        given = json.load(proof)
    except ValueError:
        raise WireError("this is no proof of an entry") from None
    entry = check_proof(given, site, load_public(key_file))
    click.echo(
        f"Entry {entry['index']} ({entry['kind']}, {entry['time']}) is in the log of {site}."
    )
    click.echo(f"It commits to {entry['commitment']}.")


def _sites(folder: Path) -> list[Path]:
    """The folder, or those of the sites in it."""
    if (folder / "site.toml").exists():
        return [folder]
    found = [f.parent for place in (folder, folder / "sites") for f in place.glob("*/site.toml")]
    if not found:
        message = f"{folder} is neither a site's folder nor holds any"
        raise SiteError(message, remedy="Give a site's folder, or a run's that has sites in it")
    return sorted(found)


def _tell(site: str, key: Ed25519PublicKey, entries: int, receipts: int, faults: list[str]) -> None:
    click.echo(f"{site}  fingerprint {fingerprint(key)}")
    if not faults and not entries:
        click.echo("  No entry and no receipt: nothing has left yet, or the whole record is gone.")
        click.echo("  A checkpoint of another day, given by --checkpoint, would tell which.")
    elif not faults:
        click.echo(f"  {entries} entries, {receipts} receipts: nothing was changed.")
    for fault in faults:
        click.echo(click.style("  NOT GOOD  ", fg="red") + fault)
