"""What sums have in common of which the coordinator sees no term: their half of a conversation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from medfed.aggregators.secure.phases import Phase
from medfed.aggregators.secure.rules import FEWEST, MOST_SITES
from medfed.core.aggregator import Answering, Ask, Gathered, Seat
from medfed.core.errors import Refused, RunError, WireError
from medfed.core.options import option
from medfed.core.update import Tensors, Update

if TYPE_CHECKING:
    from medfed.aggregators.secure.coordinator import Conversation

ATTEMPTS = 3
"""Conversations begun in a round before it is given up: each needs fewer sites than the last."""


@dataclass(frozen=True, slots=True)
class HiddenSum(ABC):
    """A sum among sites that know one another."""

    sees_sites: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    once: ClassVar[bool] = False
    most_sites: ClassVar[int] = MOST_SITES
    words: ClassVar[Mapping[str, str]] = {}
    """What an answer holds, by step."""

    least: int = option(FEWEST, "Fewest sites in a sum; a site may insist on more", low=FEWEST)

    @abstractmethod
    def conversation(self, ask: Ask) -> "Conversation":
        """One attempt at the sum, under fresh keys."""

    @abstractmethod
    def seated(self, seat: Seat) -> Answering:
        """The site's half."""

    @abstractmethod
    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """In words, for whoever approves a study of so many sites."""

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Hold the conversation; again under fresh keys where too many sites were lost in it.

        Raises:
            QuorumError: Too few sites are left.
            RunError: A site did not keep to the rules.
        """
        return retried(lambda: self.conversation(ask), self.least)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Without a seat there is no answer: a site must know its peers.

        Raises:
            Refused: Always.
        """
        raise Refused("unknown-peer")

    def said(self, phase: str) -> str:
        """What an answer holds, in words."""
        asked = Phase.read(phase)
        what = self.words.get(asked.step, "") if asked else ""
        return _what(what, asked.number, asked.of) if asked and asked.of > 1 else what


def _what(what: str, number: int, of: int) -> str:
    return f"{what} (part {number} of {of})"


def retried(begin: Callable[[], "Conversation"], least: int) -> Gathered:
    """Hold a conversation, and another where too many sites were lost in it.

    Raises:
        QuorumError: Too few sites are left.
        RunError: A site did not keep to the rules.
    """
    from medfed.aggregators.secure.coordinator import TooFew

    left = ATTEMPTS
    while True:
        left -= 1
        conversation = begin()
        try:
            return conversation.hold()
        except TooFew as error:
            if not left or error.left < max(FEWEST, least):
                raise error.naming(conversation.left_out) from None
        except (WireError, Refused) as error:
            message = f"the sum failed: {error.message}"
            remedy = "Install the same version of medfed everywhere"
            raise RunError(message, remedy=remedy) from None
