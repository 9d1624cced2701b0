"""What a study would do at a hospital, and what would leave: in the reader's language."""

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext as _

from medfed.core.registry import make
from medfed.core.study import Study
from medfed.services.part_list import part_json
from medfed.services.protections import Protection
from medfed.web.said import said


def does(study: Study) -> list[str]:
    """What it would have this hospital's computer do."""
    where = study.cohort.where
    whom = (
        _("It takes those patients for whom all of this holds: %(what)s.", what="; ".join(where))
        if where
        else _("It takes all patients of this hospital’s data.")
    )
    least = _(
        "With fewer than %(count)s training patients the hospital refuses.", count=_least(study)
    )
    return [
        _("Task: %(what)s", what=_summary("task", study.task.name)),
        _("Data: %(what)s", what=_summary("source", study.source.name)),
        f"{whom} {least}",
        _("Test patients: %(what)s", what=_summary("split", study.split.name)),
        _(
            "In up to %(rounds)s rounds this hospital’s computer trains the common model on its "
            "own patients: %(what)s",
            rounds=study.rounds,
            what=_summary("strategy", study.strategy.name),
        ),
        _(
            "Each answer may take up to %(seconds)s s; a round counts with %(least)s of "
            "%(sites)s hospitals.",
            seconds=f"{study.deadline:g}",
            least=study.min_sites,
            sites=len(study.sites),
        ),
    ]


def leaves(study: Study) -> list[str]:
    """What would leave this hospital."""
    found = []
    if study.make_task().prepare():
        found.append(
            _(
                "Before the first round: sums and counts over its patients, which bring the "
                "columns of all hospitals to one scale."
            )
        )
    found.append(
        _("In each round: how the model’s numbers changed, weighted by the number of patients.")
    )
    if study.compression:
        what = _summary("compression", study.compression.name)
        found.append(_("That is made smaller: %(what)s", what=what))
    if not study.privacy:
        found.append(
            _("In each round: sums and histograms that score the model which it received.")
        )
    else:
        found.append(_("Which figures leave beside that, the privacy lines below say."))
    names = ", ".join(part.name for part in study.statistics)
    if names:
        found.append(_("Once: noised statistics of the cohort (%(names)s).", names=names))
    return [*found, _seen(study), _told(study)]


def stays() -> list[str]:
    """What never leaves, whatever a study says."""
    return [
        _("Scans, rows of tables, names and dates of patients stay here."),
        _("What left is written down in a signed receipt before it leaves."),
    ]


def promised(protections: Iterable[Protection]) -> list[dict[str, Any]]:
    """What lines of a study promise, as plain data."""
    return [
        {"name": each.name, "sentences": [said(text) for text in each.sentences]}
        for each in protections
    ]


def _seen(study: Study) -> str:
    if make("aggregator", study.aggregator).sees_sites:
        return str(_("The coordinator sees what this hospital sends by itself."))
    return str(_("Nobody but this hospital sees what it sends by itself: only sums are seen."))


def _told(study: Study) -> str:
    if study.report == "sites":
        return str(_("The report of a run shows this hospital’s figures by themselves."))
    return str(_("The report of a run shows figures over all hospitals together only."))


def _least(study: Study) -> int:
    return study.cohort.min_patients


def _summary(kind: str, name: str) -> str:
    """What a part is for, and its name."""
    return f"{said(part_json(kind, name)['summary'])} ({name})"
