"""The roles that a new console has. They are data: rows of a table, to be changed there.

A right is an action such as ``study.edit``, all actions on one kind of thing (``study.*``), one
action on everything (``*.read``), or an action on what is one's own (``run.stop:own``).
"""

from collections.abc import Mapping

from sqlalchemy import select

from medfed.storage.database import Database
from medfed.storage.database.tables import RoleRow

ACTIONS: Mapping[str, str] = {
    "overview.read": "see the overview",
    "study.read": "see studies",
    "study.create": "write studies",
    "study.edit": "change studies",
    "study.approve": "approve studies",
    "run.read": "see runs",
    "run.start": "start runs",
    "run.stop": "stop and resume runs",
    "model.read": "see models",
    "model.download": "download models and reports",
    "model.release": "approve models for hospitals",
    "model.withdraw": "withdraw models",
    "site.invite": "invite hospitals",
    "settings.read": "see how the console is set up",
    "settings.change": "change the console's settings",
    "model.admit": "approve models for the hospital, and withdraw them",
    "inference.read": "see which models were asked",
    "inference.view": "see what models found in patients",
    "inference.run": "ask models about patients",
    "inference.review": "review findings",
    "inference.export": "download results and send them to the PACS",
    "participation.read": "see what the hospital takes part in",
    "participation.decide": "decide what the hospital takes part in",
    "receipt.read": "read what left the hospital",
    "data.read": "see what data the hospital has",
    "data.view": "look at scans",
    "data.add": "add scans and tables",
    "data.delete": "delete scans and tables",
    "user.read": "see users",
    "user.manage": "create and change users",
    "session.read": "see sessions",
    "session.revoke": "end sessions",
    "token.manage": "make and revoke tokens",
    "audit.read": "read the audit record",
    "help.read": "read the help",
    "metrics.read": "read the metrics of this service",
}
"""Every action there is, and how a sentence says it."""

EVERYBODY = frozenset({"session.read:own", "session.revoke:own", "token.manage:own", "help.read"})
"""What each person may do whatever their roles."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "administrator": ("*.read", "user.manage", "session.revoke", "settings.change"),
    "coordinator": (
        "overview.read",
        "study.*",
        "run.*",
        "model.*",
        "site.*",
        "settings.read",
    ),
    "researcher": (
        "overview.read",
        "study.read",
        "study.create",
        "study.edit:own",
        "run.read",
        "run.start",
        "run.stop:own",
        "model.read",
        "model.download",
    ),
    "data-steward": (
        "overview.read",
        "study.read",
        "study.approve",
        "run.read",
        "run.stop",
        "data.*",
        "participation.*",
        "receipt.read",
        "model.read",
        "model.withdraw",
        "model.admit",
        "inference.read",
    ),
    "clinician": (
        "overview.read",
        "study.read",
        "run.read",
        "model.read",
        "data.read",
        "data.view",
        "inference.*",
        "participation.read",
    ),
    "auditor": ("*.read",),
    "viewer": ("overview.read", "study.read", "run.read", "model.read", "participation.read"),
}


def ensure_roles(database: Database) -> None:
    """Add the roles that are missing; those that are there stay as they are."""
    with database.read() as session:
        known = set(session.scalars(select(RoleRow.name)))
    if known >= set(ROLES):
        return
    with database.write() as session:
        known = set(session.scalars(select(RoleRow.name)))
        for name, rights in ROLES.items():
            if name not in known:
                session.add(RoleRow(name=name, rights=list(rights)))
