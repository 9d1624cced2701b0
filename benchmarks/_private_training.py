"""Private training against plain, both through the site's workplace: a round's worth of steps."""

from typing import Any

import numpy as np
import torch
from _common import Row, ratio, row, timings
from _imaging import made_site
from torch import nn
from torch.nn import functional

from medfed.core.data import SetName
from medfed.core.task import Execution, LocalPlan
from medfed.frameworks.examples import Examples, TensorExamples
from medfed.frameworks.private import PrivateJob, Sampled
from medfed.frameworks.torch_job import Learning, TorchJob
from medfed.privacy.noise import SecretRandom
from medfed.tasks.segmentation import NoduleSegmentation

BATCH = 256
WIDTH, HIDDEN = 30, 256
PATCHES, SCANS = 2, 4


class Terms:
    """Public numbers for a benchmark: noise of one clip, as many patients a step as without."""

    clip = 1.0

    def __init__(self, patients: int, batch: int, steps: int) -> None:
        self.patients = patients
        self._how = Sampled(batch / patients, steps, 1.0)

    def sampled(self, plan: LocalPlan | None) -> Sampled:
        return self._how


def mlp(*, quick: bool) -> list[Row]:
    """A network of two hidden layers on a table, batches of 256."""
    rows, steps = BATCH * 8, 8 if quick else 64
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(rows, WIDTH)).astype(np.float32))
    sets: dict[SetName, Examples[Any]] = {"train": TensorExamples(x, (x[:, 0] > 0).float())}
    layers = nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
    module = nn.Sequential(*layers, nn.Linear(HIDDEN, 1))
    learning: Learning[Any] = Learning(loss=_bce, evaluate=lambda *_: {})
    plain = TorchJob("site", module, sets, learning, 0, Execution())
    return _rows(
        f"MLP, batch {BATCH}", plain, Terms(rows, BATCH, steps), BATCH, steps, 4.0, quick=quick
    )


def unet(*, quick: bool) -> list[Row]:
    """The 3D U-Net of nodule segmentation, as many patches a step as without privacy."""
    filters = (8, 16, 32) if quick else (16, 32, 64, 128)
    task = NoduleSegmentation(filters=filters, patches=PATCHES, crop=False)
    plain, steps = task.job(made_site(), {}, 1, task.execution()), 2 if quick else 6
    terms = Terms(plain.patients, SCANS, steps)
    return _rows("3D U-Net", plain, terms, SCANS * PATCHES, steps, 2.5, quick=quick)


def _rows(
    what: str,
    plain: TorchJob[Any],
    terms: Terms,
    batch: int,
    steps: int,
    limit: float,
    *,
    quick: bool,
) -> list[Row]:
    private = PrivateJob(plain, terms, SecretRandom())
    start = {k: v.detach().cpu().numpy().copy() for k, v in plain.module.state_dict().items()}
    plan = LocalPlan(steps=steps, batch_size=batch, lr=1e-3)
    took = timings(
        {
            "plain": lambda: plain.train(start, plan),
            "private": lambda: private.train(start, plan),
        },
        2 if quick else 7,
    )
    milliseconds = [1e3 * min(took[name]) / steps for name in ("private", "plain")]
    cost = ratio(took["private"], took["plain"])
    return [
        row(f"DP-SGD, {what}: a step against SGD", cost, "×", limit),
        row(f"DP-SGD, {what}: a step", milliseconds[0], "ms"),
        row(f"SGD, {what}: a step", milliseconds[1], "ms"),
    ]


def _bce(module: Any, batch: Any) -> torch.Tensor:
    features, labels = batch
    logits: torch.Tensor = module(features)[:, 0]
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
