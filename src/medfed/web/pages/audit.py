"""The record of what people did and were refused."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.services import audit
from medfed.storage.database import Database
from medfed.storage.database.engine import Away
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
    cut = str(
        _(
            "THE RECORD IS NOT COMPLETE in this file: the database is away. Download it again when "
            "it is back."
        )
    )
    return Response(
        _lines(here.database, _wanted(), cut),
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


def _lines(database: Database, wanted: Mapping[str, Any], cut: str) -> Iterator[str]:
    """The file, piece by piece: the record may be long.

    Where the database goes away meanwhile the last line says so: the copy that is read in its place
    holds the latest acts only, and a file that simply ended would look like all of them.
    """
    yield BOM + _written([COLUMNS])
    try:
        for rows in _pieces(database, wanted):
            yield _written([_cells(row) for row in rows])
    except Away:
        yield _written([[cut]])


def _pieces(database: Database, wanted: Mapping[str, Any]) -> Iterator[Sequence[AuditRow]]:
    before = None
    while rows := _entries(database, wanted, before):
        before = rows[-1].id
        yield rows


def _entries(
    database: Database, wanted: Mapping[str, Any], before: int | None
) -> Sequence[AuditRow]:
    """Some of the true record.

    Raises:
        Away: It cannot be had.
    """
    copied = database.as_of is not None
    rows = audit.entries(database, **wanted, before=before, limit=AT_ONCE)
    if copied or database.as_of is not None:
        raise Away("a copy is read in the place of the database")
    return rows


def _cells(row: AuditRow) -> list[str]:
    """A row for a spreadsheet, which must not take what a stranger typed for a formula."""
    cells = [str(getattr(row, name)) for name in COLUMNS]
    return [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells]


def _written(rows: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
