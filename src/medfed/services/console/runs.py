"""Runs in the console: asked for, stopped, resumed, looked at. `Supervisor` runs them."""

import secrets
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from sqlalchemy import func, select

from medfed.core.errors import StudyError
from medfed.core.study import Study
from medfed.core.study_file import parse_study
from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import record
from medfed.services.console.comparisons import Comparison, Unusable
from medfed.services.console.place import Place
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import EventRow, RoundRow, RunRow, SiteRow, StudyRow
from medfed.storage.database.types import now

LATEST = 6
"""Rounds that the time left is reckoned from."""
OPEN = ("queued", "running")
"""States of a run that is not over."""


class Runs:
    """The runs of one console.

    Args:
        database: Where they are kept.
        place: Where their folders are.
    """

    def __init__(self, database: Database, place: Place) -> None:
        self.database = database
        self.place = place

    # --- what a person asks for -------------------------------------------------------------------

    def start(self, by: Identity, study: int, engine: str = "local") -> RunRow:
        """Ask for a run of an approved study.

        Args:
            by: Who asks.
            study: Which.
            engine: What carries the messages, one of `engines`.

        Raises:
            AccessError: ``by`` may not.
            RunError: The study is not approved, or the engine cannot be had here.
        """
        if engine not in self.engines():
            remedy = f"Choose one of {', '.join(self.engines())}"
            raise Unusable(f"the engine {engine} cannot be had here", remedy=remedy)
        return self._ask_for(by, study, engine=engine)

    def compare(self, by: Identity, study: int, wish: Comparison) -> RunRow:
        """Ask for a comparison of an approved study with what hospitals could do otherwise.

        Raises:
            AccessError: ``by`` may not.
            RunError: The study is not approved.
            Unusable: It has privacy lines that a comparison like that would break.
        """
        from medfed.services.comparison.private import check_wish  # imports the numerics

        def check(plan: Study) -> None:
            try:
                check_wish(plan, wish.recipes, wish.strategies)
            except StudyError as error:
                raise Unusable(error.message, error.problems, remedy=error.remedy) from None

        options = wish.to_json()
        return self._ask_for(by, study, check, kind="comparison", options=options, rounds=1)

    def engines(self) -> list[str]:
        """What can carry a run's messages from here; ``federation`` are hospitals elsewhere."""
        flower = find_spec("flwr") is not None
        attached = ["federation"] if flower and self.place.federation else []
        return ["local", *(["flower"] if flower else []), *attached]

    def _ask_for(
        self, by: Identity, study: int, check: Callable[[Study], None] | None = None, **more: Any
    ) -> RunRow:
        require(self.database, by, "run.start", Subject(f"study {study}"))
        with self.database.write() as session:
            row = session.get(StudyRow, study)
            if row is None:
                raise Missing("there is no such study", remedy="Look at the list of studies")
            if row.state != "approved":
                raise Conflict("the study is not approved yet", remedy="Have it approved first")
            plan = parse_study(row.toml)
            if check:
                check(plan)
            run = RunRow(
                id=secrets.token_hex(8),
                study_id=row.id,
                title=row.title,
                toml=row.toml,
                digest=row.digest,
                sites=list(plan.sites),
                metric=plan.metric,
                starter=by.name,
                **{"rounds": plan.rounds, **more},
            )
            session.add(run)
            record(session, by, "run.start", f"run {run.id}", reason=f"study {row.id}")
        return run

    def stop(self, by: Identity, run: str) -> RunRow:
        """Ask a run to stop; what it did so far is kept.

        Raises:
            AccessError: ``by`` may not.
            RunError: It is over.
        """
        self._require_stop(by, run)
        with self.database.write() as session:
            row = session.get_one(RunRow, run, with_for_update=True)
            if row.state not in OPEN:
                raise Conflict("this run is over", remedy="There is nothing to stop")
            row.wanted = "stop"
            if row.state == "queued":
                row.state = "stopped"
            record(session, by, "run.stop", f"run {run}")
        return row

    def resume(self, by: Identity, run: str) -> RunRow:
        """Ask a run that stopped or failed to go on from its last checkpoint.

        Raises:
            AccessError: ``by`` may not.
            RunError: It is finished, or goes on already.
        """
        self._require_stop(by, run)
        with self.database.write() as session:
            row = session.get_one(RunRow, run, with_for_update=True)
            if row.state not in ("stopped", "failed"):
                raise Conflict(f"this run is {row.state}", remedy="There is nothing to resume")
            row.state, row.wanted = "queued", "run"
            row.attempts, row.message, row.remedy, row.ended = 0, "", "", None
            record(session, by, "run.stop", f"run {run}", reason="resumed")
        return row

    def _require_stop(self, by: Identity, run: str) -> None:
        row = self.find(run)
        require(self.database, by, "run.stop", Subject(f"run {run}", row.starter))

    # --- what a person looks at -------------------------------------------------------------------

    def list(
        self, *, study: int | None = None, offset: int = 0, limit: int = 100
    ) -> tuple[Sequence[RunRow], int]:
        """Runs, the latest first, and how many there are in all."""
        query, count = select(RunRow), select(func.count(RunRow.id))
        if study is not None:
            query, count = (
                query.where(RunRow.study_id == study),
                count.where(RunRow.study_id == study),
            )
        query = query.order_by(RunRow.created.desc(), RunRow.id).offset(offset).limit(limit)
        with self.database.read() as session:
            return session.scalars(query).all(), session.scalar(count) or 0

    def find(self, run: str) -> RunRow:
        """One run.

        Raises:
            RunError: There is none of this id.
        """
        with self.database.read() as session:
            row = session.get(RunRow, run)
        if row is None:
            raise Missing("there is no such run", remedy="Look at the list of runs")
        return row

    def compared(self, row: RunRow) -> RunRow | None:
        """The latest finished comparison of the very study that a run ran."""
        query = select(RunRow).where(RunRow.kind == "comparison", RunRow.state == "finished")
        query = query.where(RunRow.digest == row.digest).order_by(RunRow.ended.desc()).limit(1)
        with self.database.read() as session:
            return session.scalar(query)

    def comparing(self, row: RunRow) -> RunRow | None:
        """The latest comparison of the very study that a run ran, while it is not over."""
        query = select(RunRow).where(RunRow.kind == "comparison", RunRow.state.in_(OPEN))
        query = query.where(RunRow.digest == row.digest).order_by(RunRow.created.desc()).limit(1)
        with self.database.read() as session:
            return session.scalar(query)

    def rounds(self, run: str) -> Sequence[RoundRow]:
        """The rounds of a run, in order."""
        query = select(RoundRow).where(RoundRow.run_id == run).order_by(RoundRow.round)
        with self.database.read() as session:
            return session.scalars(query).all()

    def events(self, run: str, *, after: int = 0, limit: int = 500) -> Sequence[EventRow]:
        """What happened in a run after an event, in order."""
        query = select(EventRow).where(EventRow.run_id == run, EventRow.number > after)
        query = query.order_by(EventRow.number).limit(limit)
        with self.database.read() as session:
            return session.scalars(query).all()

    def last_event(self, run: str) -> int:
        """Number of a run's latest event; 0 before the first."""
        query = select(func.max(EventRow.number)).where(EventRow.run_id == run)
        with self.database.read() as session:
            return session.scalar(query) or 0

    def sites(self) -> Sequence[SiteRow]:
        """The hospitals that runs have met, by name."""
        with self.database.read() as session:
            return session.scalars(select(SiteRow).order_by(SiteRow.name)).all()

    def seconds_left(self, row: RunRow) -> float | None:
        """How long a run will take yet, by its latest rounds; None where that is not known."""
        if row.state != "running":
            return None
        query = select(RoundRow.finished).where(
            RoundRow.run_id == row.id, RoundRow.finished.is_not(None)
        )
        with self.database.read() as session:
            done = session.scalars(query.order_by(RoundRow.round.desc()).limit(LATEST)).all()
        if row.kind == "comparison":
            return _by_the_whole(row)
        if len(done) < 2 or done[0] is None or done[-1] is None:
            return None
        pace = (done[0] - done[-1]).total_seconds() / (len(done) - 1)
        return max(0.0, pace) * max(0, row.rounds - row.round)


def _by_the_whole(row: RunRow) -> float | None:
    """A comparison's runs are told to nobody one by one; the time so far says enough."""
    if not row.round or row.started is None:
        return None
    return (now() - row.started).total_seconds() / row.round * max(0, row.rounds - row.round)
