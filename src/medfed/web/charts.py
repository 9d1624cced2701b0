"""What the charts of the federation show and say: the map, and how unlike the hospitals are."""

from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _

from medfed.core.registry import make
from medfed.core.study import Study
from medfed.services.console.hospitals import Hospital
from medfed.web import words


def map_of(hospitals: Sequence[Hospital]) -> dict[str, Any]:
    """The federation as the map draws it, in the reader's language."""
    sites = [
        {
            "name": each.name,
            "state": each.state,
            "doing": each.doing,
            "word": what_of(each),
            "up": each.bytes_up,
            "down": each.bytes_down,
            "patients": each.patients,
            "trained": each.trained,
        }
        for each in hospitals
    ]
    return {"sites": sites, "words": map_words()}


def what_of(hospital: Hospital) -> str:
    """What a hospital does, or else whether it is there."""
    if hospital.doing:
        return words.doing(hospital.doing)
    return _("at work") if hospital.at_work else words.site_state(hospital.state)


def states_of(names: Sequence[str], hospitals: Sequence[Hospital]) -> dict[str, list[str]]:
    """Whether each of a run's hospitals is there: the state's name and word."""
    known = {each.name: each.state for each in hospitals}
    states = {name: known.get(name, "unknown") for name in names}
    return {name: [state, words.site_state(state)] for name, state in states.items()}


def map_words() -> dict[str, str]:
    """What the map says."""
    return {
        "coordinator": _("Coordinator"),
        "patients": _("Test patients"),
        "trained": _("Training patients"),
        "received": _("Received"),
        "sent": _("Sent"),
    }


def unlike_words() -> dict[str, str]:
    """What the chart of how unlike hospitals are says."""
    return {
        "hospital": _("Hospital"),
        "round": _("round"),
        "roundOf": _("round %(number)s", number="{}"),
        "loss": _("Training loss"),
        "cosine": _("Direction of the change"),
        "norm": _("Length of the change"),
        "weight": _("Training patients, which are its weight"),
        "apart": _(
            "%(label)s, round %(round)s: from %(low)s (%(lowest)s) to %(high)s (%(highest)s), "
            "%(apart)s apart.",
            label="{label}",
            round="{round}",
            low="{low}",
            lowest="{lowest}",
            high="{high}",
            highest="{highest}",
            apart="{apart}",
        ),
    }


def hidden(study: Study) -> str:
    """Why a run of a study shows no hospital by itself; empty where it does."""
    if not make("aggregator", study.aggregator).sees_sites:
        return str(
            _(
                "The coordinator sees sums only (%(aggregator)s): no single hospital’s figures "
                "leave that hospital, so nobody can say how unlike they are.",
                aggregator=study.aggregator.name,
            )
        )
    if study.report != "sites":
        return str(
            _(
                'The study keeps the hospitals’ figures among the sums (report = "overall"), so '
                "nothing is said of single ones."
            )
        )
    return ""


def no_directions(study: Study) -> str:
    """Why the changes of single hospitals are not looked at; empty where they are."""
    if study.privacy:
        return str(
            _(
                "The study has privacy lines: the direction and length of single hospitals’ "
                "changes are not looked at, since they would say more than the noise allows."
            )
        )
    return ""
