"""What people say of findings: accepted, corrected, rejected; signed when all is said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from sqlalchemy import select

from medfed.core.errors import DataError
from medfed.imaging.geometry import Geometry, Matrix, Triple
from medfed.inference.findings import Attenuation
from medfed.inference.reviewing import Judgement, Verdict
from medfed.services.accounts import Identity, Subject, require
from medfed.services.accounts.rights import require_person
from medfed.services.audit import record
from medfed.services.inference.inferences import EXPORT, Inferences
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import FindingRow, InferenceRow, ReviewRow
from medfed.storage.database.types import now, readable

LONGEST_COMMENT = 2000
SMALLEST_MM, LARGEST_MM = 1.0, 200.0
VERDICTS = get_args(Verdict)
KINDS = get_args(Attenuation)


@dataclass(frozen=True, slots=True)
class Standing:
    """A finding as the model has it, and what was said of it.

    Attributes:
        number: Its number.
        body: As the model has it.
        history: What people said, the latest last.
    """

    number: int
    body: Mapping[str, Any]
    history: Sequence[ReviewRow]

    @property
    def review(self) -> ReviewRow | None:
        """What counts."""
        return self.history[-1] if self.history else None


class Reviews:
    """The reviews of one hospital.

    Args:
        database: The console's.
        inferences: What is reviewed.
    """

    def __init__(self, database: Database, inferences: Inferences) -> None:
        self.database = database
        self.inferences = inferences

    def standing(self, inference: str) -> Sequence[Standing]:
        """All findings with what was said of each."""
        query = select(ReviewRow).where(ReviewRow.inference_id == inference).order_by(ReviewRow.id)
        with self.database.read() as session:
            said = session.scalars(query).all()
        return [
            Standing(row.number, row.body, [r for r in said if r.number == row.number])
            for row in self.inferences.findings(inference)
        ]

    def judge(
        self,
        by: Identity,
        inference: str,
        number: int,
        verdict: str,
        *,
        changes: Mapping[str, Any] | None = None,
        comment: str = "",
        last: int = 0,
    ) -> ReviewRow:
        """Say something of a finding; what was said before is kept.

        Args:
            by: Who says it.
            inference: Of which inference.
            number: The finding's number.
            verdict: ``accepted``, ``corrected`` or ``rejected``.
            changes: What is corrected: ``diameter_mm``, ``centre_mm``, ``attenuation``.
            comment: In words.
            last: Number of the review that ``by`` saw; 0 for none.

        Raises:
            AccessError: ``by`` may not.
            Missing: There is no such finding.
            Conflict: Somebody said something meanwhile, or it is signed.
            DataError: The correction is none.
        """
        require(self.database, by, "inference.review", Subject(f"inference {inference}"))
        row = self.inferences.find(inference)
        checked = checked_changes(verdict, changes or {}, row)
        comment = readable(comment.strip())
        if len(comment) > LONGEST_COMMENT:
            raise DataError(f"a comment has at most {LONGEST_COMMENT} characters")
        with self.database.write() as session:
            row = session.get_one(InferenceRow, inference, with_for_update=True)
            if session.get(FindingRow, (inference, number)) is None:
                raise Missing("there is no such finding", remedy="Look at the list of findings")
            if row.signed is not None:
                raise Conflict("this review is signed", remedy="Open it again first")
            query = select(ReviewRow.id).where(
                ReviewRow.inference_id == inference, ReviewRow.number == number
            )
            if (session.scalar(query.order_by(ReviewRow.id.desc()).limit(1)) or 0) != last:
                message = "somebody reviewed this finding meanwhile"
                raise Conflict(message, remedy="Load the page again and look at it")
            review = ReviewRow(
                inference_id=inference, number=number, verdict=verdict,
                changes=checked, comment=comment, reviewer=by.name,
            )  # fmt: skip
            session.add(review)
            record(session, by, "inference.review", f"inference {inference}",
                   reason=f"finding {number} {verdict}")  # fmt: skip
        return review

    def sign(
        self,
        by: Identity,
        inference: str,
        *,
        last: int | None = None,
        words: Mapping[str, str] | None = None,
    ) -> InferenceRow:
        """Confirm what was said of all findings, and have it made ready to be handed on.

        Args:
            by: Who signs.
            inference: Of which inference.
            last: Number of the latest review that ``by`` saw, 0 for none; None to sign whatever is
                there.
            words: What the report says, in the language of ``by``, see
                `medfed.services.inference.pdf.write_report`.

        Raises:
            AccessError: ``by`` may not.
            Conflict: Findings were not looked at yet, somebody said something meanwhile, or it is
                signed.
        """
        subject = Subject(f"inference {inference}")
        require(self.database, by, "inference.review", subject)
        message, remedy = "a program cannot sign", "Sign in a browser, as a person"
        require_person(self.database, by, "inference.review", subject, message, remedy)
        row = self.inferences.find(inference)
        job = self.inferences.job(row)
        at_work = job is not None and job.state in ("queued", "running")
        if row.kind != "scan" or not row.result or at_work:
            raise Conflict("there is nothing to sign yet", remedy="Wait until the model is done")
        with self.database.write() as session:
            row = session.get_one(InferenceRow, inference, with_for_update=True)
            if row.signed is not None:
                raise Conflict("this review is signed", remedy="Open it again first")
            standing = self.standing(inference)
            latest = max((review.id for s in standing for review in s.history), default=0)
            if last not in (None, latest):
                message = "somebody reviewed a finding meanwhile"
                raise Conflict(message, remedy="Load the page again and look at it")
            if any(s.review is None for s in standing):
                raise Conflict(
                    "not all findings were reviewed",
                    remedy="Accept, correct or reject each of them first",
                )
            row.signer, row.signer_name = by.name, by.full_name or by.name
            row.signed, row.exported = now(), {}
            record(session, by, "inference.review", f"inference {inference}", reason="signed")
        spoken = dict(words or {})
        self.inferences.queue(by, inference, EXPORT, action="inference.review", words=spoken)
        return self.inferences.find(inference)

    def reopen(self, by: Identity, inference: str) -> InferenceRow:
        """Take a signature back; what was made from it is offered no more.

        Raises:
            AccessError: ``by`` may not.
            Conflict: It is not signed, or something is at work on it.
        """
        require(self.database, by, "inference.review", Subject(f"inference {inference}"))
        job = self.inferences.job(self.inferences.find(inference))
        if job is not None and job.state in ("queued", "running"):
            raise Conflict("this inference is being worked on", remedy="Wait until that has ended")
        with self.database.write() as session:
            row = session.get_one(InferenceRow, inference, with_for_update=True)
            if row.signed is None:
                raise Conflict("this review is not signed", remedy="There is nothing to open")
            row.signer, row.signer_name, row.signed, row.exported = "", "", None, {}
            record(session, by, "inference.review", f"inference {inference}", reason="opened again")
        return row

    def judgements(self, inference: str) -> dict[int, Judgement]:
        """What counts of each finding that was reviewed."""
        return {
            each.number: _judgement(each.review)
            for each in self.standing(inference)
            if each.review is not None
        }


def checked_changes(verdict: str, given: Mapping[str, Any], row: InferenceRow) -> dict[str, Any]:
    """A correction, if it is one.

    Raises:
        DataError: It is none.
    """
    if verdict not in VERDICTS:
        raise DataError(f"{verdict!s} is no verdict", remedy=f"Say one of {', '.join(VERDICTS)}")
    named = {name: value for name, value in given.items() if value not in (None, "")}
    if verdict != "corrected":
        if named:
            message = "only a correction changes something"
            raise DataError(message, remedy='Say "corrected", or leave the changes out')
        return {}
    found: dict[str, Any] = {}
    for name, value in named.items():
        if name not in _CHECKS:
            raise DataError(f"{name} cannot be corrected", remedy=f"{', '.join(_CHECKS)} can")
        found[name] = _CHECKS[name](value, row)
    if not found:
        raise DataError("nothing was corrected", remedy="Change something, or accept the finding")
    return found


def _diameter(value: Any, _row: InferenceRow) -> float:
    number = _number(value)
    if not SMALLEST_MM <= number <= LARGEST_MM:
        raise DataError(
            f"a diameter lies between {SMALLEST_MM:g} and {LARGEST_MM:g} mm",
            remedy="Write it in mm, with a point",
        )
    return number


def _centre(value: Any, row: InferenceRow) -> list[float]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise DataError("a centre has three coordinates", remedy="Click its place in the picture")
    place = [_number(each) for each in value]
    if not grid_of(row.result).contains(place):
        message = "the corrected centre is not in the scan"
        raise DataError(message, remedy="Click its place in the picture")
    return place


def _attenuation(value: Any, _row: InferenceRow) -> str:
    if value not in KINDS:
        raise DataError(f"{value!s} is no kind of nodule", remedy=f"Say one of {', '.join(KINDS)}")
    return str(value)


_CHECKS = {"diameter_mm": _diameter, "centre_mm": _centre, "attenuation": _attenuation}


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError("a correction is not a number", remedy="Write digits with a point")
    return number


def grid_of(result: Mapping[str, Any]) -> Geometry:
    """The grid of the scan that ``findings.json`` is about."""
    given = result["input"]
    shape, spacing = tuple(given["shape_zyx"]), tuple(given["spacing_mm_zyx"])
    rows = tuple(tuple(row) for row in given["direction"])
    return Geometry(shape, spacing, tuple(given["origin_lps_mm"]), cast(Matrix, rows))


def _judgement(review: ReviewRow) -> Judgement:
    changes = review.changes
    centre = changes.get("centre_mm")
    return Judgement(
        verdict=cast(Verdict, review.verdict),
        diameter_mm=changes.get("diameter_mm"),
        centre_mm=cast(Triple, tuple(centre)) if centre else None,
        attenuation=cast("Attenuation | None", changes.get("attenuation")),
    )
