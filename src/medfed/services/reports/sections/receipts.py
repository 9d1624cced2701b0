"""What left the sites, and what did and did not protect it."""

from contextlib import suppress
from typing import Any

from medfed.core.errors import PartError
from medfed.core.mechanism import Mechanism
from medfed.core.registry import make
from medfed.services.reports import charts, words
from medfed.services.reports.sections.study import part_text
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any]:
    """What left each site, by its own signed record."""
    rows = [
        {
            "site": r.site,
            "count": r.count,
            "bytes": words.bytes_text(r.bytes),
            "last": r.last,
            "signed": "all" if r.signed == r.count else f"{r.signed} of {r.count}",
            "doubt": r.signed < r.count,
        }
        for r in view.receipts
    ]
    return {
        "rows": rows,
        "many": len(rows) > charts.MOST_FOREST,
        "with_last": view.shows_sites,
        "replies": sum(r.count for r in view.receipts),
        "total": words.bytes_text(sum(r.bytes for r in view.receipts)),
        "privacy": privacy_sentences(view),
    }


def _promised(view: RunView) -> list[str]:
    """Whom the mechanisms protect, and against whom; nothing of one that cannot be made here."""
    found: list[str] = []
    for part in view.study.privacy:
        with suppress(PartError, LookupError):
            mechanism: Mechanism = make("mechanism", part)
            found += mechanism.protects()
    return found


def _spent(view: RunView) -> list[str]:
    """What the ledgers say that was spent; nothing else knows."""
    given = view.result.get("privacy") or {}
    found = [
        f"By the ledger of {one['site']}, this run cost each {one['unit']} at most ε = "
        f"{one['epsilon']:.3g} at δ = {one['delta']:g} ({one['entries']} entries, those of rounds "
        "that came to nothing included)."
        for one in given.get("spent", ())
    ]
    elsewhere = given.get("elsewhere", view.sites if not given else ())
    if elsewhere:
        sites = words.listing(list(elsewhere))
        found.append(f"What it cost at {sites} stands in the ledgers there, and is not known here.")
    return found


def privacy_sentences(view: RunView) -> list[str]:
    """What did and did not protect the updates, and nothing that is not so."""
    found = []
    parts = view.study.privacy
    if parts:
        names = words.listing([part_text(part) for part in parts])
        found.append(f"The study lists privacy mechanisms: {names}.")
        found += [*_promised(view), *_spent(view)]
    else:
        found.append(
            "Model updates were not protected by differential privacy. Someone who holds the "
            "updates or the model may learn something about single training patients, such as "
            "whether a known patient was among them."
        )
    if view.sees_sites:
        found.append("The coordinator could read each site’s update by itself, not only the sum.")
    else:
        found.append("The aggregator let the coordinator read sums over sites only.")
    record = view.record
    if record.get("cluster"):
        found.append(
            "All sites ran on one Ray cluster, whose members can run code on each other: the "
            "sites’ data were kept apart by no more than the institution that runs it."
        )
    elif not record.get("coordinator"):
        found.append(
            f"All sites ran on one machine (engine {record.get('engine', 'local')}): what left a "
            "site is what would have crossed the network, but nothing kept the sites’ data apart "
            "from this machine."
        )
    return found
