"""What pages call things, in the reader's language."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from medfed.core.errors import AccessError, DataError, MedfedError, Problem
from medfed.services.accounts.lockout import Locked
from medfed.services.accounts.login import Unconfirmed, WrongPassword
from medfed.services.accounts.rights import Denied
from medfed.services.comparison.statistics import ALL, MEAN
from medfed.services.reports.words import first_capital
from medfed.services.reports.words import metric_name as english
from medfed.services.trouble import Conflict, Missing, Refused
from medfed.storage.database.engine import Away, Unstorable
from medfed.storage.database.standby import Waiting
from medfed.storage.database.tables import RoleRow
from medfed.web import data_words
from medfed.web.said import said as said_by_parts


class Trouble(NamedTuple):
    """What is wrong and what to do, as a page says it.

    Attributes:
        message: What is wrong.
        remedy: What to do.
        problems: Each thing that is wrong, where there may be several.
    """

    message: str
    remedy: str
    problems: Sequence[Problem] = ()


STATES = {
    "draft": _l("draft"),
    "approved": _l("approved"),
    "queued": _l("waiting"),
    "running": _l("running"),
    "stopping": _l("stopping"),
    "stopped": _l("stopped"),
    "finished": _l("finished"),
    "failed": _l("failed"),
    "open": _l("being filled"),
    "withdrawn": _l("withdrawn"),
}
ROLES = {
    "administrator": (
        _l("administrator"),
        _l("creates users, sets roles and settings, reads everything"),
    ),
    "coordinator": (
        _l("coordinator"),
        _l("writes, approves and runs studies, releases models, invites hospitals"),
    ),
    "researcher": (_l("researcher"), _l("writes studies, runs approved ones")),
    "data-steward": (
        _l("data steward"),
        _l("adds and deletes scans, approves studies, stops runs, withdraws models"),
    ),
    "clinician": (_l("clinician"), _l("looks at scans, asks models, reviews findings")),
    "auditor": (_l("auditor"), _l("reads everything, changes nothing")),
    "viewer": (_l("viewer"), _l("sees studies, runs and models")),
}
METRICS = {
    "auc": _l("AUC"),
    "accuracy": _l("accuracy"),
    "balanced_accuracy": _l("balanced accuracy"),
    "sensitivity": _l("sensitivity"),
    "specificity": _l("specificity"),
    "brier": _l("Brier score"),
    "dice": _l("Dice"),
    "pooled_dice": _l("pooled Dice"),
    "iou": _l("IoU"),
    "fps": _l("false positives"),
    "false_positives": _l("false positives a patient"),
    "loss": _l("loss"),
    "cpm": _l("CPM"),
    "reach": _l("reach"),
    "c_index": _l("c-index"),
    "sensitivity_at_1_8": _l("sensitivity at 1/8 false positives a scan"),
    "sensitivity_at_1_4": _l("sensitivity at 1/4"),
    "sensitivity_at_1_2": _l("sensitivity at 1/2"),
    "sensitivity_at_1": _l("sensitivity at 1"),
    "sensitivity_at_2": _l("sensitivity at 2"),
    "sensitivity_at_4": _l("sensitivity at 4"),
    "sensitivity_at_8": _l("sensitivity at 8"),
}
PURPOSES = {"query": _l("collecting sums"), "train": _l("training"), "evaluate": _l("scoring")}
DOING = {
    **PURPOSES,
    "coming": _l("is sending its reply"),
    "waiting": _l("has sent, waits for the others"),
    "late": _l("takes longer than usual"),
    "missing": _l("left out"),
}
"""What a hospital does in a round."""
SCOPES = {
    "read": _l("reading everything but pictures of patients"),
    "studies": _l("studies: writing, changing, approving"),
    "runs": _l("runs: starting, stopping, resuming"),
    "models": _l("models: downloading, approving, withdrawing"),
    "recall": _l("asking whether a model was withdrawn"),
    "data": _l("data: adding, looking, deleting"),
    "inference": _l("inference: asking models, reviewing findings"),
    "participation": _l("participation: seeing, adding, withdrawing"),
    "users": _l("seeing users"),
    "settings": _l("settings: seeing, changing"),
    "metrics": _l("figures for Prometheus"),
}
DENIALS = {
    "anonymous": _l("Nobody is logged in."),
    "change-password": _l("Change your password first."),
    "scope": _l("This token is not meant for that."),
    "not-yours": _l("Your role lets you do that only with what is yours."),
    "role": _l("None of your roles lets you do that."),
}


ENGINES = {
    "local": _l("on this machine"),
    "flower": _l("on this machine, over the network (Flower)"),
    "federation": _l("at the hospitals of the federation"),
}
RECIPES = {
    "federated": (_l("federated"), _l("the study as it is")),
    "local": (_l("each alone"), _l("each hospital learns from its own patients only")),
    "leave-one-out": (
        _l("without this hospital"),
        _l("the study without one hospital, tested at that hospital"),
    ),
    "pooled": (
        _l("pooled"),
        _l("all patients in one place, which only a rehearsal on open data may do"),
    ),
}
SITE_STATES = {
    "online": _l("online"),
    "offline": _l("offline"),
    "unknown": _l("unknown"),
    "local": _l("on this machine"),
}
PLACES = {ALL: _l("all patients"), MEAN: _l("mean of hospitals")}


def engine(name: str) -> str:
    """What carries messages."""
    return str(ENGINES.get(name, name))


def site_state(name: str) -> str:
    """Whether a hospital can be reached."""
    return str(SITE_STATES.get(name, name))


def doing(name: str) -> str:
    """What a hospital does in a round."""
    return str(DOING.get(name, name))


def not_here() -> Trouble:
    """Why a run at hospitals elsewhere is not compared, and what to do."""
    return Trouble(
        _(
            "The patients of this run are at hospitals elsewhere, and a comparison trains on this "
            "machine; pooling would bring patients together."
        ),
        _("Compare in a rehearsal on open data."),
    )


def recipe(name: str) -> str:
    """A way of learning; a strategy or a study file as it is called."""
    return str(RECIPES[name][0]) if name in RECIPES else name


def recipe_about(name: str) -> str:
    """What a way of learning does."""
    return str(RECIPES[name][1]) if name in RECIPES else ""


def place(text: str) -> str:
    """Whose test patients; with how many they are."""
    name, _space, count = text.partition(" (")
    return f"{PLACES[name]} ({count}" if name in PLACES and count else str(PLACES.get(text, text))


def verdict(difference: Mapping[str, Any]) -> str:
    """What a comparison shows between two ways of learning."""
    named = {key: recipe(difference[key]) for key in ("recipe", "against")}
    if difference["recipe"] in RECIPES:  # strategies and files are called as they call themselves
        named["recipe"] = first_capital(named["recipe"])
    if not difference["shown"]:
        return str(_("%(recipe)s against %(against)s: no difference shown.", **named))
    size, low, high = (abs(difference[key]) for key in ("value", "low", "high"))
    span = {"size": f"{size:.3f}", "low": f"{min(low, high):.3f}", "high": f"{max(low, high):.3f}"}
    if difference["better"] == difference["recipe"]:
        return str(
            _(
                "%(recipe)s is better than %(against)s by %(size)s (%(low)s to %(high)s).",
                **named,
                **span,
            )
        )
    return str(
        _(
            "%(recipe)s is worse than %(against)s by %(size)s (%(low)s to %(high)s).",
            **named,
            **span,
        )
    )


def state(name: str) -> str:
    """A state's name."""
    return str(STATES.get(name, name))


def role(name: str) -> str:
    """A role's name."""
    return str(ROLES[name][0]) if name in ROLES else name


def role_about(row: RoleRow) -> str:
    """What a role is for."""
    return str(ROLES[row.name][1]) if row.name in ROLES else row.about


def scope(name: str) -> str:
    """What a token is for."""
    return str(SCOPES.get(name, name))


def metric(name: str) -> str:
    """A metric's name; a plug-in's as the plug-in calls it."""
    return str(METRICS[name]) if name in METRICS else english(name)


def error(error: MedfedError) -> Trouble:
    """What an error says and what to do, in the reader's language."""
    return Trouble(*_told(error), getattr(error, "problems", ()))


def _told(error: MedfedError) -> tuple[str, str]:
    match error:
        case Denied():
            remedy = _("Ask an administrator if you need to.")
            return str(DENIALS[error.decision.why]), remedy
        case Locked():
            return (
                _("Too many wrong passwords for this name."),
                _("Wait up to 15 minutes, then try again."),
            )
        case Unconfirmed():
            return _("The password was not given lately."), _("Give it again, then try again.")
        case WrongPassword():
            return _("The name or the password is wrong."), _("Try again.")
        case Away() if not isinstance(error, Waiting):
            return _("The database cannot be used."), _("Tell whoever runs the console.")
        case Missing():
            return _("There is no such thing."), _("Go back to the list.")
        case Conflict() | AccessError() | DataError() | Unstorable() | Refused() | Waiting():
            return said(error.message), said(error.remedy)
    return said(error.message), said(error.remedy)


SENTENCES = {
    "none of your groups has a role here": _l("None of your groups has a role here."),
    "this account is barred": _l("This account is barred."),
    "somebody else logged in": _l("Somebody else logged in."),
    "Log in again as yourself": _l("Log in again as yourself."),
    "the identity provider did not ask you again": _l(
        "The identity provider did not ask you again."
    ),
    "Log out, then log in again": _l("Log out, then log in again."),
    "the identity provider did not confirm who you are": _l(
        "The identity provider did not confirm who you are."
    ),
    "the identity provider is not the one that was agreed": _l(
        "The identity provider is not the one that was agreed."
    ),
    "Try again; if it stays, log in by a password or tell whoever runs the console": _l(
        "Try again; if it stays, log in by a password or tell whoever runs the console."
    ),
    "the password of this user is kept elsewhere": _l(
        "The password of this user is kept elsewhere."
    ),
    "Change it at the identity provider": _l("Change it at the identity provider."),
    "nothing can be changed while the database is away": _l(
        "Nothing can be changed while the database is away."
    ),
    "Try again when it is back": _l("Try again when it is back."),
    "somebody else changed this study meanwhile": _l("Somebody else changed this study meanwhile."),
    "Copy your text, load the page again, and put your changes in": _l(
        "Copy your text, load the page again, and put your changes in."
    ),
    "the study was changed after you read it": _l("The study was changed after you read it."),
    "Read it again": _l("Read it again."),
    "the study is not approved yet": _l("The study is not approved yet."),
    "Have it approved first": _l("Have it approved first."),
    "this run is over": _l("This run is over."),
    "There is nothing to stop": _l("There is nothing to stop."),
    "There is nothing to resume": _l("There is nothing to resume."),
    "a password has at least 12 characters": _l("A password has at least 12 characters."),
    "a password has at most 200 characters": _l("A password has at most 200 characters."),
    "Take several words that do not belong together": _l(
        "Take several words that do not belong together."
    ),
    "Shorten it": _l("Shorten it."),
    "this password is among those that are tried first": _l(
        "This password is among those that are tried first."
    ),
    "the password contains the user name": _l("The password contains the user name."),
    "the new password is the old one": _l("The new password is the old one."),
    "Choose another": _l("Choose another."),
    "this cannot be a user name": _l("This cannot be a user name."),
    "Use 2 to 64 small letters, digits, dots and hyphens; begin with a letter": _l(
        "Use 2 to 64 small letters, digits, dots and hyphens; begin with a letter."
    ),
    "there is a user of this name": _l("There is a user of this name."),
    "Choose another name": _l("Choose another name."),
    "nobody would be left who may create and change users": _l(
        "Nobody would be left who may create and change users."
    ),
    "Make another user administrator first": _l("Make another user administrator first."),
    "there is no such user": _l("There is no such user."),
    "Look at the list of users": _l("Look at the list of users."),
    "a token needs a scope that exists": _l("A token needs at least one purpose."),
    "a token needs a name of up to 80 characters": _l(
        "A token needs a name of up to 80 characters."
    ),
    "Name its use": _l("Say what it is for."),
    "a token lives 1 to 365 days": _l("A token lives 1 to 365 days."),
    "Choose fewer days": _l("Choose fewer days."),
    "this review is signed": _l("This review is signed."),
    "Open it again first": _l("Open it again first."),
    "somebody reviewed this finding meanwhile": _l("Somebody reviewed this finding meanwhile."),
    "somebody reviewed a finding meanwhile": _l("Somebody reviewed a finding meanwhile."),
    "the model's file is gone, or another than the one approved": _l(
        "The model's file is gone, or another than the one approved."
    ),
    "Approve the model again, with its file": _l("Approve the model again, with its file."),
    "Load the page again and look at it": _l("Load the page again and look at it."),
    "Load the page again": _l("Load the page again."),
    "not all findings were reviewed": _l("Not all findings were reviewed."),
    "Accept, correct or reject each of them first": _l(
        "Accept, correct or reject each of them first."
    ),
    "there is nothing to sign yet": _l("There is nothing to sign yet."),
    "Wait until the model is done": _l("Wait until the model is done."),
    "this review is not signed": _l("This review is not signed."),
    "Review all findings, then sign": _l("Review all findings, then sign."),
    "There is nothing to open": _l("There is nothing to open."),
    "this inference is being worked on": _l("This inference is being worked on."),
    "Wait until that has ended": _l("Wait until that has ended."),
    "this has not failed": _l("This has not failed."),
    "this hospital has named no PACS": _l("This hospital has named no PACS."),
    "this model was withdrawn": _l("This model was withdrawn."),
    "Choose another one": _l("Choose another one."),
    "this model is withdrawn already": _l("This model is withdrawn already."),
    "There is nothing to do": _l("There is nothing to do."),
    "nothing was corrected": _l("Nothing was corrected."),
    "Change something, or accept the finding": _l("Change something, or accept the finding."),
    "a correction is not a number": _l("A correction is not a number."),
    "Write digits with a point": _l("Write digits with a point."),
    "a diameter lies between 1 and 200 mm": _l("A diameter lies between 1 and 200 mm."),
    "Write it in mm, with a point": _l("Write it in mm, with a point."),
    "the corrected centre is not in the scan": _l("The corrected centre is not in the scan."),
    "Click its place in the picture": _l("Click its place in the picture."),
    "no model was sent": _l("No model was sent."),
    "Choose the model.safetensors of a run": _l("Choose the model.safetensors of a run."),
    "the address of the guideline is none of a page": _l(
        "The address of the guideline is none of a page."
    ),
    "Write it as https://…, or leave title and address empty": _l(
        "Write it as https://…, or leave title and address empty."
    ),
    "the database cannot take this text": _l("The request cannot be answered."),
    "Remove characters that cannot be seen": _l("Go back and try again."),
}
"""Sentences of services that pages show, by their English."""


def said(sentence: str) -> str:
    """What a service said, in the reader's language where it is known there."""
    known = SENTENCES.get(sentence) or data_words.SENTENCES.get(sentence)
    return str(known) if known else said_by_parts(sentence)


def http(status: int) -> tuple[str, str]:
    """What an HTTP error says and what to do."""
    match status:
        case 400:
            return _("The page's form is too old or incomplete."), _("Load the page again.")
        case 404:
            return _("There is no such page."), _("Choose one from the menu.")
        case 405:
            return _("This page cannot be used like that."), _("Choose one from the menu.")
        case 413:
            return _("That is too long."), _("Send less.")
    return _("The request cannot be answered."), _("Go back and try again.")


def listed(names: Iterable[object]) -> str:
    """Names with what the reader's language has between them."""
    return str(_(", ")).join(map(str, names))


def script() -> dict[str, Any]:
    """What the pages' scripts say."""
    return {
        "all": _("all hospitals"),
        "round": _("round"),
        "roundOf": _("round %(number)s", number="{}"),
        "timeline": _("Who did what when, a line for each hospital"),
        **{name: str(word) for name, word in DOING.items()},
        "worth": _("worth"),
        "interval": _("95 % interval"),
        "fall": _("fall of the figure when the input is shuffled"),
        "units": {
            "patient": _("each patient"),
            "record": _("each record"),
            "hospital": _("the hospital"),
        },
        "spans": {"s": _("s"), "min": _("min"), "h": _("h")},
        "live": _("live"),
        "away": _("connection lost, trying again"),
        "no_database": _("the database is away, waiting for it"),
        "fine": _("The study is in order."),
        "line": _("line %(number)s", number="{}"),
        "notChecked": _("The study could not be checked; are you still logged in?"),
    }
