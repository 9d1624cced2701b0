"""Splitting a site's patients by a hash of who they are."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medfed.core.data import Indices, SetName
from medfed.core.errors import PartError, Problem
from medfed.core.options import option


@dataclass(frozen=True)
class HashSplit:
    """Each patient falls by a hash of the identifier: nobody moves when others are added."""

    alone: ClassVar[bool] = True
    """Where a patient falls depends on that patient only, which privacy needs."""

    test: float = option(0.2, help="Share of the patients held out for the final figures", low=0)
    valid: float = option(0.0, help="Share held out for stopping and choosing", low=0)
    seed: int | None = option(None, help="Seed of the hash; the study's if silent", low=0)

    def __post_init__(self) -> None:
        check_shares(self.test, self.valid)

    def assign(
        self, patients: Sequence[str], strata: Sequence[Any] | None, seed: int
    ) -> Mapping[SetName, Indices]:
        """Split; ``strata`` play no part in it."""
        del strata
        chosen = seed if self.seed is None else self.seed
        ranks = np.array([_uniform(chosen, patient) for patient in patients])
        test = ranks < self.test
        valid = ~test & (ranks < self.test + self.valid)
        masks: dict[SetName, Any] = {"train": ~test & ~valid, "valid": valid, "test": test}
        return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def check_shares(test: float, valid: float) -> None:
    """Complain when nothing is left to train on."""
    if test + valid >= 1:
        message = f"test {test} and valid {valid} leave nobody to train on"
        problem = Problem("split", message, "Make the two shares sum to less than 1")
        raise PartError("the split cannot be used", [problem])


def _uniform(seed: int, patient: str) -> float:
    digest = hashlib.sha256(f"{seed}\x1f{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
