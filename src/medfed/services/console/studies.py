"""Studies in the console: written, checked while they are typed, approved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from medfed.core.errors import MedfedError, Problem, StudyError
from medfed.core.study import Study
from medfed.core.study_file import PARTS, parse_study, study_fields
from medfed.core.toml_lines import line_of, locate
from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import record
from medfed.services.reports.toml_text import plain_toml, study_toml, toml_string
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import StudyRow
from medfed.storage.database.types import now

LONGEST = 100_000
"""Characters of a study: a hundred times the longest that anybody wrote."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What reading a study's text gave.

    Attributes:
        study: The study, or None.
        message: What is wrong as a whole; empty where nothing is.
        problems: Each thing that is wrong, with line, field and remedy.
    """

    study: Study | None
    message: str = ""
    problems: tuple[Problem, ...] = ()


def check(text: str) -> Checked:
    """Read a study's text, and say everything that is wrong with it."""
    if len(text) > LONGEST:
        return Checked(None, f"a study has at most {LONGEST:,} characters")
    try:
        return Checked(parse_study(text, "the study"))
    except StudyError as error:
        return Checked(None, error.message, error.problems)
    except MedfedError as error:
        return Checked(None, str(error))


def compose(plan: Mapping[str, Any]) -> str:
    """A plan's text, as the wizard shows it beside its form.

    Raises:
        StudyError: It is nested deeper than any study is.
    """
    order = [*(o.name for o in study_fields()[""]), *PARTS, "cohort", "sampling", "stop"]
    known = {name: plan[name] for name in order if name in plan}
    try:
        return plain_toml({**known, **plan})
    except RecursionError:
        raise StudyError("the plan is nested too deeply", remedy="Write it more simply") from None


def renamed(text: str, title: str) -> str:
    """A study's text under another title, its comments kept where the title is on a line."""
    study = parse_study(text)
    lines = text.split("\n")
    if number := line_of("title", locate(text)):
        lines[number - 1] = f"title = {toml_string(title)}"
    wanted = study.evolve(title=title)
    changed = check("\n".join(lines)).study
    same = changed is not None and changed.digest == wanted.digest
    return "\n".join(lines) if same else study_toml(wanted)


class Studies:
    """The studies of one console.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def list(self, *, offset: int = 0, limit: int = 100) -> tuple[Sequence[StudyRow], int]:
        """Studies, the last changed first, and how many there are in all."""
        query = select(StudyRow).order_by(StudyRow.updated.desc(), StudyRow.id.desc())
        with self.database.read() as session:
            total = session.scalar(select(func.count(StudyRow.id))) or 0
            return session.scalars(query.offset(offset).limit(limit)).all(), total

    def find(self, number: int) -> StudyRow:
        """One study.

        Raises:
            RunError: There is none of this number.
        """
        with self.database.read() as session:
            row = session.get(StudyRow, number)
        if row is None:
            raise Missing("there is no such study", remedy="Look at the list of studies")
        return row

    def create(self, by: Identity, text: str) -> StudyRow:
        """Keep a new study.

        Raises:
            AccessError: ``by`` may not.
            StudyError: With everything that is wrong with it.
        """
        require(self.database, by, "study.create")
        study = _read(text)
        with self.database.write() as session:
            row = StudyRow(
                title=study.title[:300],
                question=study.question,
                toml=text,
                digest=study.digest,
                author=by.name,
            )
            session.add(row)
            session.flush()
            record(session, by, "study.create", f"study {row.id}", reason=study.digest)
        return row

    def edit(self, by: Identity, number: int, text: str, version: int) -> StudyRow:
        """Change a study; what was approved is a draft again.

        Args:
            by: Who changes it.
            number: Which.
            text: The whole new text.
            version: Of the text that they saw.

        Raises:
            AccessError: ``by`` may not.
            StudyError: With everything that is wrong with the text.
            RunError: Somebody else changed it meanwhile.
        """
        row = self.find(number)
        require(self.database, by, "study.edit", Subject(f"study {number}", row.author))
        study = _read(text)
        with self.database.write() as session:
            row = session.get_one(StudyRow, number, with_for_update=True)
            if row.version != version:
                raise Conflict(
                    "somebody else changed this study meanwhile",
                    remedy="Copy your text, load the page again, and put your changes in",
                )
            if study.digest != row.digest:
                row.state, row.approver = "draft", ""
            row.title, row.question = study.title[:300], study.question
            row.toml, row.digest = text, study.digest
            row.version += 1
            row.updated = now()
            record(session, by, "study.edit", f"study {number}", reason=study.digest)
        return row

    def duplicate(self, by: Identity, number: int) -> StudyRow:
        """Keep a copy of a study, as a draft of whoever copies it.

        Raises:
            AccessError: ``by`` may not.
            StudyError: It cannot be used by the parts that are installed now.
            RunError: There is none of this number.
        """
        row = self.find(number)
        return self.create(by, renamed(row.toml, f"{row.title[:280]} (2)"))

    def approve(self, by: Identity, number: int, digest: str) -> StudyRow:
        """Approve a study as it stands.

        Args:
            by: Who approves.
            number: Which.
            digest: Of what they read, so that nothing else is approved.

        Raises:
            AccessError: ``by`` may not.
            RunError: It is another by now.
        """
        require(self.database, by, "study.approve", Subject(f"study {number}"))
        self.find(number)
        with self.database.write() as session:
            row = session.get_one(StudyRow, number, with_for_update=True)
            if row.digest != digest:
                raise Conflict("the study was changed after you read it", remedy="Read it again")
            row.state, row.approver = "approved", by.name
            record(session, by, "study.approve", f"study {number}", reason=digest)
        return row


def _read(text: str) -> Study:
    checked = check(text)
    if checked.study is None:
        raise StudyError(checked.message, checked.problems)
    return checked.study
