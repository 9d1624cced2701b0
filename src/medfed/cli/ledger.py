"""``medfed ledger``: what a hospital's patients' privacy was spent on, and how much is left."""

import dataclasses
import json
from pathlib import Path

import click

from medfed.core.ledger import UNITS, Balance, check_limit, replacing
from medfed.core.mechanism import Unit
from medfed.federation.site_folder import SiteFolder

SITE = click.option(
    "--site",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The site's folder.",
)


@click.group()
def ledger() -> None:
    """What was spent of the privacy of a hospital's patients, and how much is left."""


@ledger.command()
@SITE
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(folder: Path, as_json: bool) -> None:
    """Show every entry, and what is left for the patient who has spent most."""
    from medfed.services.sites import open_ledger  # slow import

    SiteFolder(folder).settings()
    book = open_ledger(folder)
    entries = book.entries()
    balances = {unit: book.balance(unit) for unit in UNITS}
    if as_json:
        plain = {unit: dataclasses.asdict(found) for unit, found in balances.items()}
        listed = [dataclasses.asdict(entry) for entry in entries]
        click.echo(json.dumps({"schema": 1, "balance": plain, "entries": listed}))
        return
    runs: dict[tuple[str, str, Unit, str], list[int]] = {}
    for entry in entries:
        key = (entry.run, entry.title, entry.unit, entry.time[:10])
        runs.setdefault(key, []).append(entry.round)
    for (run, title, unit, day), rounds in runs.items():
        spent = book.balance(unit, run).spent
        span = f"rounds {min(rounds)} to {max(rounds)}, {len(rounds)} entries"
        click.echo(f'{day}  run {run[:16]}  "{title}": {span}; alone ε = {spent:.3g} a {unit}')
    for unit, found in balances.items():
        click.echo(
            f"{unit}: spent ε = {found.spent:.3g} of {found.limit:.3g} at δ = {found.delta:g}; "
            f"left {found.left:.3g}"
        )
    click.echo(_together(balances["patient"], balances["record"]))


@ledger.command("set-limit")
@SITE
@click.option("--epsilon", type=float, required=True, help="ε in all, 0 or more.")
@click.option(
    "--delta",
    type=float,
    default=1e-5,
    show_default=True,
    help="δ, below one by the number of patients.",
)
@click.option("--unit", type=click.Choice(UNITS), default="patient", show_default=True)
def set_limit(folder: Path, epsilon: float, delta: float, unit: Unit) -> None:
    """Set how much may be spent in all, by all studies together. 0 stops all private work."""
    from medfed.services.sites import open_ledger  # slow import

    SiteFolder(folder).settings()
    book = open_ledger(folder)
    check_limit(epsilon, delta)
    book.check_delta(delta, unit)
    book.set_limit(epsilon, delta, unit)
    found = book.balance(unit)
    click.echo(f"A {unit} may spend ε = {epsilon:g} at δ = {delta:g}; {found.spent:.3g} is spent.")
    if unit != "hospital":
        click.echo(_together(book.balance("patient"), book.balance("record")))


def _together(patient: Balance, record: Balance) -> str:
    """Two limits are no common one: what they come to where both are spent on the same person."""
    epsilon, delta = replacing(patient, record)
    at = f"at δ = {delta:.2g}" if delta < 1 else "at a δ of 1, which promises nothing"
    return (
        "patient and record each have their limit: to replace one patient by another may cost "
        f"ε = {epsilon:.3g} {at}, twice what patients may spend and what records may"
    )
