"""What a study would do at a hospital, and what would leave: in the reader's language."""

from collections.abc import Collection, Iterable
from typing import Any

from flask_babel import gettext as _

from medfed.core.registry import make
from medfed.core.rehearsal import noised_facts
from medfed.core.study import Study
from medfed.services.part_list import part_json
from medfed.services.protections import Protection
from medfed.web.said import said


def does(study: Study, least: int) -> list[str]:
    """What it would have this hospital's computer do.

    Args:
        study: The study.
        least: With fewer training patients the hospital refuses; see `Participation.least`.
    """
    where = study.cohort.where
    whom = (
        _("It takes those patients for whom all of this holds: %(what)s.", what="; ".join(where))
        if where
        else _("It takes all patients of this hospital’s data.")
    )
    enough = _("With fewer than %(count)s training patients the hospital refuses.", count=least)
    return [
        _("Task: %(what)s", what=_summary("task", study.task.name)),
        _("Data: %(what)s", what=_summary("source", study.source.name)),
        f"{whom} {enough}",
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
    """What would leave this hospital: `docs/explanation/what-leaves.md`, for one study."""
    names = ", ".join(part.name for part in study.statistics)
    return [
        *_facts(study),
        *([_("Once: noised statistics of the cohort (%(names)s).", names=names)] if names else []),
        *_update(study),
        *_figures(study),
        _("With each reply: how many seconds this hospital’s computer worked on it."),
        _("At any time: the name of a refusal, and one public sentence."),
        _seen(study),
        _told(study),
    ]


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


def _facts(study: Study) -> list[str]:
    if noised_facts(study):
        return [
            _(
                "Before the first round: means, spreads and most common values of its columns, "
                "each with noise."
            )
        ]
    if not study.make_task().prepare():
        return []
    return [
        _(
            "Before the first round: counts, sums and squares of each numeric column, and each "
            "category with its count, over its training patients; they bring the columns of all "
            "hospitals to one scale."
        )
    ]


def _update(study: Study) -> list[str]:
    found = _change({part.name for part in study.privacy})
    if study.strategy.name == "scaffold":
        found.append(
            _(
                "In each round, beside that: how its control variates changed, as many numbers as "
                "the model trains (SCAFFOLD)."
            )
        )
    if study.compression:
        what = _summary("compression", study.compression.name)
        found.append(_("That is made smaller: %(what)s", what=what))
    return found


def _change(private: Collection[str]) -> list[str]:
    """What leaves of a model's training, under privacy lines of these names."""
    if "hospital-dp" in private:
        return [
            _(
                "In each round: how the model’s numbers changed, clipped to a length; all "
                "hospitals count alike. Neither the number of training patients nor a training "
                "loss leaves."
            )
        ]
    if "dp-sgd" in private:
        return [
            _(
                "In each round: how the model’s numbers changed, with noise, weighted by the "
                "public number of patients that the study declares. Neither the real number nor "
                "a training loss leaves."
            )
        ]
    found = [
        _(
            "In each round: how the model’s numbers changed, weighted by the number of training "
            "patients."
        ),
        _("In each round: the sum of the training loss, and the number of examples and steps."),
    ]
    if "local-dp" in private:
        found.append(_("The training that this comes from sees noised records only."))
    return found


def _figures(study: Study) -> list[str]:
    mechanisms = [make("mechanism", part) for part in study.privacy]
    if all({"valid", "test"} <= each.open_sets for each in mechanisms):
        return [
            _(
                "In each round: sums and histograms that score the model which it received, over "
                "validation patients, or over test patients where there are none."
            ),
            _(
                "At the end: the same for the chosen model over test patients and, where the data "
                "are columns, histograms of how much each column counts."
            ),
        ]
    if all(each.counts_scores for each in mechanisms):
        return [
            _(
                "No figures of validation patients; at the end those of test patients, as counts "
                "with noise."
            )
        ]
    return [_("No figures of validation or test patients.")]


def _seen(study: Study) -> str:
    if make("aggregator", study.aggregator).sees_sites:
        return str(_("The coordinator sees what this hospital sends by itself."))
    return str(_("Nobody but this hospital sees what it sends by itself: only sums are seen."))


def _told(study: Study) -> str:
    if study.report == "sites":
        return str(_("The report of a run shows this hospital’s figures by themselves."))
    return str(_("The report of a run shows figures over all hospitals together only."))


def _summary(kind: str, name: str) -> str:
    """What a part is for, and its name."""
    return f"{said(part_json(kind, name)['summary'])} ({name})"
