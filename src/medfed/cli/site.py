"""``medfed site``: a hospital's own folder."""

import json
from pathlib import Path

import click

from medfed.core.study_file import read_study
from medfed.federation.keys import PUBLIC, fingerprint, load_public
from medfed.federation.receipts import verify_receipt
from medfed.federation.site_folder import TRUST, SiteFolder

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
STUDY = click.argument("study_file", metavar="STUDY", type=click.Path(path_type=Path))


@click.group()
def site() -> None:
    """A hospital's own folder: key, approvals, receipts."""


@site.command()
@FOLDER
@click.option("--name", help="The site's name; the folder's name by default.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of this site's data.")
@click.option("--min-patients", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--coordinator", type=click.Path(path_type=Path), help="Its public key, to trust.")
def init(
    folder: Path, name: str | None, data: Path | None, min_patients: int, coordinator: Path | None
) -> None:
    """Make FOLDER with a fresh Ed25519 key, which never leaves it."""
    from medfed.services.sites import create_site  # slow import
    from medfed.services.sites import trust as pin

    created = create_site(folder, name or folder.name, data, min_patients)
    if coordinator:
        pin(folder, load_public(coordinator))
    click.echo(f"Site {created.name} is ready in {folder}.")
    click.echo(f"Fingerprint: {fingerprint(created.key.public_key())}")
    if not coordinator:
        click.echo(f"Next: medfed site trust {folder} COORDINATOR.pub")


@site.command()
@FOLDER
def coordinator(folder: Path) -> None:
    """Make the coordinator's key beside the site folders in FOLDER, or show it."""
    from medfed.services.run_sites import HOME, coordinator_key

    home = folder / HOME
    key = coordinator_key(home)
    click.echo(f"Key for sites to trust: {home / PUBLIC}")
    click.echo(f"Fingerprint: {fingerprint(key.public_key())}")


@site.command()
@FOLDER
@click.argument("key", type=click.Path(path_type=Path))
def trust(folder: Path, key: Path) -> None:
    """Pin the coordinator's public KEY: the only one whose orders the site obeys."""
    from medfed.services.sites import trust as pin  # slow import

    SiteFolder(folder).settings()
    public = load_public(key)
    pin(folder, public)
    click.echo(f"Trusted. Compare by telephone: {fingerprint(public)}")


@site.command()
@FOLDER
@STUDY
def approve(folder: Path, study_file: Path) -> None:
    """Approve STUDY, exactly as it is: any change gives another digest."""
    found = read_study(study_file)
    keeper = SiteFolder(folder)
    keeper.settings()
    keeper.approve(found)
    click.echo(f'Approved "{found.title}", digest {found.digest}')


@site.command()
@FOLDER
@click.argument("digest")
def revoke(folder: Path, digest: str) -> None:
    """Withdraw the approval of the study with this DIGEST."""
    keeper = SiteFolder(folder)
    keeper.settings()
    click.echo(f"Withdrawn: {keeper.revoke(digest)}")


@site.command()
@FOLDER
def show(folder: Path) -> None:
    """Show who this site is, whom it trusts and what it has approved."""
    keeper = SiteFolder(folder)
    settings = keeper.settings()
    click.echo(f"{settings.name}  data: {settings.data or 'none of its own'}")
    click.echo(f"fingerprint: {fingerprint(load_public(folder / PUBLIC))}")
    trusted = folder / TRUST
    who = fingerprint(load_public(trusted)) if trusted.exists() else "nobody yet"
    click.echo(f"obeys: {who}")
    for study in keeper.approvals():
        click.echo(f"approved: {study.digest[:16]}  {study.title}")


@site.command()
@FOLDER
@click.option("--run", "run_id", help="One run only.")
@click.option("--json", "as_json", is_flag=True, help="Whole receipts, one JSON object a line.")
def receipts(folder: Path, run_id: str | None, as_json: bool) -> None:
    """Show what left this site, reply by reply, after checking every signature."""
    keeper = SiteFolder(folder)
    keeper.settings()
    key = load_public(folder / PUBLIC)
    count = 0
    for receipt in keeper.receipts(run_id):
        verify_receipt(receipt, key)
        count += 1
        click.echo(json.dumps(receipt) if as_json else f"{receipt['time']}  {receipt['sentence']}")
    if not as_json:
        click.echo(f"{count} receipts, all signatures good.")
