"""The sum encrypted by CKKS, which rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medfed.aggregators.encrypted.ckks_scheme import CkksScheme
from medfed.aggregators.encrypted.scheme import Scheme
from medfed.aggregators.encrypted.sum import EncryptedSum, common_protection

WHY = "TenSEAL has no threshold key"


@dataclass(frozen=True, slots=True)
class Ckks(EncryptedSum):
    """The weighted mean by homomorphic encryption (CKKS; needs ``medfed[he]``).

    Each round one site makes a key and seals it for every other site; the coordinator relays what
    it cannot open, adds ciphertexts, and has two sites decrypt the sum, whose answers must agree.
    Every site holds the key: one of them together with the coordinator could read any update.
    """

    name: ClassVar[str] = "ckks"
    module: ClassVar[str] = "tenseal"
    expands: ClassVar[int] = 20

    def scheme(self, sites: int) -> Scheme:
        """One set of parameters, whatever the number of sites."""
        return CkksScheme()

    def agreed(self, terms: Sequence[Any]) -> Scheme:
        """The same."""
        return CkksScheme()

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """In words, for whoever approves a study."""
        cost_of_protection = (
            "Costs four exchanges a round, about 16 times the bytes of the update, and seconds "
            "of computing for every million parameters. Each element of a model's sum is good "
            "to eight millionths, and a statistic to that or to two parts in 10^15 of the "
            "largest one, times the number of sites."
        )
        return (*common_protection(WHY), cost_of_protection)
