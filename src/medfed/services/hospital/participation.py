"""Studies that ask for a hospital's part, and those that it has approved: by digest, as it decides.

What is approved lies in the site's own folder, where the site's worker looks at every order. What
only asks lies beside the console::

    CONSOLE/proposed/DIGEST.json     studies that people of the hospital were sent
"""

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from medfed.core.errors import MedfedError, Refused, SiteError, StudyError
from medfed.core.files import canonical_json, write_atomic
from medfed.core.study import Study
from medfed.core.study_file import parse_study
from medfed.federation.site_folder import SiteFolder, stored_study
from medfed.services.accounts import Identity, Subject, require
from medfed.services.accounts.login import require_confirmed
from medfed.services.audit import record
from medfed.services.hospital.refused import RefusedStudy, refused_studies
from medfed.services.trouble import Conflict, Missing
from medfed.services.trouble import Refused as Unfit
from medfed.storage.database import Database
from medfed.storage.database.tables import StudyRow

log = logging.getLogger(__name__)

LONGEST = 100_000
"""Characters of a study."""
DECIDE = "participation.decide"


@dataclass(frozen=True, slots=True)
class Asking:
    """A study as it stands at this hospital.

    Attributes:
        study: The study.
        approved: When it was approved here; None where it asks only.
        by: Who approved it in the console; empty where somebody did at the machine.
        sent: Whether somebody was sent it; only such a study can be removed.
    """

    study: Study
    approved: datetime | None
    by: str = ""
    sent: bool = False


class Participation:
    """What one hospital takes part in.

    Args:
        site: The site's own folder.
        database: The console's.
        console: The console's folder.
    """

    def __init__(self, site: Path, database: Database, console: Path) -> None:
        self.folder = SiteFolder(site)
        self.database = database
        self._proposed = console / "proposed"

    def list(self) -> Sequence[Asking]:
        """All studies that are known here: those that ask first, then the approved."""
        found = {study.digest: Asking(study, None) for study in self._asking()}
        found |= {study.digest: self._approved(study) for study in self.folder.approvals()}
        return sorted(found.values(), key=lambda each: (bool(each.approved), each.study.title))

    def turned_away(self) -> Sequence[RefusedStudy]:
        """Studies that were asked for here, are not approved, and of which no file is known."""
        known = {each.study.digest for each in self.list()}
        found = refused_studies(self.folder.path, "not-approved")
        return [each for each in found if each.digest not in known]

    def find(self, digest: str) -> Asking:
        """One study.

        Raises:
            Missing: None of this digest is known here.
        """
        try:
            return self._approved(self.folder.approved(digest))
        except Refused:
            pass
        sent = {study.digest for study in self._sent()}
        for study in self._asking():
            if study.digest == digest:
                return Asking(study, None, sent=digest in sent)
        raise Missing("there is no such study", remedy="Look at the list of studies")

    def least(self, study: Study) -> int:
        """With fewer training patients than this the hospital refuses: its own rule counts too."""
        return max(self.folder.settings().min_patients, study.cohort.min_patients)

    def propose(self, by: Identity, text: str) -> Study:
        """Keep a study that somebody was sent, so that it can be looked at and approved.

        Args:
            by: Who was sent it.
            text: TOML as the researcher wrote it, or the canonical JSON.

        Raises:
            AccessError: ``by`` may not.
            StudyError: It is none, with everything that is wrong with it.
            Refused: It does not ask this hospital.
        """
        require(self.database, by, DECIDE, Subject("a study"))
        study = _read(text)
        name = self.folder.settings().name
        if name not in study.sites:
            named = ", ".join(study.sites)
            message = f"the study does not ask {name}: it names {named}"
            raise Unfit(message, remedy="Ask whoever sent it for the one that is meant")
        self._keep(study)
        with self.database.write() as session:
            record(session, by, DECIDE, f"study {study.digest}", reason="added, asks for approval")
        return study

    def approve(self, by: Identity, digest: str) -> Asking:
        """Let the hospital take part in a study, exactly as it was shown.

        Raises:
            AccessError: ``by`` may not, must confirm first, or is a program.
            Missing: None of this digest is known here.
            Conflict: It is approved already.
        """
        subject = Subject(f"study {digest}")
        message = "a program cannot approve a study for a hospital"
        remedy = "Approve it in a browser, as a person"
        require_confirmed(self.database, by, DECIDE, subject, (message, remedy))
        asking = self.find(digest)
        if asking.approved:
            raise Conflict("this study is approved here already", remedy="There is nothing to do")
        self._approve(by, asking.study)
        self._forget(digest)
        return self.find(digest)

    def withdraw(self, by: Identity, digest: str) -> Asking:
        """Take an approval back: from now on every order of the study is refused.

        Nothing more is asked of ``by``: whoever must stop something must not look for a password.

        Raises:
            AccessError: ``by`` may not.
            Missing: None of this digest is known here.
            Conflict: It is not approved.
        """
        require(self.database, by, DECIDE, Subject(f"study {digest}"))
        asking = self.find(digest)
        if not asking.approved:
            raise Conflict("this study is not approved here", remedy="There is nothing to do")
        self.folder.revoke(digest)  # first: nothing, and no full disk, may come before it
        try:
            self._keep(asking.study)
        except OSError:
            log.warning("a withdrawn study could not be kept among those that ask", exc_info=True)
        self._record(by, digest, "withdrawn")
        return Asking(asking.study, None)

    def dismiss(self, by: Identity, digest: str) -> None:
        """Forget a study that only asks.

        Raises:
            AccessError: ``by`` may not.
            Missing: None that could be forgotten is known here.
        """
        require(self.database, by, DECIDE, Subject(f"study {digest}"))
        if digest not in {study.digest for study in self._sent()}:
            raise Missing("there is no such study", remedy="Look at the list of studies")
        self._forget(digest)
        self._record(by, digest, "removed")

    def _approve(self, by: Identity, study: Study) -> None:
        """Approve and record it: both, or neither."""
        try:
            with self.database.write() as session:
                record(session, by, DECIDE, f"study {study.digest}", reason="approved")
                session.flush()
                self.folder.approve(study, by.name)
        except BaseException:  # also Ctrl-C: what is not recorded is not approved
            with suppress(SiteError):  # it may have come to nothing before the file was there
                self.folder.revoke(study.digest)
            raise

    def _approved(self, study: Study) -> Asking:
        when, by = self.folder.approval(study.digest)
        return Asking(study, when, by)

    def _asking(self) -> Iterable[Study]:
        yield from self._sent()
        yield from self._of_this_console()

    def _sent(self) -> Iterable[Study]:
        for file in sorted(self._proposed.glob("*.json")):
            study = stored_study(file)
            if study and study.digest == file.stem:
                yield study

    def _of_this_console(self) -> Iterable[Study]:
        """Where one console is the coordinator's too: its approved studies that ask this site."""
        name = self.folder.settings().name
        query = select(StudyRow.toml).where(StudyRow.state == "approved").order_by(StudyRow.id)
        with self.database.read() as session:
            texts = session.scalars(query).all()
        for text in texts:
            try:
                study = parse_study(text, "the study")
            except MedfedError:
                continue  # its own page says what is wrong with it
            if name in study.sites:
                yield study

    def _keep(self, study: Study) -> None:
        self._proposed.mkdir(mode=0o700, exist_ok=True)
        write_atomic(self._proposed / f"{study.digest}.json", canonical_json(study.to_json()))

    def _forget(self, digest: str) -> None:
        (self._proposed / f"{digest}.json").unlink(missing_ok=True)

    def _record(self, by: Identity, digest: str, what: str) -> None:
        with self.database.write() as session:
            record(session, by, DECIDE, f"study {digest}", reason=what)


def _read(text: str) -> Study:
    if len(text) > LONGEST:
        raise StudyError(f"a study has at most {LONGEST:,} characters")
    if text.lstrip().startswith("{"):
        from medfed.services.reports.toml_text import study_toml

        try:  # what `medfed study show --json` prints: checked as if it had been written by hand
            text = study_toml(Study.from_json(_without_digest(text)))
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            raise StudyError(
                "this is no study", remedy="Send the TOML file that the researcher wrote"
            ) from None
    return parse_study(text, "the study")


def _without_digest(text: str) -> dict[str, object]:
    return {name: value for name, value in json.loads(text).items() if name != "digest"}
