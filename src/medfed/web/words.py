"""What pages call things, in the reader's language."""

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from medfed.core.errors import AccessError, DataError, MedfedError
from medfed.services.accounts.lockout import Locked
from medfed.services.accounts.login import Unconfirmed, WrongPassword
from medfed.services.accounts.rights import Denied
from medfed.services.reports.words import metric_name as english
from medfed.services.trouble import Conflict, Missing, Refused
from medfed.storage.database.engine import Away, Unstorable
from medfed.web import data_words

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
    "administrator": (_l("administrator"), _l("creates users, reads everything")),
    "coordinator": (_l("coordinator"), _l("writes, approves and runs studies")),
    "researcher": (_l("researcher"), _l("writes studies, runs approved ones")),
    "data-steward": (
        _l("data steward"),
        _l("adds and deletes scans, approves studies, stops runs"),
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
    "iou": _l("IoU"),
    "fps": _l("false positives"),
    "loss": _l("loss"),
    "cpm": _l("CPM"),
    "reach": _l("reach"),
    "c_index": _l("c-index"),
}
PURPOSES = {"query": _l("collecting sums"), "train": _l("training"), "evaluate": _l("scoring")}
DENIALS = {
    "anonymous": _l("Nobody is logged in."),
    "change-password": _l("Change your password first."),
    "scope": _l("This token is not meant for that."),
    "not-yours": _l("Your role lets you do that only with what is yours."),
    "role": _l("None of your roles lets you do that."),
}


def state(name: str) -> str:
    """A state's name."""
    return str(STATES.get(name, name))


def role(name: str) -> str:
    """A role's name."""
    return str(ROLES[name][0]) if name in ROLES else name


def role_about(name: str) -> str:
    """What a role is for."""
    return str(ROLES[name][1]) if name in ROLES else ""


def metric(name: str) -> str:
    """A metric's name; a plug-in's as the plug-in calls it."""
    return str(METRICS[name]) if name in METRICS else english(name)


def error(error: MedfedError) -> tuple[str, str]:
    """What an error says and what to do, in the reader's language where it is one of the web's."""
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
        case Away():
            return _("The database cannot be used."), _("Tell whoever runs the console.")
        case Missing():
            return _("There is no such thing."), _("Go back to the list.")
        case Conflict() | AccessError() | DataError() | Unstorable() | Refused():
            return _translated(error.message), _translated(error.remedy)
    return error.message, error.remedy


SENTENCES = {
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
    "this is the last administrator": _l("This is the last administrator."),
    "Make another user administrator first": _l("Make another user administrator first."),
    "there is no such user": _l("There is no such user."),
    "Look at the list of users": _l("Look at the list of users."),
    "a token needs a scope that exists": _l("A token needs at least one purpose."),
    "a token needs a name of up to 80 characters": _l("A token needs a name."),
    "Name its use": _l("Say what it is for."),
    "a token lives 1 to 365 days": _l("A token lives 1 to 365 days."),
    "Choose fewer days": _l("Choose fewer days."),
    "this review is signed": _l("This review is signed."),
    "Open it again first": _l("Open it again first."),
    "somebody reviewed this finding meanwhile": _l("Somebody reviewed this finding meanwhile."),
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
    """What a service said, in the reader's language where it is one of the web's sentences."""
    return _translated(sentence)


def _translated(sentence: str) -> str:
    return str(SENTENCES.get(sentence) or data_words.SENTENCES.get(sentence) or sentence)


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


def script() -> dict[str, str]:
    """What the pages' scripts say."""
    return {
        "all": _("all hospitals"),
        "round": _("round"),
        "live": _("live"),
        "away": _("connection lost, trying again"),
        "fine": _("The study is in order."),
        "line": _("line %(number)s", number="{}"),
        "notChecked": _("The study could not be checked; are you still logged in?"),
    }
