"""The sum encrypted by packed Paillier, which is exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medfed.aggregators.encrypted.paillier_scheme import MOST, PaillierScheme
from medfed.aggregators.encrypted.scheme import Scheme
from medfed.aggregators.encrypted.sum import EncryptedSum, common_protection
from medfed.core.options import option

WHY = "the key is not divided among the sites"


@dataclass(frozen=True, slots=True)
class Paillier(EncryptedSum):
    """The weighted mean by homomorphic encryption (packed Paillier; needs ``medfed[he]``).

    Ninety-four numbers share a ciphertext (Zhang et al. 2020, "BatchCrypt", USENIX ATC). Each round
    one site makes a key and seals it for every other site; two sites decrypt the sum, and must find
    the same. Every site holds the key: one of them together with the coordinator could read any
    update. Exact where CKKS is not, and far slower.
    """

    name: ClassVar[str] = "paillier"
    module: ClassVar[str] = "heu"
    expands: ClassVar[int] = 8
    most_sites: ClassVar[int] = MOST

    reach: float = option(
        131072.0,
        "Largest element of an update times its weight (patients); beyond, it is clipped",
        above=0.0,
        high=1e12,
    )

    def scheme(self, sites: int) -> Scheme:
        """Fixed point for so many sites."""
        return PaillierScheme(float(self.reach), sites)

    def agreed(self, terms: Sequence[Any]) -> Scheme:
        """The fixed point that sites agree on."""
        return PaillierScheme(*terms[-2:])

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """In words, for whoever approves a study."""
        cost_of_protection = (
            "Costs four exchanges a round, about twice the bytes of the update, ten seconds for"
            " keys, and for every million parameters half a minute of computing at each site "
            "and two minutes at the two that decrypt. Each element is rounded as in the secure "
            "sum, which each round reports; the sum of the rounded ones is exact."
        )
        return (*common_protection(WHY), cost_of_protection)
