"""Whether the coordinator withdrew models that a hospital uses: asked by digest, and remembered.

What it said last stays while it cannot be reached, with when that was::

    state    released, withdrawn, or unknown where it knows no such model
    here     whether it approved the model for this hospital
    reason   why it withdrew it; since: when
    asked    when it last answered, ISO 8601
    trouble  why it gave no answer since, and tried: when; empty while it answers
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from medfed.core.errors import MedfedError
from medfed.federation.site_folder import SiteFolder
from medfed.services.accounts import Identity, Subject, require
from medfed.services.accounts.accounts import SYSTEM
from medfed.services.audit import plain, record
from medfed.services.inference.coordinator_console import CoordinatorConsole
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import AdmittedRow, ModelRow
from medfed.storage.database.types import now

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
Ask = Callable[[str], Mapping[str, Any] | None]


class Recall:
    """Asks what became of the models of one hospital.

    Args:
        database: The console's.
        site: The site's own folder.
        local: Knows models by digest, where this console is the coordinator's too.
    """

    def __init__(
        self, database: Database, site: Path, local: Callable[[str], ModelRow] | None = None
    ) -> None:
        self.database = database
        self._site = site
        self._local = local
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recall", daemon=True)

    def start(self) -> None:
        """Ask now and then."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; one that is under way is not waited for."""
        self._over.set()

    def configured(self) -> bool:
        """Whether this hospital knows whom to ask.

        Raises:
            SiteError: Its settings cannot be used.
        """
        return self._local is not None or CoordinatorConsole.read(self._site) is not None

    def ask(self, by: Identity, number: int) -> None:
        """Ask about one model now.

        Raises:
            AccessError: ``by`` may not.
            Missing: There is no such model.
            Conflict: This hospital knows nobody to ask.
            SiteError: Its settings cannot be used.
        """
        require(self.database, by, "model.admit", Subject(f"model {number}"))
        with self.database.read() as session:
            row = session.get(AdmittedRow, number)
        if row is None:
            raise Missing("there is no such model", remedy="Look at the list of models")
        ask = self._whom()
        if ask is None:
            raise Conflict(
                "this hospital has no address of its coordinator's console",
                remedy="Whoever runs this console writes coordinator.toml, see the help",
            )
        self._hear(row.id, row.sha256, ask)

    def ask_all(self) -> None:
        """Ask about every model that is approved here.

        Raises:
            SiteError: The settings cannot be used.
        """
        ask = self._whom()
        if ask is None:
            return
        query = select(AdmittedRow).where(AdmittedRow.state == "approved")
        with self.database.read() as session:
            rows = session.scalars(query).all()
        for row in rows:
            try:
                self._hear(row.id, row.sha256, ask)
            except Exception:  # one model keeps no other from being asked about
                log.exception("asking about model %s failed", row.id)

    def unheard(self) -> Sequence[AdmittedRow]:
        """Models used here of which the coordinator gave no answer when it was asked last."""
        query = select(AdmittedRow).where(AdmittedRow.state == "approved")
        with self.database.read() as session:
            return [row for row in session.scalars(query) if row.recall.get("trouble")]

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                self.ask_all()
            except MedfedError as error:
                log.warning("the coordinator is not asked about models: %s", error)
            except Exception:  # whatever it is, the next look may go well
                log.exception("asking about models failed")
            self._over.wait(EVERY_SECONDS)

    def _whom(self) -> Ask | None:
        if self._local is not None:
            return self._said_here
        found = CoordinatorConsole.read(self._site)
        return found.model if found else None

    def _said_here(self, sha256: str) -> Mapping[str, Any] | None:
        assert self._local is not None  # noqa: S101  # `_whom` has looked
        try:
            row = self._local(sha256)
        except Missing:
            return None
        return {
            "withdrawn": row.withdrawn.isoformat() if row.withdrawn else None,
            "reason": row.reason,
            "releases": [{"site": each.site} for each in row.releases],
        }

    def _hear(self, number: int, sha256: str, ask: Ask) -> None:
        moment = now().isoformat()
        try:
            told = {
                **self._understood(ask(sha256)),
                "asked": moment,
                "trouble": "",
                "tried": moment,
            }
        except MedfedError as error:
            told = {"trouble": error.message, "tried": moment}
        with self.database.write() as session:
            row = session.get(AdmittedRow, number, with_for_update=True)
            if row is None:
                return
            before = row.recalled
            if before:  # withdrawn stays withdrawn, whatever a console says that forgot
                kept = ("asked", "trouble", "tried")
                told = {name: told[name] for name in kept if name in told}
            row.recall = {**row.recall, **told}
            if row.recalled and not before:
                why = f"the coordinator withdrew it: {row.recall['reason']}"
                record(session, SYSTEM, "model.withdraw", f"model {number}", reason=why)

    def _understood(self, told: Mapping[str, Any] | None) -> dict[str, Any]:
        if told is None:
            return {"state": "unknown", "here": False, "reason": "", "since": ""}
        since, releases = told.get("withdrawn"), told.get("releases")
        name = SiteFolder(self._site).settings().name
        sites = [each.get("site") for each in releases or () if isinstance(each, Mapping)]
        return {
            "state": "withdrawn" if since else "released",
            "here": name in sites,
            "reason": plain(str(told.get("reason") or ""), 500),
            "since": plain(str(since or ""), 40),
        }
