"""Rows as plain data, for the API and for live pages."""

from datetime import datetime
from typing import Any

from medfed.services.accounts import Identity, role_rights
from medfed.services.console.runs import Runs
from medfed.storage.database.tables import (
    AuditRow,
    EventRow,
    ModelRow,
    RoleRow,
    RoundRow,
    RunRow,
    StudyRow,
    UserRow,
)
from medfed.web.audit_words import told
from medfed.web.said import said
from medfed.web.said import sentence as whole
from medfed.web.sentences import sentence


def shown_state(row: RunRow) -> str:
    """A run's state as a person sees it."""
    return "stopping" if row.state == "running" and row.wanted == "stop" else row.state


def study(row: StudyRow, *, whole: bool = False) -> dict[str, Any]:
    """A study; with its text where it is asked for."""
    about = {
        "id": row.id,
        "title": row.title,
        "question": row.question,
        "state": row.state,
        "digest": row.digest,
        "version": row.version,
        "author": row.author,
        "approver": row.approver,
        "created": _iso(row.created),
        "updated": _iso(row.updated),
    }
    return {**about, "toml": row.toml} if whole else about


def run(row: RunRow, runs: Runs) -> dict[str, Any]:
    """A run as it stands."""
    state = shown_state(row)
    return {
        "id": row.id,
        "study": row.study_id,
        "kind": row.kind,
        "engine": row.engine,
        "title": row.title,
        "digest": row.digest,
        "sites": row.sites,
        "metric": row.metric,
        "state": state,
        "round": row.round,
        "rounds": row.rounds,
        "bytes_up": row.bytes_up,
        "bytes_down": row.bytes_down,
        "seconds_left": runs.seconds_left(row),
        "message": whole(said(row.message)),
        "remedy": whole(said(row.remedy)),
        "starter": row.starter,
        "created": _iso(row.created),
        "started": _iso(row.started),
        "ended": _iso(row.ended),
    }


def round_(row: RoundRow) -> dict[str, Any]:
    """A round."""
    return {
        "round": row.round,
        "finished": _iso(row.finished),
        "seconds": row.seconds,
        "bytes_up": row.bytes_up,
        "bytes_down": row.bytes_down,
        "participants": row.participants,
        "loss": row.loss,
        "site_loss": row.site_loss,
        "site_up": row.site_up,
        "site_down": row.site_down,
        "site_change": row.site_change,
        "metrics": row.metrics,
        "site_metrics": row.site_metrics,
    }


def event(row: EventRow) -> dict[str, Any]:
    """Something that happened, with its sentence in the reader's language."""
    return {
        "number": row.number,
        "at": _iso(row.at),
        "kind": row.kind,
        "body": row.body,
        "text": sentence(row.kind, row.body),
    }


def model(row: ModelRow) -> dict[str, Any]:
    """A model."""
    return {
        "id": row.id,
        "run": row.run_id,
        "title": row.title,
        "sha256": row.sha256,
        "kept_round": row.kept_round,
        "metrics": row.metrics,
        "patients": row.patients,
        "created": _iso(row.created),
        "releases": [{"site": r.site, "by": r.by, "at": _iso(r.at)} for r in row.releases],
        "withdrawn": _iso(row.withdrawn),
        "reason": row.reason,
    }


def user(row: UserRow) -> dict[str, Any]:
    """A user, without anything secret."""
    return {
        "name": row.name,
        "full_name": row.full_name,
        "roles": sorted(role.name for role in row.roles),
        "active": row.active,
        "created": _iso(row.created),
        "last_login": _iso(row.last_login),
    }


def me(who: Identity) -> dict[str, Any]:
    """Whoever asks."""
    return {
        "name": who.name,
        "full_name": who.full_name,
        "roles": list(who.roles),
        "rights": sorted(who.rights),
    }


def role(row: RoleRow) -> dict[str, Any]:
    """A role, and what it may."""
    held, shipped = role_rights.reaches(row.rights), role_rights.shipped(row.name)
    return {
        "name": row.name,
        "about": row.about,
        "rights": [role_rights.named(*pair) for pair in held.items()],
        "shipped": [role_rights.named(*pair) for pair in shipped.items()],
    }


def act(row: AuditRow) -> dict[str, Any]:
    """An act of the record."""
    return {
        "id": row.id,
        "at": _iso(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "allowed": row.allowed,
        "reason": told(row.reason),
        "address": row.address,
        "times": row.times,
    }


def _iso(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
