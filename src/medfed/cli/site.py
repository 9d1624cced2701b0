"""``medfed site``: a hospital's own folder."""

import dataclasses
import json
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import click

from medfed.cli.acts import about_to
from medfed.cli.site_admit import admit
from medfed.cli.site_serve import serve
from medfed.cli.study import say_protection
from medfed.core.errors import SiteError
from medfed.core.study_file import read_study
from medfed.federation.keys import PUBLIC, fingerprint, load_public
from medfed.federation.receipts import verify_receipt
from medfed.federation.site_folder import TRUST, SiteFolder

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
KEY_FILE = click.option(
    "--key-file", type=click.Path(path_type=Path), help="32 random bytes or more, kept elsewhere."
)
BY_PASSPHRASE = click.option("--passphrase", is_flag=True, help="Open it by a passphrase.")
STUDY = click.argument("study_file", metavar="STUDY", type=click.Path(path_type=Path))


@click.group(invoke_without_command=True)
@click.option("--config", type=click.Path(path_type=Path), help="Run by this file, TOML or JSON.")
@click.option("--id", "name", help="The site's name, or which of the file's workers it is.")
@click.option("--host", help="Where its console listens, on this machine.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of its console; 0: none.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of its data.")
@click.pass_context
def site(
    ctx: click.Context,
    config: Path | None,
    name: str | None,
    host: str | None,
    port: int | None,
    data: Path | None,
) -> None:
    """A hospital's own folder: joining, key, approvals, receipts.

    With --config and no command the site runs, until it is stopped.
    """
    if ctx.invoked_subcommand:
        return
    if config is None:
        click.echo(ctx.get_help())
        return
    from medfed.cli.coordinator import need_flower, say

    need_flower()
    from medfed.services.federation.site_process import serve_site

    folder = str(data.resolve()) if data else None
    serve_site(config, {"id": name, "host": host, "port": port, "data": folder}, say)
    say("stopped")


@site.command()
@click.argument("code", nargs=-1, required=True)
@click.option("--folder", type=click.Path(path_type=Path), help="By default the site's name.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of this site's data.")
@click.option("--min-patients", type=click.IntRange(min=1), help="Refuse with fewer patients.")
@click.option("--proxy", help="The way out, http://HOST:PORT; else HTTPS_PROXY.")
def join(
    code: tuple[str, ...],
    folder: Path | None,
    data: Path | None,
    min_patients: int | None,
    proxy: str | None,
) -> None:
    """Join a federation with the CODE that its coordinator sent.

    Keys are made here and never leave. Nothing is left behind when it fails.
    """
    from medfed.federation.enrolment.join import CLOCK, span
    from medfed.federation.enrolment.join import join as enrol

    done = enrol(
        "".join(code),
        folder,
        data=data,
        min_patients=min_patients,
        proxy=proxy,
        recorded=_joining,
    )
    click.echo(f"{done.site} has joined {done.federation} at {done.address}.")
    click.echo("Compare both by telephone before you approve a study:")
    click.echo(f"  this site's fingerprint:    {done.fingerprint}")
    click.echo(f"  the coordinator's:          {done.coordinator}")
    if done.clock is not None and abs(done.clock) > CLOCK:
        side = "ahead of" if done.clock > 0 else "behind"
        wrong = f"this machine's clock is {span(abs(done.clock))} {side} the coordinator's"
        click.echo(click.style("Warning: ", fg="yellow") + wrong, err=True)
    click.echo(f"Next: medfed site doctor {done.folder}")


@site.command()
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=10.0, show_default=True)
def doctor(folder: Path, as_json: bool, timeout: float) -> None:
    """Find out what stands between this site and its coordinator; changes nothing."""
    from medfed.services.doctor import examine

    findings = examine(folder, timeout)
    sick = any(one.level == "failure" for one in findings)
    if as_json:
        checks = [dataclasses.asdict(one) for one in findings]
        click.echo(json.dumps({"schema": 1, "ok": not sick, "checks": checks}, ensure_ascii=False))
    else:
        colours = {"ok": "green", "warning": "yellow", "failure": "red", "skipped": None}
        for one in findings:
            level = click.style(f"{one.level:<8}", fg=colours[one.level])
            click.echo(f"{level} {one.check:<12} {one.message}")
            if one.remedy:
                click.echo(f"{'':<21} What to do: {one.remedy}")
    if sick:
        sys.exit(1)


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
    with about_to(folder, "site.trust", f"key {fingerprint(public)}"):
        pin(folder, public)
    click.echo(f"Trusted. Compare by telephone: {fingerprint(public)}")


@site.command()
@FOLDER
@click.argument("source", nargs=-1, type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Also where another key is pinned already.")
def pin(folder: Path, source: tuple[Path, ...], replace: bool) -> None:
    """Pin other sites' public keys, or show those that are pinned.

    SOURCE is a file that the coordinator made (medfed coordinator roster), or another site's folder
    on this machine. A secure sum is made with pinned sites only.
    """
    from medfed.federation import peers

    settings = SiteFolder(folder).settings()
    for one in source:
        if one.is_dir():
            keys = {SiteFolder(one).settings().name: load_public(one / PUBLIC)}
        else:
            keys = peers.read_roster(one)
        own = keys.get(settings.name)
        if own is not None and fingerprint(own) != fingerprint(load_public(folder / PUBLIC)):
            message = f"{one} holds another key of this site"
            raise SiteError(message, remedy="Trust nothing in it: ask who made it, by telephone")
        with about_to(folder, "site.pin", ", ".join(f"site {name}" for name in sorted(keys))):
            peers.pin(folder, keys, replace=replace)
    if source:  # its own too: a sum is among all
        peers.pin(folder, {settings.name: load_public(folder / PUBLIC)}, replace=replace)
        click.echo("Compare each by telephone with its site, before you approve a study:")
    for name in peers.pinned(folder):
        known = fingerprint(load_public(folder / peers.PEERS / f"{name}.pub"))
        click.echo(f"  {name}  {known}{'  (this site)' if name == settings.name else ''}")


@site.command()
@FOLDER
@STUDY
def approve(folder: Path, study_file: Path) -> None:
    """Approve STUDY, exactly as it is: any change gives another digest."""
    found = read_study(study_file)
    keeper = SiteFolder(folder)
    keeper.settings()
    with about_to(folder, "participation.decide", f"study {found.digest}", "approved"):
        keeper.approve(found)
    click.echo(f'Approved "{found.title}", digest {found.digest}')
    say_protection(found)


@site.command()
@FOLDER
@click.argument("digest")
def revoke(folder: Path, digest: str) -> None:
    """Withdraw the approval of the study with this DIGEST."""
    keeper = SiteFolder(folder)
    keeper.settings()
    whole = keeper.whole_digest(digest)
    with about_to(folder, "participation.decide", f"study {whole}", "withdrawn", urgent=True):
        keeper.revoke(whole)
    click.echo(f"Withdrawn: {whole}")


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
@KEY_FILE
@BY_PASSPHRASE
def encrypt(folder: Path, key_file: Path | None, passphrase: bool) -> None:
    """Encrypt what FOLDER keeps of patients and studies, its ledger too. Stop the site first.

    The passphrase is read from MEDFED_PASSPHRASE, now and whenever the site starts.
    """
    from medfed.services.at_rest import encrypt_site  # slow import
    from medfed.services.consoles_of import consoles_elsewhere

    how = _secret_named(key_file, passphrase=passphrase)
    SiteFolder(folder).settings()
    with about_to(folder, "site.encrypt"):
        count = encrypt_site(folder, how)
    click.echo(f"{folder} is encrypted; {_files(count)} that lay open were sealed.")
    for place in consoles_elsewhere(folder):
        click.echo(
            f"NOT encrypted: {place}, where a console of this site keeps what people did there, "
            f"files that are being sent and what models found. Serve it from the site's folder "
            f"(medfed site serve {folder}) and remove that, or keep it on an encrypted disk."
        )
    click.echo("Keep the key elsewhere, with a copy: without it nothing here can be read again.")


@site.command("rotate-key")
@FOLDER
@KEY_FILE
@BY_PASSPHRASE
def rotate_key(folder: Path, key_file: Path | None, passphrase: bool) -> None:
    """Let another key file or passphrase open FOLDER from now on. Stop the site first.

    A new passphrase is asked for, or read from MEDFED_NEW_PASSPHRASE.
    """
    from medfed.privacy.at_rest.envelope import Secret
    from medfed.services.at_rest import rotate_site

    how = _secret_named(key_file, passphrase=passphrase)
    if key_file is not None:
        new = Secret.named(how)
    else:
        given = os.environ.get("MEDFED_NEW_PASSPHRASE") or click.prompt(
            "New passphrase", hide_input=True, confirmation_prompt=True
        )
        new = Secret.passphrase(given)
    SiteFolder(folder).settings()
    with about_to(folder, "site.rotate-key"):
        rotate_site(folder, new, how)
    click.echo(f"{folder} is opened by the new {new.kind} only.")


@site.command()
@FOLDER
def log(folder: Path) -> None:
    """Print the site's own log, opened where it is encrypted. It may hold patient data."""
    from medfed.services.at_rest import site_log  # slow import

    for line in site_log(folder):
        click.echo(line)


@site.command()
@FOLDER
@click.argument("file")
def read(folder: Path, file: str) -> None:
    """Print FILE, named from FOLDER, opened where it is encrypted. It may hold patient data."""
    from medfed.services.at_rest import read_file  # slow import

    click.echo(read_file(folder, file), nl=False)


def _joining(folder: Path, federation: str) -> AbstractContextManager[None]:
    return about_to(folder, "site.join", f"federation {federation}")


def _secret_named(key_file: Path | None, *, passphrase: bool) -> str:
    """What site.toml is to say of the key."""
    if (key_file is None) == (not passphrase):
        raise click.UsageError("Give either --key-file FILE or --passphrase.")
    return "passphrase" if key_file is None else str(key_file.expanduser().resolve())


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


@site.command()
@FOLDER
@click.option("--run", "run_id", help="One run only.")
@click.option("--json", "as_json", is_flag=True, help="Whole receipts, one JSON object a line.")
def receipts(folder: Path, run_id: str | None, as_json: bool) -> None:
    """Show what left this site, reply by reply, after checking every signature."""
    from medfed.services.sites import site_vault  # slow import

    keeper = SiteFolder(folder, site_vault(folder))
    key = load_public(folder / PUBLIC)
    count = 0
    for receipt in keeper.receipts(run_id):
        verify_receipt(receipt, key)
        count += 1
        click.echo(json.dumps(receipt) if as_json else f"{receipt['time']}  {receipt['sentence']}")
    if not as_json:
        click.echo(f"{count} receipts, all signatures good.")
        click.echo("Whether any is missing, the log tells: medfed audit verify " + str(folder))


site.add_command(admit)
site.add_command(serve)
