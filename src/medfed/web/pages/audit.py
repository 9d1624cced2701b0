"""The record of what people did and were refused."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from medfed.services import audit
from medfed.storage.database import Database
from medfed.storage.database.tables import AuditRow
from medfed.web.audit_words import acts_called
from medfed.web.paging import before_number
from medfed.web.rules import console, needs, user

blueprint = Blueprint("audit", __name__, url_prefix="/audit")
PER_PAGE = 50
AT_ONCE = 500
OUTCOMES = {"done": True, "denied": False}
COLUMNS = ("id", "at", "actor", "action", "subject", "allowed", "reason", "address", "times")
BOM = "\ufeff"
"""Without it spreadsheets do not take the text for UTF-8."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@blueprint.get("/")
@needs("audit.read")
def index() -> ResponseReturnValue:
    """The latest acts, or those that are asked for."""
    console().take_in_acts()
    rows = audit.entries(
        console().database, **_wanted(), before=before_number(), limit=PER_PAGE + 1
    )
    more = rows[PER_PAGE - 1].id if len(rows) > PER_PAGE else None
    return render_template("audit.html", rows=rows[:PER_PAGE], asked=_asked(), more=more)


@blueprint.get("/record.csv")
@needs("audit.read")
def export() -> ResponseReturnValue:
    """All acts that are asked for, as they were recorded; that somebody took them is one, too."""
    here = console()
    here.take_in_acts()
    with here.database.write() as session:
        audit.record(session, user(), "audit.read", "the record", reason="exported")
    return Response(
        _lines(here.database, _wanted()),
        mimetype="text/csv",
        headers={"Content-Disposition": "attachment; filename=record.csv"},
    )


def _asked() -> dict[str, str]:
    """What is asked for, where it makes sense."""
    given = request.args
    asked = {"q": given.get("q", "")[:100], "outcome": given.get("outcome", "")}
    asked |= {name: str(_day(name) or "") for name in ("since", "until")}
    asked["outcome"] = asked["outcome"] if asked["outcome"] in OUTCOMES else ""
    return {name: value for name, value in asked.items() if value}


def _wanted() -> dict[str, Any]:
    words = _asked().get("q", "")
    return {
        "words": words,
        "acts": acts_called(words),
        "allowed": OUTCOMES.get(request.args.get("outcome", "")),
        "days": (_day("since"), _day("until")),
    }


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None


def _lines(database: Database, wanted: Mapping[str, Any]) -> Iterator[str]:
    """The file, piece by piece: the record may be long."""
    yield BOM + _written([COLUMNS])
    before = None
    while rows := audit.entries(database, **wanted, before=before, limit=AT_ONCE):
        before = rows[-1].id
        yield _written([_cells(row) for row in rows])


def _cells(row: AuditRow) -> list[str]:
    """A row for a spreadsheet, which must not take what a stranger typed for a formula."""
    cells = [str(getattr(row, name)) for name in COLUMNS]
    return [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells]


def _written(rows: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
