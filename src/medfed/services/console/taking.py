"""What an event changes in the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from medfed.core.events import (
    ComparedRun,
    ComparisonStarted,
    Event,
    ReplyCounted,
    RoundFinished,
    RunStarted,
    Scored,
)
from medfed.storage.database.tables import EventRow, RoundRow, RunRow, SiteRow
from medfed.storage.database.types import now

Moment = tuple[datetime, Event]
"""When something happened, and what."""
Numbered = tuple[int, Moment]
"""With its number in the run's record."""


def last_number(session: Session, run: str) -> int:
    """Number of a run's latest event; 0 before the first."""
    return session.scalar(select(func.max(EventRow.number)).where(EventRow.run_id == run)) or 0


def take(session: Session, run: RunRow, events: Sequence[Numbered]) -> None:
    """Add events to a run's record, and bring its row and its rounds up to date.

    Those that are there already, by number, change nothing: whoever was not told that its work was
    kept may send it again.
    """
    if not events:
        return
    last = last_number(session, run.id)
    for number, (at, event) in events:
        if number <= last:
            continue
        body = event.to_json()
        kind = body.pop("event")
        session.add(EventRow(run_id=run.id, number=number, at=at, kind=kind, body=body))
        _apply(session, run, event)


def catch_up(session: Session, run: RunRow, rows: Sequence[Mapping[str, Any]]) -> None:
    """Fill in what a lost process had no time to tell, from the rows in the run's folder."""
    for given in rows:
        row = _round(session, run, given["round"])
        row.metrics, row.site_metrics = dict(given["metrics"]), dict(given.get("sites", {}))
        if "participants" in given and row.finished is None:
            row.seconds, row.loss = given["seconds"], given["loss"]
            row.site_loss = dict(given.get("site_loss", {}))
            row.site_change = dict(given.get("site_change", {}))
            _carried(session, row, given.get("site_up", {}), given.get("site_down", {}))
            row.participants = list(given["participants"])
            run.bytes_up += given["bytes_up"] - row.bytes_up
            run.bytes_down += given["bytes_down"] - row.bytes_down
            row.bytes_up, row.bytes_down = given["bytes_up"], given["bytes_down"]


def _apply(session: Session, run: RunRow, event: Event) -> None:
    match event:
        case RunStarted():
            run.state, run.rounds, run.round = "running", event.rounds, event.resumed_at
            run.started = run.started or now()
        case ComparisonStarted():
            run.rounds, run.round = event.runs, 0
        case ComparedRun():
            run.round, run.attempts = run.round + 1, 0
        case ReplyCounted():
            _seen(session, run, event.site)
        case Scored():
            row = _round(session, run, event.round)
            row.metrics, row.site_metrics = dict(event.metrics), dict(event.sites)
        case RoundFinished():
            _finished(session, run, _round(session, run, event.round), event)


def _finished(session: Session, run: RunRow, row: RoundRow, event: RoundFinished) -> None:
    # A round that was lost with its process and done again counts once.
    run.bytes_up += event.bytes_up - row.bytes_up
    run.bytes_down += event.bytes_down - row.bytes_down
    run.round, run.attempts = event.round, 0
    row.finished, row.seconds = now(), event.seconds
    row.bytes_up, row.bytes_down = event.bytes_up, event.bytes_down
    _carried(session, row, event.site_up, event.site_down)
    row.site_change = dict(event.site_change)
    row.participants = list(event.participants)
    row.loss, row.site_loss = event.loss, dict(event.site_loss)


def _round(session: Session, run: RunRow, number: int) -> RoundRow:
    row = session.get(RoundRow, (run.id, number))
    if row is None:
        row = RoundRow(
            run_id=run.id, round=number, bytes_up=0, bytes_down=0,
            participants=[], site_loss={}, site_up={}, site_down={}, site_change={},
            metrics={}, site_metrics={},
        )  # fmt: skip
        session.add(row)
        session.flush()
    return row


def _carried(
    session: Session, row: RoundRow, up: Mapping[str, int], down: Mapping[str, int]
) -> None:
    """Count a round's traffic with each hospital, in the round and for the hospital; once."""
    for name in sorted({*up, *down}):
        # Added by the database: another run's process may do the same just now.
        more = {
            "bytes_up": SiteRow.bytes_up + up.get(name, 0) - row.site_up.get(name, 0),
            "bytes_down": SiteRow.bytes_down + down.get(name, 0) - row.site_down.get(name, 0),
        }
        session.execute(update(SiteRow).where(SiteRow.name == name).values(more))
    row.site_up, row.site_down = dict(up), dict(down)


def _seen(session: Session, run: RunRow, site: str) -> None:
    row = session.get(SiteRow, site)
    if row is None:
        row = SiteRow(name=site, replies=0, first_seen=now(), bytes_up=0, bytes_down=0)
        session.add(row)
    row.last_reply, row.last_run = now(), run.id
    row.replies += 1
