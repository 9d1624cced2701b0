"""What a privacy line promises, in sentences for people who must decide about it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from medfed.core.mechanism import SitePlan
from medfed.core.rehearsal import site_plan
from medfed.core.study import Study
from medfed.privacy.accountant import epsilon

if TYPE_CHECKING:
    from medfed.privacy.dp_sgd import DpSgd

DP_SGD_PROTECTS = (
    "Protects each training patient as a whole: all rows and scans of a patient are one unit."
)
AGAINST = (
    "Against whoever reads the updates and the model, in all rounds: the coordinator, the other "
    "hospitals, the public; even one who knows all other patients."
)
NOT_HIDDEN = (
    "Does not hide: whether a hospital takes part or refuses and why, how long its work takes, "
    "what is true of patients in general, and what leaves in other studies (the hospital's ledger "
    "adds those up)."
)


def dp_sgd(mechanism: "DpSgd", study: Study) -> Sequence[str]:
    """What DP-SGD promises in a study."""
    held_out = _scores(mechanism.scores)
    return [DP_SGD_PROTECTS, AGAINST, *_costs(mechanism, study), held_out, NOT_HIDDEN]


def _costs(mechanism: "DpSgd", study: Study) -> list[str]:
    """What it costs, sites of the same cost together."""
    plans = [site_plan(study, site) for site in study.sites]
    by: dict[str, list[str]] = {}
    for plan in plans:
        by.setdefault(_spent(mechanism, plan), []).append(plan.site)
    return [f"Costs a patient of {_listed(sites)} {spent}" for spent, sites in by.items()]


def _listed(sites: Sequence[str]) -> str:
    return sites[0] if len(sites) == 1 else f"{', '.join(sites[:-1])} or {sites[-1]}"


def _spent(mechanism: "DpSgd", plan: SitePlan) -> str:
    answers = mechanism.cost(plan).answers
    value = epsilon(answers, mechanism.delta)
    noises = [a.noise for a in answers]
    steps, rate = sum(a.times for a in answers), max(a.rate for a in answers)
    low, high = min(noises), max(noises)
    noise = f"{low:.3g}" if high - low < 1e-9 else f"{low:.3g} to {high:.3g}"
    return (
        f"ε = {value:.3g} at δ = {mechanism.delta:g}: {steps} steps, each with {rate:.3g} of the "
        f"patients and noise of {noise} clips."
    )


def _scores(how: str) -> str:
    if how == "public":
        return (
            "Validation and test patients are declared public: their figures leave as they are, "
            "and nothing protects them."
        )
    return "No figure of validation or test patients leaves, and no training loss."


def all_promises(study: Study) -> Iterator[tuple[str, Sequence[str]]]:
    """For each privacy line of a study its name and what it promises."""
    from medfed.core.registry import make

    for part in study.privacy:
        yield part.name, make("mechanism", part).promise(study)
