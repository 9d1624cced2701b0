"""What noised records promise, in sentences for people who must decide about it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medfed.core.rehearsal import site_plan
from medfed.core.study import Study
from medfed.privacy import words

if TYPE_CHECKING:
    from medfed.core.mechanism import Bounds
    from medfed.privacy.local_dp import LocalDp

RECORD = (
    "Protects what a training patient's record says, its inputs and its outcome: each is noised at "
    "the hospital before anything is computed from it."
)
INPUTS = (
    "Protects what a training patient's inputs say: each is noised at the hospital before anything "
    "is computed from it. Not the outcome, which is learnt as it is."
)
AGAINST = (
    "Against whoever reads the updates, the training loss and the model, in all rounds, and even "
    "against one who was given the noised records: the coordinator, the other hospitals, the "
    "public. Not against the hospital itself, which has the records."
)
PRESENCE = (
    "Does not hide who is among the patients, nor how many there are; for that write dp-sgd, which "
    "learns more at the same ε as well."
)
OWN_SUM = (
    "The ledger adds it up by itself, as what records cost: there a record is replaced by another, "
    "and in all other work a patient is added or removed. To replace a patient costs twice what "
    "the ledger says of patients, at a larger δ, and this."
)
DRAWN = (
    "The model learns from noised records: its weights are drawn towards zero, the more the less ε."
)
MANY = 3.0
"""Noise, in distances between the bounds, beyond which single inputs say next to nothing."""


def protects(mechanism: "LocalDp") -> Sequence[str]:
    """Whom it protects, and against whom."""
    return [INPUTS if mechanism.label_epsilon is None else RECORD, AGAINST]


def promise(mechanism: "LocalDp", study: Study) -> Sequence[str]:
    """What it promises in a study."""
    bounds = site_plan(study, study.sites[0]).bounds
    costs = [] if bounds is None else [_cost(mechanism, bounds)]
    held_out = words.held_out(mechanism.scores)
    return [*protects(mechanism), *costs, words.HELD_TO, OWN_SUM, PRESENCE, DRAWN, held_out]


def _cost(mechanism: "LocalDp", bounds: "Bounds") -> str:
    each, noise = mechanism.epsilon / bounds.inputs, mechanism.noise(bounds)
    inputs = (
        f"ε = {mechanism.epsilon:.3g} for {bounds.inputs} inputs, {each:.3g} each, by noise of "
        f"{noise:.3g} times its declared range"
    )
    if mechanism.label_epsilon is None:
        return f"Costs a training patient's record {inputs}; once a run, and without a δ."
    whole = mechanism.epsilon + mechanism.label_epsilon
    return (
        f"Costs a training patient's record ε = {whole:.3g}, once a run, and without a δ: "
        f"{inputs}; and ε = {mechanism.label_epsilon:.3g} for the outcome, turned over in "
        f"{mechanism.turned:.1%}."
    )


def warnings(mechanism: "LocalDp", study: Study) -> list[str]:
    """Why it may be a waste of effort."""
    found, whole = [], mechanism.epsilon + (mechanism.label_epsilon or 0.0)
    if whole > words.WEAK:
        found.append(
            f"ε = {whole:.3g} promises little; above {words.WEAK:g} the noise is mostly for show"
        )
    bounds = site_plan(study, study.sites[0]).bounds
    if bounds is not None and mechanism.noise(bounds) > MANY:
        found.append(
            f"the noise on each of {bounds.inputs} inputs is {mechanism.noise(bounds):.3g} times "
            "its declared range: little can be learnt from so many at this ε"
        )
    return found
