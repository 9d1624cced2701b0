"""The encrypted sum: the coordinator adds ciphertexts, and the sites hold the key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from medfed.aggregators.secure.rules import FEWEST
from medfed.aggregators.secure.sum import retried
from medfed.core.aggregator import Answering, Ask, Gathered, Seat
from medfed.core.errors import PartError, Problem, Refused
from medfed.core.options import option
from medfed.core.update import Tensors, Update

SAID = {
    "keys": "a public key, and the names and shapes of what it will add to the sum",
    "context": "the encryption key, sealed for the other sites (one site a round makes it)",
    "encrypt": "its part of an encrypted sum: ciphertexts, which the coordinator cannot read",
    "open": "the decrypted sum of all sites (two sites a round decrypt it)",
}
_AGAINST = """
Protects each site's update, weight and figures from a coordinator that keeps to the rules, and \
from whoever reads its disk or its traffic: it adds ciphertexts and never holds the secret key.
Does not protect against one site together with the coordinator: TenSEAL has no threshold key, so \
every site holds the secret key, and the two could read any update. Nor does it protect against a \
coordinator that has the sites decrypt something else than the sum. The secure sum protects \
against both. Names and shapes of what is summed are seen.
Costs four exchanges a round, about 16 times the bytes of the update, and seconds of computing for \
every million parameters. Each element of a model's sum is good to eight millionths, and a \
statistic to that or to two parts in 10^15 of the largest one, times the number of sites.
"""
PROTECTION = tuple(_AGAINST.strip().splitlines())


@dataclass(frozen=True, slots=True)
class Ckks:
    """The weighted mean by homomorphic encryption (CKKS; needs the extra `he`).

    Each round one site makes a key and seals it for every other site; the coordinator relays what
    it cannot open, adds ciphertexts, and has two sites decrypt the sum, whose answers must agree.
    Every site holds the key: one of them together with the coordinator could read any update.
    """

    sees_sites: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    once: ClassVar[bool] = False
    expands: ClassVar[int] = 20
    """How many times the model's bytes a reply may have."""

    least: int = option(FEWEST, "Fewest sites in a sum; a site may insist on more", low=FEWEST)

    def __post_init__(self) -> None:
        from importlib.util import find_spec

        if find_spec("tenseal") is None:
            remedy = "Install it: pip install 'medfed[he]'"
            problem = Problem("aggregator", "needs the package tenseal", remedy)
            raise PartError("ckks cannot be used here", [problem])

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Hold the conversation; again under fresh keys where too many sites were lost in it.

        Raises:
            QuorumError: Too few sites are left.
            RunError: A site did not keep to the rules.
        """
        from medfed.aggregators.encrypted.coordinator import EncryptedConversation

        return retried(lambda: EncryptedConversation(ask), self.least)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Without a seat there is no answer: a site must know its peers.

        Raises:
            Refused: Always.
        """
        raise Refused("unknown-peer")

    def seated(self, seat: Seat) -> Answering:
        """The site's half."""
        from medfed.aggregators.encrypted.site import EncryptingSite

        return EncryptingSite(seat, self.least)

    def said(self, phase: str) -> str:
        """What an answer holds, in words."""
        return SAID.get(phase.partition("-")[0], "")

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """In words, for whoever approves a study."""
        return PROTECTION
