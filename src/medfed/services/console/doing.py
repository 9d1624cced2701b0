"""What hospitals do just now in runs that go on, by what has happened in the round under way."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from medfed.storage.database.tables import EventRow, RoundRow, RunRow
from medfed.storage.database.types import now

ENDS = ("RoundFinished", "RunFinished")
COUNTED = ("RunStarted", "RoundFinished")
"""After one of these, nothing that arrived before is to be counted still."""
ANSWERS = {"ReplyComing": "coming", "ReplyCounted": "waiting", "SiteMissing": "missing"}
LATE = 2.0
"""Times as long as the last round took in all."""
SOONEST = timedelta(seconds=3)
"""Nobody is late before that."""


def doings(session: Session, runs: Sequence[RunRow]) -> dict[str, str]:
    """What each hospital does for a run that goes on.

    Returns:
        By hospital ``query``, ``train`` or ``evaluate``; ``late`` where that takes far longer than
        the last round did; ``coming`` while its reply is on its way, ``waiting`` when it has
        answered and others have not, ``missing`` when it is left out. Others are left out.
    """
    found: dict[str, str] = {}
    for run in runs:
        for site, doing in _in_run(session, run.id).items():
            if found.get(site) in (None, "waiting", "missing"):
                found[site] = doing
    return found


def arrived(session: Session, runs: Sequence[RunRow]) -> dict[str, int]:
    """Bytes of the replies in rounds under way, by hospital: rounds tell theirs when they end."""
    found = Counter[str]()
    for run in runs:
        found.update(_arrived(session, run.id))
    return dict(found)


def _arrived(session: Session, run: str) -> Counter[str]:
    here = EventRow.run_id == run
    counted = select(func.max(EventRow.number)).where(here, EventRow.kind.in_(COUNTED))
    after = EventRow.number > (session.scalar(counted) or 0)
    query = select(EventRow).where(here, after, EventRow.kind.in_(("RoundStarted", "ReplyCounted")))
    rows = session.scalars(query.order_by(EventRow.number)).all()
    begun = [row.body for row in rows if row.kind == "RoundStarted"]
    found = Counter[str]()
    if begun and begun[-1]["purpose"] == "train":  # no other work is counted in rounds
        for row in rows:
            if row.kind == "ReplyCounted" and row.body["round"] == begun[-1]["round"]:
                found[row.body["site"]] += row.body["bytes"]
    return found


def _in_run(session: Session, run: str) -> dict[str, str]:
    latest = select(func.max(EventRow.number)).where(
        EventRow.run_id == run, EventRow.kind == "RoundStarted"
    )
    began = session.scalar(latest)
    if began is None:
        return {}
    query = select(EventRow).where(EventRow.run_id == run, EventRow.number >= began)
    first, *others = session.scalars(query.order_by(EventRow.number)).all()
    if any(each.kind in ENDS for each in others):
        return {}
    late = now() - first.at > _usual(session, run)
    purpose = "late" if late else str(first.body["purpose"])
    doing = dict.fromkeys(first.body["sites"], purpose)
    answers: Mapping[str, str] = {
        str(each.body["site"]): ANSWERS[each.kind] for each in others if each.kind in ANSWERS
    }
    doing |= answers
    answered = {"waiting", "missing"}
    return {} if answered.issuperset(doing.values()) else doing


def _usual(session: Session, run: str) -> timedelta:
    """How long nobody is called late."""
    query = select(RoundRow.seconds).where(RoundRow.run_id == run, RoundRow.seconds.is_not(None))
    seconds = session.scalar(query.order_by(RoundRow.round.desc()).limit(1))
    return max(SOONEST, timedelta(seconds=LATE * seconds)) if seconds else timedelta.max
