"""``medfed ledger``: what a hospital's patients' privacy was spent on, and how much is left."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfed.cli.acts import about_to
from medfed.core.ledger import (
    LEAST_ORDER,
    MOST_ORDER,
    RULES,
    UNITS,
    WEAK_DELTA,
    Balance,
    Rule,
    replacing,
)
from medfed.core.mechanism import Unit
from medfed.federation.site_folder import SiteFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medfed.storage.ledger_limits import LimitSet
    from medfed.storage.ledger_rows import Entry

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
        click.echo(json.dumps({"schema": 1, **_plain(balances, book.limit_history(), entries)}))
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
        click.echo(f"  {_rule(found)}")
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
@click.option(
    "--rule",
    type=click.Choice(RULES),
    help="proven: the limit also holds where studies are chosen by what earlier ones gave; an "
    "eighth to a quarter less work fits at ε = 10, and less still at small limits. sum: it holds "
    "only where none was.  [default: as before; proven in a new ledger]",
)
@click.option(
    "--order",
    type=click.IntRange(LEAST_ORDER, MOST_ORDER),
    help="Of the filter that proves it. A lower one admits more of studies that draw few patients "
    "a step with little noise, and less of others.  [default: by ε and δ]",
)
def set_limit(
    folder: Path, epsilon: float, delta: float, unit: Unit, rule: Rule | None, order: int | None
) -> None:
    """Set how much may be spent in all, by all studies together. 0 stops all private work."""
    from medfed.services.limit_change import change_limit
    from medfed.services.sites import open_ledger  # slow import

    SiteFolder(folder).settings()
    book = open_ledger(folder)
    new = book.limit_for(epsilon, delta, unit, rule, order)
    change_limit(book, unit, new, partial(about_to, folder, "participation.decide"))
    found = book.balance(unit)
    click.echo(f"A {unit} may spend ε = {epsilon:g} at δ = {delta:g}; {found.spent:.3g} is spent.")
    click.echo(_rule(found))
    if found.spent and new.rule == "proven":
        click.echo(ANEW)
    if unit != "hospital":
        click.echo(_together(book.balance("patient"), book.balance("record")))


ANEW = (
    "This is a new filter, and all that was spent counts against it. It proves the new limit if "
    "that was not chosen because of what a study gave"
)


def _rule(found: Balance) -> str:
    """What the limit is worth where studies are chosen on the way."""
    if found.rule == "sum":
        return (
            "by the sum alone: this limit is only proven if no study was chosen by what an earlier "
            f"one gave ({_of_filter(found)}; set-limit --rule proven switches it on)"
        )
    if not found.proven:
        return (
            f"nothing more is admitted: {_of_filter(found)}. Allow more by a higher --epsilon, a "
            "lower --order, or --rule sum, which is only proven if no study was chosen by what an "
            "earlier one gave (medfed ledger set-limit)"
        )
    return f"proven also for studies chosen by what earlier ones gave: {_of_filter(found)}"


def _of_filter(found: Balance) -> str:
    share = f"{found.used:.0%}" if math.isfinite(found.used) else "far more than all"
    return f"{share} of what a filter of order {found.order} admits is used"


def _plain(
    balances: Mapping[Unit, Balance], limits: Iterable[LimitSet], entries: Iterable[Entry]
) -> dict[str, Any]:
    """All of it as plain data."""
    epsilon, delta = replacing(balances["patient"], balances["record"])
    spent = {unit: _finite(dataclasses.asdict(found)) for unit, found in balances.items()}
    allowed = [{"time": e.time, "unit": e.unit, **dataclasses.asdict(e.limit)} for e in limits]
    return {
        "balance": spent,
        "replacing_a_patient": {"epsilon": epsilon, "delta": delta},
        "limits": allowed,
        "entries": [dataclasses.asdict(entry) for entry in entries],
    }


def _finite(plain: dict[str, Any]) -> dict[str, Any]:
    """Nothing in the place of figures without a bound, for which JSON has no word."""
    return {k: None if v == math.inf else v for k, v in plain.items()}


def _together(patient: Balance, record: Balance) -> str:
    """Two limits are no common one: what they come to where both are spent on the same person."""
    epsilon, delta = replacing(patient, record)
    at = f"at δ = {delta:.2g}" if delta < 1 else "at a δ of 1, which promises nothing"
    weak = "; a δ as large as that promises next to nothing" if WEAK_DELTA < delta < 1 else ""
    return (
        "patient and record each have their limit: to replace one patient by another may cost "
        f"ε = {epsilon:.3g} {at}, twice what patients may spend and what records may{weak}"
    )
