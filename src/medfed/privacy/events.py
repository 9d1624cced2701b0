"""A noisy answer as dp-accounting calls it."""

from typing import Any

from medfed.core.mechanism import NoisyAnswer

LEAST_NOISE = 0.05
"""Below it a single answer costs ε in the hundreds, and nobody needs to know in how many."""


def event_of(answer: NoisyAnswer) -> Any:
    """One answer as an event, however often it was given."""
    import dp_accounting  # slow to load

    kinds = {
        "gaussian": dp_accounting.GaussianDpEvent,
        "laplace": dp_accounting.LaplaceDpEvent,
    }
    event = kinds[answer.kind](answer.noise)
    if answer.rate >= 1.0:
        return event
    return dp_accounting.PoissonSampledDpEvent(answer.rate, event)


def renyi_answer(answer: NoisyAnswer) -> NoisyAnswer:
    """One answer whose Rényi divergence dp-accounting knows, and is not smaller.

    Of Laplace answers it knows those about everybody. To be drawn only by chance makes no
    divergence larger: a mixture is never further away than what is mixed (quasi-convexity).
    """
    return NoisyAnswer(answer.kind, answer.noise, 1.0 if answer.kind == "laplace" else answer.rate)
