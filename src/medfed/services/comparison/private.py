"""Comparisons of studies with privacy lines: what may be compared at all, and what it costs.

A comparison shows figures of test patients without noise, and trains many times. So it takes a
study with privacy lines only where these declare the test patients public, and no recipe that
trains on the others without them. What its runs cost is told and paid by
`medfed.services.comparison.ledgers`.
"""

from collections.abc import Iterable, Sequence

from medfed.core.errors import StudyError
from medfed.core.registry import make
from medfed.core.study import Study
from medfed.services.comparison.recipes import BUILT_IN, Recipe, fixed_split, make_recipes

PLAIN = ("local", "pooled")
"""Recipes that are plain training, whatever the study's privacy lines say."""


def allowed(study: Study) -> tuple[str, ...]:
    """The built-in recipes that may be compared with a study."""
    return tuple(name for name in BUILT_IN if not (study.privacy and name in PLAIN))


def check_wish(study: Study, recipes: Sequence[str], strategies: Sequence[str]) -> None:
    """As `check_private`, for recipes by name; only what has privacy lines is looked at.

    Raises:
        StudyError: The study may not be compared like that.
    """
    if study.privacy:
        check_private(study, make_recipes(fixed_split(study), recipes, strategies))


def check_private(study: Study, recipes: Sequence[Recipe]) -> None:
    """Complain about what would show patients whom the privacy lines protect.

    Args:
        study: The study.
        recipes: What it is to be compared with.

    Raises:
        StudyError: Test patients are not declared public, or a recipe trains without noise.
    """
    studies = {recipe.name: recipe.fits(study.seed)[0].study for recipe in recipes}
    if not any(one.privacy for one in (study, *studies.values())):
        return
    _check_open(study, studies.values())
    plain = [name for name, one in studies.items() if not one.privacy]
    if plain:
        message = (
            f"{', '.join(plain)} would train without the study's privacy lines on the patients "
            "whom these protect"
        )
        rest = [name for name in studies if name not in plain]
        kept = ",".join(rest if len(rest) > 1 else allowed(study))
        remedy = (
            f"Compare {kept} alone (--recipes); or remove [[privacy]] if all patients are public"
        )
        raise StudyError(message, remedy=remedy)


def _check_open(study: Study, others: Iterable[Study]) -> None:
    """Are the test patients public, in every study that has privacy lines?"""
    closed = [
        part.name
        for one in (study, *others)
        for part in one.privacy
        if "test" not in make("mechanism", part).open_sets
    ]
    if closed:
        message = (
            "a comparison shows figures of the test patients without noise, and the study does not "
            f"declare these patients public ({', '.join(dict.fromkeys(closed))})"
        )
        remedy = (
            'Write scores = "public" under [[privacy]] if they are; if not, train it by medfed run'
        )
        raise StudyError(message, remedy=remedy)
