"""What a run cost its patients, by the sites' ledgers: the only place such a figure comes from."""

from pathlib import Path
from typing import Any

from medfed.core.mechanism import Unit
from medfed.core.registry import make
from medfed.core.rehearsal import noised_facts
from medfed.core.study import Study


def privacy_of(study: Study, sites: Path, run: str) -> dict[str, Any] | None:
    """What a run spent at each site whose folder lies here.

    Args:
        study: The study.
        sites: The folder with the sites' folders.
        run: The run.

    Returns:
        For each site and unit ε at the study's δ, of this run's entries alone, and how many they
        are; the sites whose ledgers are not here under ``elsewhere``. None without privacy lines.
    """
    queries = (*study.statistics, *noised_facts(study))
    if not study.privacy and not queries:
        return None
    deltas: dict[Unit, float] = {}
    for part in queries:
        deltas["patient"] = min(deltas.get("patient", 1.0), float(make("query", part).delta))
    for part in study.privacy:
        unit: Unit = make("mechanism", part).unit
        deltas[unit] = min(deltas.get(unit, 1.0), float(part.options.get("delta", 1e-5)))
    here = [site for site in study.sites if (sites / site).is_dir()]
    found = [
        {"site": site, **_spent(sites / site, run, unit, delta)}
        for site in here
        for unit, delta in deltas.items()
    ]
    return {"spent": found, "elsewhere": [site for site in study.sites if site not in here]}


def _spent(folder: Path, run: str, unit: Unit, delta: float) -> dict[str, Any]:
    from medfed.services.sites import open_ledger  # slow import

    book = open_ledger(folder)
    entries = sum(e.run == run and e.unit == unit for e in book.entries())
    alone = book.balance(unit, run=run, delta=delta)
    return {"unit": unit, "epsilon": alone.spent, "delta": delta, "entries": entries}
