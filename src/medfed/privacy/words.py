"""What a privacy line promises, in sentences for people who must decide about it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from medfed.core.mechanism import SitePlan
from medfed.core.registry import Part
from medfed.core.rehearsal import noised_facts, site_plan
from medfed.core.study import Study
from medfed.privacy.accountant import epsilon

if TYPE_CHECKING:
    from medfed.privacy.dp_sgd import DpSgd
    from medfed.privacy.hospital_dp import HospitalDp

WEAK = 10.0
"""ε above which a promise is worth little."""
HOSPITAL_PROTECTS = (
    "Protects what each hospital's data, all together, added to the model; not that the hospital "
    "took part."
)
HOSPITAL_AGAINST = (
    "Against whoever reads the models: the other hospitals, the public. Not against the "
    "coordinator: it reads each hospital's clipped update (unless the aggregator hides it), and "
    "is trusted to add the noise."
)
HOSPITAL = (HOSPITAL_PROTECTS, HOSPITAL_AGAINST)

VARYING = {
    "rising": "by √2 more in the first of them and as much less in the last",
    "adaptive": "or by √2 more or less, by what the noised sums so far show; a filter sees to it "
    "before each round that all together cost no more",
}
DP_SGD_PROTECTS = (
    "Protects each training patient as a whole: all rows and scans of a patient are one unit."
)
AGAINST = (
    "Against whoever reads the updates and the model, in all rounds: the coordinator, the other "
    "hospitals, the public; even one who knows all other patients."
)
DP_SGD = (DP_SGD_PROTECTS, AGAINST)
STATISTICS = (
    "Protects each patient: whether they are among the patients, and what their record holds."
)
AGAINST_READERS = (
    "Against whoever reads the statistics, or what each hospital sends for them: the coordinator, "
    "the other hospitals, the public; even one who knows all other patients."
)
FACTS = "Protects each training patient: what their record holds does not show in the facts."
DECLARED = "Ranges and values are declared by the study, and public."
HELD_TO = (
    "Each hospital's ledger holds the study to that in all its runs together, but for rounds that "
    "came to nothing and are done anew: of those its privacy_repeats says how many (3 unless set)."
)
NOT_HIDDEN = (
    "Does not hide: whether a hospital takes part or refuses and why, how long its work takes, "
    "what is true of patients in general, and what leaves in other studies (the hospital's ledger "
    "adds those up)."
)


def dp_sgd(mechanism: "DpSgd", study: Study) -> Sequence[str]:
    """What DP-SGD promises in a study."""
    held = held_out(mechanism.scores)
    if mechanism.counts_scores:
        held = (
            "No figure of validation patients leaves, and no training loss. The final figures come "
            f"from noised counts, which cost a test patient ε = {mechanism.score_epsilon:.3g} at "
            f"δ = {mechanism.delta:g}; they have no intervals."
        )
    costs = _costs(mechanism, study)
    return [*DP_SGD, *costs, *weak(mechanism, study), HELD_TO, held, NOT_HIDDEN]


def _costs(mechanism: "DpSgd", study: Study) -> list[str]:
    """What it costs, sites of the same cost together."""
    by: dict[tuple[str, int, str, str], list[str]] = {}
    for plan in (site_plan(study, site) for site in study.sites):
        by.setdefault(_spent(mechanism, plan), []).append(plan.site)
    return [
        f"Costs a patient of {' / '.join(sites)} ε = {value} at δ = {mechanism.delta:g}: {steps} "
        f"steps, each with {rate} of the patients and noise of {noise} clips."
        for (value, steps, rate, noise), sites in by.items()
    ]


def _spent(mechanism: "DpSgd", plan: SitePlan) -> tuple[str, int, str, str]:
    """ε, steps, share of the patients in each, and noise in clips, as they are shown."""
    answers = mechanism.cost(plan).answers
    noises = [a.noise for a in answers]
    steps, rate = sum(a.times for a in answers), max(a.rate for a in answers)
    low, high = min(noises), max(noises)
    noise = f"{low:.3g}" if high - low < 1e-9 else f"{low:.3g} to {high:.3g}"
    return f"{epsilon(answers, mechanism.delta):.3g}", steps, f"{rate:.3g}", noise


def held_out(how: str) -> str:
    """What leaves of validation and test patients."""
    if how == "public":
        return (
            "Validation and test patients are declared public: their figures leave as they are, "
            "and nothing protects them."
        )
    return "No figure of validation or test patients leaves, and no training loss."


def weak(mechanism: "DpSgd", study: Study) -> list[str]:
    """A warning where a promise is worth little."""
    costs = {s: mechanism.cost(site_plan(study, s)).answers for s in study.sites}
    worst = max(epsilon(answers, mechanism.delta) for answers in costs.values())
    if worst <= WEAK:
        return []
    return [f"ε = {worst:.3g} promises little; above {WEAK:g} the noise is mostly for show"]


def hospital_dp(mechanism: "HospitalDp", study: Study) -> Sequence[str]:
    """What hospital-level privacy promises in a study."""
    plan = site_plan(study, study.sites[0])
    value = epsilon(mechanism.cost(plan).answers, mechanism.delta)
    noise, varying = f"{mechanism.update_noise(plan):.3g}", VARYING.get(mechanism.budget)
    cost = (
        f"Costs each hospital ε = {value:.3g} at δ = {mechanism.delta:g}: {plan.rounds} rounds, "
        f"each with noise of {noise} clips on the sum."
    )
    if varying:
        cost = (
            f"Costs each hospital ε = {value:.3g} at δ = {mechanism.delta:g}: {plan.rounds} "
            f"rounds, each with noise of {noise} clips on the sum, {varying}."
        )
    held, warnings = held_out(mechanism.scores), drowned(mechanism, study)
    return [*HOSPITAL, cost, HELD_TO, held, *warnings]


def drowned(mechanism: "HospitalDp", study: Study) -> list[str]:
    """A warning where noise is longer than any update can be."""
    plan = site_plan(study, study.sites[0])
    model = study.make_task().initial(study.seed, {})
    ratio = mechanism.noise_to_signal(plan, sum(np.size(v) for v in model.values()))
    text = (
        f"In the mean update the noise is {ratio:.3g} times as long as the longest update may be: "
        "with so few hospitals, or so large a model, little can be learnt."
    )
    return [text] if ratio > 1 else []


def all_warnings(study: Study) -> list[str]:
    """All warnings of a study's privacy lines."""
    from medfed.core.registry import make

    made = ((part.name, make("mechanism", part)) for part in study.privacy)
    return [f"{name}: {text}" for name, one in made for text in one.warnings(study)]


def all_promises(study: Study) -> Iterator[tuple[str, Sequence[str]]]:
    """For each privacy line of a study its name and what it promises; and its statistics."""
    from medfed.core.registry import make

    for part in study.privacy:
        yield part.name, make("mechanism", part).promise(study)
    if study.statistics:
        yield "statistics", _statistics(study)
    if facts := noised_facts(study):
        yield "facts", _facts(facts)


def _facts(parts: Sequence[Part]) -> list[str]:
    """What a model's noised facts promise."""
    from medfed.core.registry import make

    queries = [make("query", part) for part in parts]
    answers = [answer for query in queries for answer in query.cost().answers]
    value = epsilon(answers, min(query.delta for query in queries))
    cost = (
        f"Costs a training patient ε = {value:.3g}, for the means, spreads and most common values "
        "that inputs are scaled and gaps are filled by; each hospital adds the noise, once a run, "
        "and its ledger pays."
    )
    return [FACTS, AGAINST_READERS, cost, DECLARED]


def _statistics(study: Study) -> list[str]:
    """What noised statistics promise, all of a study's together."""
    from medfed.core.registry import make

    queries = [make("query", part) for part in study.statistics]
    answers = [answer for query in queries for answer in query.cost().answers]
    least = min(query.delta for query in queries)
    cost = (
        f"Costs every patient of the cohort, in whichever set, ε = {epsilon(answers, least):.3g} "
        f"at δ = {least:g}, for {len(queries)} asked once; each hospital adds the noise, and its "
        "ledger pays. A further run of the study pays again."
    )
    alone = "All else that the study asks for leaves without noise: it has no [[privacy]] lines."
    return [STATISTICS, AGAINST_READERS, cost, *([] if study.privacy else [alone])]
