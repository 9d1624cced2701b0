"""What all built-in strategies have in common: one global model, moved by a mean of deltas."""

from typing import ClassVar

from medfed.core.strategy import Turn
from medfed.core.task import LocalJob
from medfed.core.update import BUFFERS, MODEL, State, Tensors, Update, group, grouped
from medfed.strategies.deltas import moved


class GlobalModel:
    """A strategy but for ``train``; others override what they do differently."""

    personal: ClassVar[bool] = False
    asynchronous: ClassVar[bool] = False
    needs_sum: ClassVar[bool] = False

    def begin(self, model: Tensors) -> State:
        """Start from the untrained model with an empty memory."""
        return State(0, dict(model))

    def sent(self, state: State) -> Tensors:
        """The global model."""
        return grouped(MODEL, state.model)

    def step(self, state: State, total: Update, turn: Turn) -> State:
        """Move the model along `direction`; buffers become their weighted mean."""
        direction, memory = self.direction(total, state.memory)
        # Without a memory nobody else holds on to the direction.
        model = moved(state.model, direction, self.stride(turn), spend=not memory)
        return state.evolve(model=moved(model, total.mean(BUFFERS), 1.0), memory=memory)

    def direction(self, total: Update, memory: Tensors) -> tuple[Tensors, Tensors]:
        """Where to move, and the memory for the next round: the mean delta, nothing kept."""
        return total.mean(MODEL), memory

    def stride(self, turn: Turn) -> float:
        """How far to move along the direction."""
        return 1.0

    def local_model(self, sent: Tensors, mine: Tensors) -> Tensors:
        """The global model."""
        return group(MODEL, sent)

    def finish(self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn) -> Tensors:
        """Nothing more to do."""
        return mine
