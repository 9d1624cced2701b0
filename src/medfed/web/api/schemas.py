"""What the API takes and gives, for its description and its checks."""

from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, Date, Dict, Integer, List, Nested, String
from apiflask.validators import Length, OneOf, Range

from medfed.services.accounts.own_roles import LONGEST_NAME
from medfed.services.accounts.role_rights import LONGEST_ABOUT
from medfed.services.preferences import BOUNDS, LANGUAGES, LONGEST_NOTICE

LONGEST_LIMIT = 200
MOST = 2**31 - 1
"""What a column of the database takes."""


class PageQuery(Schema):
    """Which part of a list."""

    offset = Integer(load_default=0, validate=Range(0, MOST))
    limit = Integer(load_default=50, validate=Range(1, LONGEST_LIMIT))


class AuditQuery(Schema):
    """Which acts of the record."""

    q = String(load_default="", validate=Length(max=100))
    allowed = Boolean(load_default=None, metadata={"description": "only done, or only denied"})
    since = Date(load_default=None, metadata={"description": "first day, in UTC"})
    until = Date(load_default=None, metadata={"description": "last day, in UTC"})
    before = Integer(load_default=None, allow_none=True, validate=Range(1, MOST))
    limit = Integer(load_default=50, validate=Range(1, LONGEST_LIMIT))


class StudyText(Schema):
    """A study's TOML."""

    toml = String(required=True, validate=Length(max=100_000))


class StudyChange(StudyText):
    """A study's new text, and the version that it was made from."""

    version = Integer(required=True, validate=Range(1, MOST))


class Plan(Schema):
    """A study as plain data: fields, tables, and under ``privacy`` a list of tables."""

    plan = Dict(required=True)


class Approval(Schema):
    """Digest of what is approved."""

    digest = String(required=True, validate=Length(max=64))


class UserNew(Schema):
    """A new user."""

    name = String(required=True, validate=Length(2, 64))
    full_name = String(load_default="", validate=Length(max=120))
    roles = List(String(validate=Length(max=40)), required=True)


class UserChange(Schema):
    """What a user is to be."""

    full_name = String(required=True, validate=Length(max=120))
    roles = List(String(validate=Length(max=40)), required=True)
    active = Boolean(required=True)


class ProblemOut(Schema):
    """One thing wrong."""

    field = String()
    label = String()
    message = String()
    remedy = String()
    line = Integer(allow_none=True)


class ErrorBody(Schema):
    """What went wrong and what to do."""

    kind = String()
    message = String()
    remedy = String()
    problems = List(Nested(ProblemOut))


class ErrorOut(Schema):
    """The one shape of errors."""

    error = Nested(ErrorBody)


class StudyOut(Schema):
    """A study."""

    id = Integer()
    title = String()
    question = String()
    state = String()
    digest = String()
    version = Integer()
    author = String()
    approver = String()
    created = String()
    updated = String()


class StudyWhole(StudyOut):
    """A study with its text."""

    toml = String()


class CheckOut(Schema):
    """What reading a text gave."""

    ok = Boolean()
    message = String()
    problems = List(Nested(ProblemOut))
    digest = String()


class ComposedOut(CheckOut):
    """A plan's text, and what reading it gave."""

    toml = String()


class ProtectionOut(Schema):
    """What one line of a study promises, in sentences."""

    name = String()
    sentences = List(String())


class ProtectionsOut(Schema):
    """What all lines of a study promise."""

    protections = List(Nested(ProtectionOut))


class PartsOut(Schema):
    """What studies are made of."""

    parts = Dict()
    fields_ = Dict(data_key="fields", attribute="fields")


class FactOut(Schema):
    """One thing that is set: its key for programs; name, value and where it is set for people."""

    key = String()
    name = String()
    value = String()
    how = String()


class GroupOut(Schema):
    """Facts that belong together."""

    key = String()
    name = String()
    facts = List(Nested(FactOut))


class SettingsChange(Schema):
    """What can be set while the console runs; what is left out stays as it is."""

    language = String(validate=OneOf(LANGUAGES), metadata={"description": "empty: as asked for"})
    notice = String(validate=Length(max=LONGEST_NOTICE))
    session_unused_minutes = Integer(strict=True, validate=Range(*BOUNDS["session_unused_minutes"]))
    session_longest_hours = Integer(strict=True, validate=Range(*BOUNDS["session_longest_hours"]))
    free_failures = Integer(strict=True, validate=Range(*BOUNDS["free_failures"]))
    runs_at_once = Integer(strict=True, validate=Range(*BOUNDS["runs_at_once"]))


class SettingsOut(Schema):
    """How the console is set up."""

    set = Nested(SettingsChange, metadata={"description": "what `PATCH` changes"})
    groups = List(Nested(GroupOut))


class SiteOut(Schema):
    """A hospital."""

    name = String()
    state = String()
    since = String()
    at_work = Boolean()
    doing = String()
    last_reply = String(allow_none=True)
    replies = Integer()
    bytes_up = Integer()
    bytes_down = Integer()
    patients = Integer(allow_none=True)
    trained = Integer(allow_none=True)
    fingerprint = String()
    joined = String()
    software = String()


class Invitation(Schema):
    """Whom to invite."""

    site = String(required=True, validate=Length(1, 64))


class InvitationOut(Schema):
    """The code, which is shown once."""

    site = String()
    code = String()


class UserOut(Schema):
    """A user."""

    name = String()
    full_name = String()
    roles = List(String())
    active = Boolean()
    created = String()
    last_login = String(allow_none=True)


class UserMade(UserOut):
    """A user, and the password that is shown once."""

    password = String()


class RoleOut(Schema):
    """A role, and what it may: acts, those with only what is one's own as ``ACT:own``."""

    name = String()
    about = String(metadata={"description": "what it is for; empty for those that medfed ships"})
    rights = List(String())
    shipped = List(String(), metadata={"description": "as this program has it"})


class RoleChange(Schema):
    """What a role may from now on, and what it is for."""

    rights = List(String(validate=Length(max=60)), required=True, validate=Length(max=200))
    about = String(load_default=None, validate=Length(max=LONGEST_ABOUT))


class RoleNew(Schema):
    """A new role."""

    name = String(required=True, validate=Length(2, LONGEST_NAME))
    about = String(load_default="", validate=Length(max=LONGEST_ABOUT))
    rights = List(String(validate=Length(max=60)), required=True, validate=Length(max=200))


class RoleName(Schema):
    """What a role is called from now on."""

    name = String(required=True, validate=Length(2, LONGEST_NAME))


class MeOut(Schema):
    """Whoever asks."""

    name = String()
    full_name = String()
    roles = List(String())
    rights = List(String())


class ActOut(Schema):
    """An act of the record."""

    id = Integer()
    at = String()
    actor = String()
    action = String()
    subject = String()
    allowed = Boolean()
    reason = String()
    address = String()
    times = Integer(metadata={"description": "more than 1: refused at least so often in a minute"})


def page_of(schema: type[Schema]) -> type[Schema]:
    """A part of a list, and how long the whole list is."""
    name = schema.__name__.removesuffix("Out") + "Page"
    fields: dict[str, Any] = {"items": List(Nested(schema)), "total": Integer()}
    return type(name, (Schema,), fields)


ERRORS: dict[int, Any] = {
    status: {"description": text, "content": {"application/json": {"schema": ErrorOut}}}
    for status, text in {
        400: "not a request",
        401: "nobody is logged in",
        403: "not allowed",
        404: "not there",
        409: "does not go with what is there by now",
        413: "too long",
        415: "not JSON",
        422: "the fields are not in order",
        429: "too many wrong passwords, or too much asked for at once",
        503: "the database is away",
        507: "the disk has no room for it",
    }.items()
}
"""What any route may answer instead."""
