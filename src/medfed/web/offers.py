"""The comparison that a finished run's page offers: what it would take, or why it is refused."""

from dataclasses import dataclass

from medfed.core.errors import StudyError
from medfed.core.study import Study
from medfed.services.comparison.private import allowed, check_wish
from medfed.storage.database.tables import RunRow
from medfed.web import words

RECIPES = ("federated", "local", "pooled")
SEEDS = 3


@dataclass(frozen=True, slots=True)
class Offer:
    """A comparison with each hospital alone and with all patients pooled.

    Attributes:
        recipes: What would be compared.
        seeds: How often each is trained.
        models: How many models that makes.
        seconds: About how long it takes, by the run; None where that is not known.
        refused: Why there is none, and what to do; empty where there is.
        instead: Recipes that may be compared, where these may not.
    """

    recipes: tuple[str, ...] = RECIPES
    seeds: int = SEEDS
    models: int = 0
    seconds: float | None = None
    refused: words.Trouble | None = None
    instead: tuple[str, ...] = ()


def offer_of(row: RunRow, study: Study) -> Offer:
    """What may be offered beside a finished run."""
    if row.engine == "federation":
        return Offer(refused=words.not_here())
    if refused := _refusal(study, RECIPES):
        others = allowed(study)
        return Offer(refused=refused, instead=() if _refusal(study, others) else others)
    models = SEEDS * (len(RECIPES) - 1 + len(row.sites))
    took = (row.ended - row.started).total_seconds() if row.started and row.ended else None
    # Hospitals one by one train as long as all of them together do, and so does one with all.
    seconds = None if took is None else took * SEEDS * len(RECIPES)
    return Offer(models=models, seconds=seconds)


def _refusal(study: Study, recipes: tuple[str, ...]) -> words.Trouble | None:
    try:
        check_wish(study, recipes, ())
    except StudyError as error:
        return words.error(error)
    return None
