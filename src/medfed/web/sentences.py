"""What happened in a run, in sentences in the reader's language."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from flask_babel import gettext as _

from medfed.web.said import said
from medfed.web.words import PURPOSES, listed, metric, recipe

Body = Mapping[str, Any]
MOST_METRICS = 3
COMPARED = re.compile(r"(?P<way>.+?)-(?P<seed>\d+)(?:-(?P<site>.+))?")
AT_A_TIME = re.compile(r"\d+ at a time")


def sentence(kind: str, body: Body) -> str:
    """An event as a sentence; one of a later program as its kind."""
    write = SENTENCES.get(kind)
    return write(body) if write else kind


def _run_started(body: Body) -> str:
    if body.get("resumed_at"):
        return str(_("Going on after round %(round)s.", round=body["resumed_at"]))
    sites, rounds = len(body["sites"]), body["rounds"]
    return str(_("Started: %(sites)s hospitals, %(rounds)s rounds.", sites=sites, rounds=rounds))


def _round_started(body: Body) -> str:
    if body["purpose"] == "evaluate":  # an exchange of its own, which is no round
        return str(_("Orders for scoring went to %(sites)s.", sites=listed(body["sites"])))
    return str(
        _(
            "Round %(round)s: orders for %(purpose)s went to %(sites)s.",
            round=body["round"],
            purpose=str(PURPOSES.get(body["purpose"], body["purpose"])),
            sites=listed(body["sites"]),
        )
    )


def _reply_counted(body: Body) -> str:
    return str(
        _(
            "The reply of %(site)s counted after %(seconds)s s.",
            site=body["site"],
            seconds=f"{body['seconds'] or 0:.2f}",
        )
    )


def _site_missing(body: Body) -> str:
    return str(
        _(
            "Round %(round)s: %(site)s is missing: %(why)s",
            round=body["round"],
            site=body["site"],
            why=said(body["message"]),
        )
    )


def _round_finished(body: Body) -> str:
    return str(
        _(
            "Round %(round)s is finished: %(sites)s hospitals, %(seconds)s s.",
            round=body["round"],
            sites=len(body["participants"]),
            seconds=f"{body['seconds'] or 0:.2f}",
        )
    )


def _scored(body: Body) -> str:
    known = [(name, value) for name, value in body["metrics"].items() if value is not None]
    shown = listed(f"{metric(name)} {value:.3f}" for name, value in known[:MOST_METRICS])
    return str(_("The model of round %(round)s: %(metrics)s.", round=body["round"], metrics=shown))


def _run_finished(body: Body) -> str:
    return str(_("Finished after %(rounds)s rounds.", rounds=body["rounds"]))


def _comparison_started(body: Body) -> str:
    return str(_("A comparison of %(runs)s runs began.", runs=body["runs"]))


def _comparison_at(body: Body) -> str:
    now = str(body["now"])
    if (run := now.removeprefix("scoring ")) != now:
        return str(_("Scoring: %(run)s.", run=_compared(run)))
    if AT_A_TIME.fullmatch(now):
        return str(_("Runs at a time: %(count)s.", count=now.split(maxsplit=1)[0]))
    return str(_("Training: %(run)s.", run=_compared(now)))


def _compared(name: str) -> str:
    """A run of a comparison, called by its way of learning, its seed, and its hospital if any."""
    if not (found := COMPARED.fullmatch(name)):
        return name
    way = recipe(found["way"])
    if found["site"]:
        return str(
            _("%(way)s, %(site)s, seed %(seed)s", way=way, site=found["site"], seed=found["seed"])
        )
    return str(_("%(way)s, seed %(seed)s", way=way, seed=found["seed"]))


SENTENCES: Mapping[str, Callable[[Body], str]] = {
    "RunStarted": _run_started,
    "RoundStarted": _round_started,
    "ReplyComing": lambda body: str(_("%(site)s is sending its reply.", site=body["site"])),
    "ReplyCounted": _reply_counted,
    "SiteMissing": _site_missing,
    "RoundFinished": _round_finished,
    "Scored": _scored,
    "RunFinished": _run_finished,
    "ComparisonStarted": _comparison_started,
    "ComparisonAt": _comparison_at,
    "ComparedRun": lambda body: str(_("Finished: %(run)s.", run=_compared(body["name"]))),
    "Notice": lambda body: said(str(body["message"])),
}
