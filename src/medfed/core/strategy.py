"""Both halves of a federated algorithm, in one short file each: state in, state out."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from medfed.core.task import LocalJob
from medfed.core.update import State, Tensors, Update


@dataclass(frozen=True, slots=True)
class Turn:
    """Which round this is (the first is 1), of how many, among how many sites in all."""

    round: int
    rounds: int
    sites: int


class Strategy(Protocol):
    """An algorithm. All methods are pure: what is kept travels in State or in ``mine``."""

    personal: ClassVar[bool]
    """Whether each site ends with a model of its own, assembled there."""
    asynchronous: ClassVar[bool]
    """Whether replies are taken in as they come (FedBuff) and not round by round."""
    needs_sum: ClassVar[bool]
    """Whether its state follows sums over sites (SCAFFOLD), which a robust rule does not give."""

    def begin(self, model: Tensors) -> State:
        """The state before the first round."""

    def sent(self, state: State) -> Tensors:
        """What travels down: tensors named ``group/name``, the model in the group ``model``."""

    def train(
        self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn
    ) -> tuple[Update, Tensors]:
        """At the site: train, and give the update and the site's memory for the next round."""

    def step(self, state: State, total: Update, turn: Turn) -> State:
        """At the coordinator: the next state; its round number is set by the round loop."""

    def local_model(self, sent: Tensors, mine: Tensors) -> Tensors:
        """The model a site evaluates: the global one, or its personal assembly."""

    def finish(self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn) -> Tensors:
        """At the site, after the last round: the memory to evaluate and keep (fine-tuning)."""
