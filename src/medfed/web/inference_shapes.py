"""Inferences and their reviews as plain data, for the API, for pages and for live news."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from medfed.core.questions import Question
from medfed.services.inference.desk import Desk
from medfed.services.inference.reviews import Standing
from medfed.storage.database.tables import AdmittedRow, InferenceRow, ReviewRow
from medfed.web.said import sentence
from medfed.web.words import said


def inference(row: InferenceRow, desk: Desk) -> dict[str, Any]:
    """An inference as it stands, without what was found."""
    job = desk.inferences.job(row)
    return {
        "id": row.id,
        "kind": row.kind,
        "model": row.model_id,
        "scan": row.scan,
        "patient": row.patient,
        "starter": row.starter,
        "created": _iso(row.created),
        "work": job.kind if job else "",
        "state": job.state if job else "queued",
        "done": job.done if job else 0,
        "total": job.total if job else None,
        "message": sentence(said(job.message)) if job else "",
        "remedy": sentence(said(job.remedy)) if job else "",
        "ready": bool(row.result),
        "findings": len(row.result.get("findings", [])),
        "signer": row.signer,
        "signed": _iso(row.signed),
        "files": list(desk.inferences.files(row, "reviewed")),
        "sent": row.sent,
    }


def standing(each: Standing) -> dict[str, Any]:
    """A finding as the model has it, and what was said of it."""
    return {
        "number": each.number,
        "model": dict(each.body),
        "reviews": [review(row) for row in each.history],
    }


def review(row: ReviewRow) -> dict[str, Any]:
    """What somebody said."""
    return {
        "id": row.id,
        "verdict": row.verdict,
        "changes": row.changes,
        "comment": row.comment,
        "reviewer": row.reviewer,
        "at": _iso(row.at),
    }


def admitted(row: AdmittedRow, questions: Sequence[Question] = ()) -> dict[str, Any]:
    """A released model that the hospital uses; with what its form asks."""
    return {
        "id": row.id,
        "kind": row.kind,
        "title": row.title,
        "sha256": row.sha256,
        "study": row.about["study"],
        "task": row.about["task"]["name"],
        "state": row.state,
        "approver": row.approver,
        "approved": _iso(row.approved),
        "withdrawn": _iso(row.withdrawn),
        "usable": row.usable,
        "recall": row.recall,
        "guideline": row.guideline,
        "questions": [question(each) for each in questions],
    }


def question(asked: Question) -> dict[str, Any]:
    """One thing that a form asks."""
    return {
        "name": asked.name,
        "kind": asked.kind,
        "usual": asked.usual,
        "spread": asked.spread,
        "low": asked.low,
        "high": asked.high,
        "choices": list(asked.choices),
        "unit": asked.unit,
    }


def _iso(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
