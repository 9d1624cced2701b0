"""The encrypted sum: the coordinator adds ciphertexts, and the sites hold the key."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from medfed.aggregators.encrypted.scheme import Scheme
from medfed.aggregators.hidden import HiddenSum
from medfed.core.aggregator import Answering, Ask, Seat
from medfed.core.errors import PartError, Problem

if TYPE_CHECKING:
    from medfed.aggregators.secure.coordinator import Conversation

SAID = {
    "keys": "a public key, and the names and shapes of what it will add to the sum",
    "context": "the encryption key, sealed for the other sites (one site a round makes it)",
    "encrypt": "its part of an encrypted sum: ciphertexts, which the coordinator cannot read",
    "open": "the end of an encrypted sum (decrypted by two sites a round, nothing from the others)",
}


def common_protection(why: str) -> tuple[str, str]:
    """What every encrypted sum protects and what it does not, in sentences.

    Args:
        why: All sites hold the key.
    """
    protection = (
        "Protects each site's update, weight and figures from a coordinator that keeps to the "
        "rules, and from whoever reads its disk or its traffic: it adds ciphertexts and never "
        "holds the secret key."
    )
    no_protection = (
        f"Does not protect against one site together with the coordinator: {why}, so every site "
        "holds the secret key, and the two could read any update. Nor does it protect against a "
        "coordinator that has the sites decrypt something else than the sum. The secure sum "
        "protects against both. Names and shapes of what is summed are seen."
    )
    return protection, no_protection


@dataclass(frozen=True, slots=True)
class EncryptedSum(HiddenSum):
    """A sum of ciphertexts.

    Each round one site makes a key and seals it for every other site; the coordinator relays what
    it cannot open, adds ciphertexts, and has two sites decrypt the sum, whose answers must agree.
    """

    words: ClassVar[Mapping[str, str]] = SAID
    name: ClassVar[str]
    module: ClassVar[str]
    """The package that encrypts."""
    expands: ClassVar[int]
    """How many times the model's bytes a reply may have."""

    def __post_init__(self) -> None:
        if find_spec(self.module) is None:
            remedy = "Install it: pip install 'medfed[he]'"
            problem = Problem("aggregator", f"needs the package {self.module}", remedy)
            raise PartError(f"{self.name} cannot be used here", [problem])

    @abstractmethod
    def scheme(self, sites: int) -> Scheme:
        """The encryption, for a study of so many sites."""

    @abstractmethod
    def agreed(self, terms: Sequence[Any]) -> Scheme:
        """The encryption that sites take for granted."""

    def conversation(self, ask: Ask) -> "Conversation":
        """One attempt at the sum, in four exchanges."""
        from medfed.aggregators.encrypted.coordinator import EncryptedConversation

        return EncryptedConversation(ask, self.agreed)

    def seated(self, seat: Seat) -> Answering:
        """The site's half."""
        from medfed.aggregators.encrypted.site import EncryptingSite

        return EncryptingSite(seat, self.least, self.scheme(len(seat.sites)))
