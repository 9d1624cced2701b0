"""What left the sites, and what did and did not protect it."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from medfed.core.errors import PartError
from medfed.core.mechanism import Mechanism
from medfed.core.registry import make
from medfed.services.reports import charts, words
from medfed.services.reports.sections.study import part_text
from medfed.services.reports.speech import Speech, later
from medfed.services.reports.view import RunView

_UNITS = (later("patient"), later("record"), later("hospital"))


def section(view: RunView) -> dict[str, Any]:
    """What left each site, by its own signed record."""
    say = view.say
    rows = [
        {
            "site": r.site,
            "count": r.count,
            "bytes": words.bytes_text(r.bytes, say),
            "last": say.again(r.last),
            "signed": say("all")
            if r.signed == r.count
            else say("{signed} of {count}", signed=r.signed, count=r.count),
            "doubt": r.signed < r.count,
        }
        for r in view.receipts
    ]
    return {
        "rows": rows,
        "many": len(rows) > charts.MOST_FOREST,
        "with_last": view.shows_sites,
        "replies": sum(r.count for r in view.receipts),
        "total": words.bytes_text(sum(r.bytes for r in view.receipts), say),
        "privacy": privacy_sentences(view),
    }


def _promised(view: RunView) -> list[str]:
    """Whom the mechanisms protect, and against whom; nothing of one that cannot be made here."""
    found: list[str] = []
    for part in view.study.privacy:
        with suppress(PartError, LookupError):
            mechanism: Mechanism = make("mechanism", part)
            found += map(view.say.again, mechanism.protects())
    return found


def _spent(view: RunView) -> list[str]:
    """What the ledgers say that was spent; nothing else knows."""
    say, given = view.say, view.result.get("privacy") or {}
    found = [
        say(
            "By the ledger of {site}, this run cost each {unit} at most ε = {epsilon} at δ = "
            "{delta} ({entries} entries, those of rounds that came to nothing included).",
            site=one["site"],
            unit=_unit(one, say),
            epsilon=f"{one['epsilon']:.3g}",
            delta=f"{one['delta']:g}",
            entries=one["entries"],
        )
        for one in given.get("spent", ())
    ]
    elsewhere = given.get("elsewhere", view.sites if not given else ())
    if elsewhere:
        found.append(
            say(
                "What it cost at {sites} stands in the ledgers there, and is not known here.",
                sites=words.listing(list(elsewhere), say=say),
            )
        )
    return found


def _unit(spent: Mapping[str, Any], say: Speech) -> str:
    """Whom a cost is counted for."""
    unit = spent["unit"]
    return say(unit) if unit in _UNITS else str(unit)


def privacy_sentences(view: RunView) -> list[str]:
    """What did and did not protect the updates, and nothing that is not so."""
    say, found = view.say, []
    parts = view.study.privacy
    if parts:
        names = words.listing([part_text(part, say) for part in parts], say=say)
        found.append(say("The study lists privacy mechanisms: {names}.", names=names))
        found += [*_promised(view), *_spent(view)]
    else:
        found.append(
            say(
                "Model updates were not protected by differential privacy. Someone who holds the "
                "updates or the model may learn something about single training patients, such as "
                "whether a known patient was among them."
            )
        )
    if view.sees_sites:
        found.append(
            say("The coordinator could read each site’s update by itself, not only the sum.")
        )
    else:
        found.append(say("The aggregator let the coordinator read sums over sites only."))
    record = view.record
    if record.get("cluster"):
        found.append(
            say(
                "All sites ran on one Ray cluster, whose members can run code on each other: the "
                "sites’ data were kept apart by no more than the institution that runs it."
            )
        )
    elif not record.get("coordinator"):
        found.append(
            say(
                "All sites ran on one machine (engine {engine}): what left a site is what would "
                "have crossed the network, but nothing kept the sites’ data apart from this "
                "machine.",
                engine=record.get("engine", "local"),
            )
        )
    return found
