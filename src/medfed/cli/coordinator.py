"""``medfed coordinator``: whom it invites, who has joined, its certificates."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from medfed.cli.acts import about_to
from medfed.core.errors import RunError

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _duration(_ctx: click.Context, _option: click.Parameter, text: str) -> timedelta:
    """Read a time such as 30m, 48h or 7d."""
    from medfed.federation.enrolment.invites import parse_duration

    try:
        return parse_duration(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time: write 30m, 48h or 7d") from None


@click.group(invoke_without_command=True)
@click.option("--config", type=click.Path(path_type=Path), help="Run by this file, TOML or JSON.")
@click.option("--host", help="Listen here instead of where the file says.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port instead.")
@click.option("--address", help="The public address, instead of the file's.")
@click.pass_context
def coordinator(
    ctx: click.Context, config: Path | None, host: str | None, port: int | None, address: str | None
) -> None:
    """The machine that orders and adds up: invitations, sites, certificates.

    With --config and no command it runs, until it is stopped.
    """
    if ctx.invoked_subcommand:
        return
    if config is None:
        click.echo(ctx.get_help())
        return
    need_flower()
    from medfed.services.federation.coordinator_process import serve_coordinator

    serve_coordinator(config, {"address": address, "host": host, "port": port}, say)
    say("stopped")


def need_flower() -> None:
    """Complain when the package that carries messages between machines is not installed.

    Raises:
        RunError: It is not.
    """
    from importlib.util import find_spec

    if find_spec("flwr") is None:
        message = "the package flwr, which carries messages between machines, is not installed"
        raise RunError(message, remedy="Install it: pip install 'medfed[flower]'")


def say(text: str) -> None:
    """Print a line of a long-lived program, with the time."""
    from datetime import datetime

    click.echo(f"{datetime.now().astimezone():%H:%M:%S}  {text}")


@coordinator.command()
@FOLDER
@click.option("--address", required=True, help="Where sites find it: https://HOST:PORT.")
@click.option("--name", default="federation", show_default=True, help="The federation's name.")
@click.option("--bind", help="HOST:PORT to listen on; all interfaces by default.")
@click.option("--certificate", type=click.Path(path_type=Path), help="Your own, with its chain.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key.")
@click.option("--ca", type=click.Path(path_type=Path), help="Its issuer, which sites will trust.")
def init(
    folder: Path,
    address: str,
    name: str,
    bind: str | None,
    certificate: Path | None,
    key: Path | None,
    ca: Path | None,
) -> None:
    """Make FOLDER with settings, key, authority and server certificate."""
    from medfed.federation.enrolment.folder import OwnCertificate, init_coordinator
    from medfed.federation.keys import fingerprint

    own = None
    if certificate or key or ca:
        if not (certificate and key and ca):
            raise click.UsageError("--certificate, --key and --ca go together")
        own = OwnCertificate(certificate, key, ca)
    made = init_coordinator(folder, address, name=name, bind=bind, own=own)
    click.echo(f"The coordinator of {name} is ready in {folder}.")
    click.echo(f"Fingerprint: {fingerprint(made.public_key())}")
    _warn(made)
    click.echo(f"Next: medfed coordinator invite {folder} SITE")


@coordinator.command()
@FOLDER
@click.argument("site")
@click.option("--valid", callback=_duration, default="48h", show_default=True, help="How long.")
def invite(folder: Path, site: str, valid: timedelta) -> None:
    """Print a code with which SITE can join, once."""
    from medfed.federation.enrolment.folder import CoordinatorFolder
    from medfed.federation.enrolment.invites import invite as make

    keeper = CoordinatorFolder(folder)
    keeper.settings()
    until = datetime.now(UTC) + valid
    with about_to(folder, "site.invite", f"site {site}", f"until {until:%Y-%m-%d %H:%M} UTC"):
        code = make(keeper, site, valid)
    _warn(keeper)
    click.echo(
        f"For {site}, until {code.expires:%Y-%m-%d %H:%M} UTC. Whoever has this code first can "
        f"join as {site}:\nsend it on a way you trust, and compare fingerprints by telephone.",
        err=True,
    )
    click.echo(str(code))


@coordinator.command()
@FOLDER
@AS_JSON
def sites(folder: Path, as_json: bool) -> None:
    """List the sites that have joined, and open invitations."""
    from datetime import UTC, datetime

    from medfed.federation.enrolment.folder import CoordinatorFolder
    from medfed.federation.enrolment.invites import open_invitations
    from medfed.federation.enrolment.roster import enrolled_sites
    from medfed.federation.keys import fingerprint

    keeper = CoordinatorFolder(folder)
    settings, joined, invited = keeper.settings(), enrolled_sites(folder), open_invitations(keeper)
    if as_json:
        about = {
            "schema": 1,
            "name": settings.name,
            "address": settings.address,
            "fingerprint": fingerprint(keeper.public_key()),
            "sites": [asdict(site) for site in joined],
            "invited": [{"site": i.site, "expires": i.expires} for i in invited],
            "warnings": keeper.warnings(),
        }
        click.echo(json.dumps(about, ensure_ascii=False))
        return
    click.echo(f"{settings.name}  {settings.address}")
    click.echo(f"fingerprint: {fingerprint(keeper.public_key())}")
    for site in joined:
        click.echo(f"{site.name}  {site.fingerprint}  joined {site.enrolled[:10]}")
    now = datetime.now(UTC)
    for one in invited:
        until = f"open until {one.expires[:16].replace('T', ' ')} UTC"
        state = "expired" if one.expired(now) else until
        click.echo(f"{one.site}  invited, {state}")
    if not joined and not invited:
        click.echo(f"No site yet: medfed coordinator invite {folder} SITE")
    _warn(keeper)


@coordinator.command()
@FOLDER
@click.argument("file", type=click.Path(path_type=Path))
def roster(folder: Path, file: Path) -> None:
    """Write the public keys of all sites to FILE, for sites to pin (medfed site pin)."""
    from medfed.federation.enrolment.folder import CoordinatorFolder
    from medfed.federation.enrolment.roster import enrolled_sites
    from medfed.federation.peers import write_roster

    CoordinatorFolder(folder).settings()
    joined = enrolled_sites(folder)
    write_roster(file, {site.name: site.public_key for site in joined})
    click.echo(f"Wrote {file} with the keys of {len(joined)} sites.")
    click.echo(
        "Send it to every site. Each compares the fingerprints with the others by telephone."
    )


@coordinator.command()
@FOLDER
@AS_JSON
def status(folder: Path, as_json: bool) -> None:
    """Show who is online and who is doing what."""
    need_flower()
    from medfed.services.federation.status import in_words, status_of

    found = status_of(folder)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    for line in in_words(found):
        click.echo(line)
    _warn_all(found.warnings)


@coordinator.command()
@FOLDER
@click.argument("site")
def remove(folder: Path, site: str) -> None:
    """Forget SITE and its invitation; it takes part in nothing from now on."""
    from medfed.federation.enrolment.folder import CoordinatorFolder
    from medfed.federation.enrolment.invites import forget_site

    keeper = CoordinatorFolder(folder)
    keeper.settings()
    with about_to(folder, "site.remove", f"site {site}", urgent=True):
        forget_site(keeper, site)
    click.echo(f"{site} is removed.")


@coordinator.command()
@FOLDER
@click.option("--days", type=int, default=365, show_default=True, help="Valid for, 398 at most.")
@click.option("--certificate", type=click.Path(path_type=Path), help="Your own, with its chain.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key.")
def renew(folder: Path, days: int, certificate: Path | None, key: Path | None) -> None:
    """Replace the server certificate; sites notice nothing, and nothing stops."""
    from medfed.federation.enrolment.folder import CoordinatorFolder, replace_certificate
    from medfed.federation.enrolment.folder import renew as make
    from medfed.federation.nginx import reload_nginx

    if bool(certificate) != bool(key):
        raise click.UsageError("--certificate and --key go together")
    keeper = CoordinatorFolder(folder)
    keeper.settings()
    own = bool(certificate and key)
    with about_to(folder, "federation.renew", reason="" if own else f"for {days} days"):
        made = (
            replace_certificate(keeper, certificate, key)
            if certificate and key
            else make(keeper, days)
        )
    click.echo(f"Valid until {made.not_valid_after_utc:%Y-%m-%d}.")
    if reload_nginx(folder):
        click.echo("The running coordinator shows it from now on.")
    else:
        click.echo("No coordinator is running here; it will show the new one when it starts.")


def _warn(keeper: Any) -> None:
    _warn_all(keeper.warnings())


def _warn_all(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        click.echo(click.style("Warning: ", fg="yellow") + sentence, err=True)
