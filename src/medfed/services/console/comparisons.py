"""Comparisons in the console: what is asked for, and what came of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.errors import RunError, StudyError
from medfed.core.registry import names
from medfed.services.console.place import Place

RECIPES = ("federated", "local", "leave-one-out", "pooled")
MOST_SEEDS = 20
PICTURES = ("sites.png", "differences.png", "sites.svg", "differences.svg")
DOWNLOADS: Mapping[str, str] = {
    "comparison.json": "application/json",
    "comparison.html": "text/html; charset=utf-8",
    **{name: "image/png" if name.endswith("png") else "image/svg+xml" for name in PICTURES},
}


class Unusable(StudyError):
    """It was asked for in a way that cannot be."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison compares.

    Attributes:
        recipes: Among `RECIPES`, the first against all others.
        strategies: Strategies to try in the place of the study's.
        seeds: How many seeds, from the study's own on.

    Raises:
        Unusable: There are no such recipes or strategies, or too many seeds.
    """

    recipes: tuple[str, ...] = RECIPES
    strategies: tuple[str, ...] = ()
    seeds: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipes", tuple(self.recipes))
        object.__setattr__(self, "strategies", tuple(self.strategies))
        known = names("strategy")
        odd = [name for name in self.recipes if name not in RECIPES]
        odd += [name for name in self.strategies if name not in known]
        if odd:
            remedy = f"Choose among {', '.join((*RECIPES, *known))}"
            raise Unusable(f"{odd[0]} cannot be compared with", remedy=remedy)
        if len(self.recipes) + len(self.strategies) < 2:
            raise Unusable("one thing alone is no comparison", remedy="Choose two or more")
        if not 1 <= self.seeds <= MOST_SEEDS:
            remedy = f"Give 1 to {MOST_SEEDS}"
            raise Unusable(f"{self.seeds} seeds cannot be compared", remedy=remedy)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "recipes": list(self.recipes),
            "strategies": list(self.strategies),
            "seeds": self.seeds,
        }

    def words(self) -> list[str]:
        """As options of ``medfed compare``."""
        strategies = ["--strategies", ",".join(self.strategies)] if self.strategies else []
        return ["--recipes", ",".join(self.recipes), *strategies, "--seeds", str(self.seeds)]


class Comparisons:
    """What the comparisons of one console found.

    Args:
        place: Where their folders are.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def answer(self, run: str) -> dict[str, Any] | None:
        """What a comparison found, as ``comparison.json`` holds it; None before it is finished.

        The place of its folder on this machine is left out.
        """
        try:
            found = json.loads(self._path(run, "comparison.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise RunError(
                "the comparison's answer cannot be read", remedy="Restore its folder"
            ) from None
        return {key: value for key, value in found.items() if key != "out"}

    def file(self, run: str, name: str) -> Path | None:
        """A file of a finished comparison; None where it is not there or not to be shown."""
        path = self._path(run, name)
        return path if name in DOWNLOADS and path.is_file() else None

    def _path(self, run: str, name: str) -> Path:
        return self.place.run_folder(run) / name
