"""torch.optim's update rules, without its optimiser objects.

The functional forms give the same bits as ``torch.optim.SGD`` and ``torch.optim.Adam``. They cost
a tenth per step of a small model, keep nothing between rounds by construction, and do not import
torch's compiler, which takes seconds at the first optimiser of a process.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from medfed.core.task import LocalPlan


class Optimizer:
    """One training's optimiser, from its plan.

    Args:
        parameters: What it changes, in place, by their ``grad``; those without one are left alone.
        plan: Which rule, learning rate, momentum and weight decay.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], plan: LocalPlan) -> None:
        self.parameters = parameters
        self.plan = plan
        self.momentum: dict[int, torch.Tensor | None] = {}
        self.moments: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def step(self) -> None:
        """One step along the gradients; call it without autograd."""
        live = [(i, p) for i, p in enumerate(self.parameters) if p.grad is not None]
        places = [i for i, _ in live]
        values: list[torch.Tensor] = [p for _, p in live]
        gradients = [p.grad for _, p in live if p.grad is not None]
        if self.plan.optimizer == "adam":
            self._adam(places, values, gradients)
        else:
            self._sgd(places, values, gradients)

    def _sgd(
        self, places: list[int], values: list[torch.Tensor], gradients: list[torch.Tensor]
    ) -> None:
        buffers = [self.momentum.get(i) for i in places]
        sgd(
            values,
            gradients,
            buffers,
            foreach=False,
            weight_decay=self.plan.l2,
            momentum=self.plan.momentum,
            lr=self.plan.lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        self.momentum.update(zip(places, buffers, strict=True))

    def _adam(
        self, places: list[int], values: list[torch.Tensor], gradients: list[torch.Tensor]
    ) -> None:
        for place, value in zip(places, values, strict=True):
            if place not in self.moments:
                zero = torch.zeros_like(value, requires_grad=False)
                self.moments[place] = (zero, zero.clone(), torch.tensor(0.0))
        kept = [self.moments[i] for i in places]
        adam(
            values,
            gradients,
            [first for first, _, _ in kept],
            [second for _, second, _ in kept],
            [],
            [steps for _, _, steps in kept],
            foreach=False,
            fused=False,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.plan.lr,
            weight_decay=self.plan.l2,
            eps=1e-8,
            maximize=False,
        )
