"""Participation and receipts as plain data, for the API."""

from typing import Any

from medfed.services.hospital.participation import Asking
from medfed.services.hospital.receipts import Receipt, RunReceipts


def asking(each: Asking) -> dict[str, Any]:
    """A study as it stands at this hospital."""
    return {
        "digest": each.study.digest,
        "title": each.study.title,
        "question": each.study.question,
        "sites": list(each.study.sites),
        "approved": each.approved.isoformat() if each.approved else None,
        "approver": each.by,
    }


def run(each: RunReceipts) -> dict[str, Any]:
    """What left in one run."""
    return {
        "run": each.run,
        "title": each.title,
        "study": each.study,
        "first": each.first,
        "last": each.last,
        "count": each.count,
        "bytes": each.bytes,
        "patients": each.patients,
        "rounds": each.rounds,
        "bad": each.bad,
        "damaged": each.damaged,
    }


def receipt(each: Receipt) -> dict[str, Any]:
    """One reply that left."""
    return {"receipt": dict(each.content), "good": each.good}
