"""What was spent of patients' privacy, in the reader's language."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from medfed.core.errors import PartError
from medfed.core.ledger import WEAK_DELTA, Balance
from medfed.core.ledger import replacing as replacing_costs
from medfed.services import outlook_words
from medfed.services.hospital.privacy import Account, Spending
from medfed.services.outlook import Outlook
from medfed.services.part_list import part_json
from medfed.web.said import said

UNITS = {
    "patient": (
        _l("Each patient"),
        _l(
            "Paid by studies in which no patient is to show (dp-sgd), and by noised statistics. "
            "Shown is the patient who has spent most."
        ),
    ),
    "record": (
        _l("Each record"),
        _l(
            "Paid by studies that noise the records themselves (local-dp). Shown is the record "
            "that has spent most."
        ),
    ),
    "hospital": (
        _l("The hospital"),
        _l("Paid by studies in which no hospital is to show (hospital-dp)."),
    ),
}
RULES = {
    "proven": _l("proven: behind a filter"),
    "sum": _l("the sum alone"),
}


def unit(name: str) -> str:
    """Who pays."""
    return str(UNITS[name][0])


def unit_about(name: str) -> str:
    """For what."""
    return str(UNITS[name][1])


def epsilon(value: float) -> str:
    """ε with three digits that count."""
    return f"{value:.3g}"


def share(used: float) -> str:
    """A share in per cent."""
    return f"{used:.0%}" if math.isfinite(used) else "∞ %"


def left_share(used: float) -> str:
    """What is left of what a limit's filter admits."""
    return share(max(0.0, 1.0 - used))


def rule(balance: Balance) -> str:
    """What the limit is worth where studies are chosen on the way, and what to do beyond it."""
    if balance.rule == "sum":
        return str(
            _(
                "Added up without a filter: the limit is only proven if no study was chosen by "
                "somebody who had read the model or the figures of an earlier one."
            )
        )
    if not balance.proven:
        return str(
            _(
                "Nothing more is admitted: with it the limit would not be proven where studies are "
                "chosen by what earlier ones gave (%(used)s of what the filter admits is used). "
                "Raise the limit, or choose to add up without the filter; at the machine, "
                "medfed ledger set-limit --order takes another order than %(order)s.",
                used=share(balance.used),
                order=balance.order,
            )
        )
    return str(
        _(
            "The limit is proven, also where the next study is chosen by somebody who has read the "
            "model of the last one: a filter (Rényi, order %(order)s) refuses what would break "
            "that.",
            order=balance.order,
        )
    )


def replacing(accounts: Sequence[Account]) -> str:
    """What the limits of patients and records allow together."""
    by_unit = {each.unit: each.balance for each in accounts}
    epsilon_, delta = replacing_costs(by_unit["patient"], by_unit["record"])
    if delta >= 1:
        return str(
            _(
                "Patients and records have a limit each. To replace one patient by another may "
                "cost both: twice the first and the second, ε = %(epsilon)s at a δ of 1, which "
                "promises nothing. Whoever wants one promise for both lowers both.",
                epsilon=epsilon(epsilon_),
            )
        )
    if delta > WEAK_DELTA:
        return str(
            _(
                "Patients and records have a limit each. To replace one patient by another may "
                "cost both: twice the first and the second, ε = %(epsilon)s at δ = %(delta)s. With "
                "a δ as large as that next to nothing is promised of both together. Whoever wants "
                "one promise for both lowers both.",
                epsilon=epsilon(epsilon_),
                delta=f"{delta:.2g}",
            )
        )
    return str(
        _(
            "Patients and records have a limit each. To replace one patient by another may cost "
            "both: twice the first and the second, ε = %(epsilon)s at δ = %(delta)s. Whoever wants "
            "less for both together lowers both.",
            epsilon=epsilon(epsilon_),
            delta=f"{delta:.2g}",
        )
    )


def what(spending: Spending) -> str:
    """What a run was paid for."""
    found = []
    if spending.rounds:
        found.append(_("rounds of training: %(count)s", count=spending.rounds))
    if spending.questions:
        found.append(_("noised statistics: %(count)s", count=spending.questions))
    if spending.figures:
        found.append(_("final figures of test patients"))
    return "; ".join(found)


def wasted(spending: Spending) -> list[str]:
    """What was paid for without an answer that counted."""
    found = []
    if spending.lost:
        found.append(_("no answer has left the hospital (yet): %(count)s", count=spending.lost))
    if spending.lost is None:
        found.append(_("unknown: its receipts cannot be read"))
    if spending.again:
        found.append(_("rounds paid for again: %(count)s", count=spending.again))
    return found


def members(unit: str, count: int) -> str:
    """How many are in a group."""
    if unit == "hospital":
        return str(UNITS[unit][0])
    if unit == "record":
        return str(_("records: %(count)s", count=count))
    return str(_("patients: %(count)s", count=count))


def studies(runs: Iterable[str], titles: Mapping[str, str]) -> list[str]:
    """The titles of runs, each once."""
    return list(dict.fromkeys(titles.get(run, run) for run in runs))


def source(text: str) -> str:
    """Where patients come from, as the ledger knows it: its name, and what is not usual of it."""
    part: Mapping[str, object] = json.loads(text)
    name = str(part["name"])
    try:
        usual = {each["name"]: each["default"] for each in part_json("source", name)["options"]}
    except PartError:  # no longer installed
        usual = {}
    given = {k: v for k, v in part.items() if k != "name" and v != _plain(usual.get(k))}
    told = ", ".join(f"{key} = {value}" for key, value in given.items())
    return f"{name}: {told}" if told else name


def _plain(value: object) -> object:
    """A default as it comes out of JSON."""
    return list(value) if isinstance(value, tuple) else value


def outlook(each: Outlook) -> list[str]:
    """What a study would cost here, what is left for it, and last whether it fits."""
    return [said(sentence) for sentence in outlook_words.sentences(each)]
