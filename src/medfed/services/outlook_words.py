"""What a study would cost at a hospital, in sentences; pages translate them."""

import math

from medfed.core.mechanism import Unit
from medfed.services.outlook import Outlook

PAYS: dict[Unit, str] = {
    "patient": "a training patient",
    "record": "a training patient's record",
    "hospital": "a hospital",
}
"""Who pays."""


def sentences(each: Outlook) -> list[str]:
    """The price, what is spent and left, what would be, and last whether it fits."""
    before, who = each.before, PAYS[each.unit]
    found = [
        (
            f"By itself a whole run costs {who} ε = {each.alone:.3g} (at δ = {before.delta:g}), "
            "without rounds that are done anew."
        ),
        (
            f"This hospital allows ε = {before.limit:.3g} for all studies together; at most "
            f"{before.spent:.3g} is spent, and {before.left:.3g} is left."
        ),
    ]
    if each.then is None:
        found.append(f"Runs of this study have spent ε = {each.spent:.3g}.")
    else:
        found.append(_after(each.then.spent, each.then.left))
        if before.rule == "proven":
            found.append(
                "Of what the filter admits that proves the limit, "
                f"{_share(each.then.used)} would be used."
            )
    if each.unproven:
        found.append(
            "By the sum of all ε there is room for it, and not by the filter. The hospital can "
            "raise the limit, or add up without the filter; then the limit is only proven if no "
            "study was chosen by what an earlier one gave."
        )
    if each.crowded:
        found.append(
            f"δ = {before.delta:g} is too large for {each.crowd} patients, as many as a study had "
            "here: such work is refused until the hospital sets a smaller δ."
        )
    return [*found, _verdict(each)]


def too_dear(each: Outlook) -> str:
    """That ledgers which a run makes for itself have no room for all of it."""
    used = each.then.used if each.then else each.before.used
    return (
        f"a whole run costs {PAYS[each.unit]} ε = {each.alone:.3g} of the {each.before.limit:.3g} "
        f"that this run's own ledgers allow, at their δ = {each.before.delta:g}, and "
        f"{_share(used)} of what their filter admits: they will refuse its last rounds; give a "
        "smaller epsilon or delta, or run it with --sites, where hospitals set their own limits"
    )


def _after(spent: float, left: float) -> str:
    if not left:
        return (
            f"With a whole run of it at most {spent:.3g} would be spent: studies cost less "
            "together than one by one."
        )
    return (
        f"With a whole run of it at most {spent:.3g} would be spent, and {left:.3g} would be left: "
        "studies cost less together than one by one."
    )


def _verdict(each: Outlook) -> str:
    if not each.fits:
        return (
            "That is more than this hospital allows: it would refuse the rounds that pass the "
            "limit."
        )
    if each.then is None:
        return (
            "How much of it is still to be run is not known; what would pass the limit will be "
            "refused."
        )
    return "There is room for it here."


def _share(used: float) -> str:
    return f"{used:.0%}" if math.isfinite(used) else "∞ %"
