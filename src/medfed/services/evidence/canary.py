"""Canaries against a study's own privacy lines: is there as much noise as is claimed?

A canary is an outlier whose part every clip makes as long as it may be. Many are put through the
mechanisms as the run used them (noise, clip, sampling, rounds), each with a place of its own, and
somebody who knows all but that guesses of each whether it was there. No patient is looked at, and
nothing is paid: the till is free.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medfed.core.ledger import Accountant
from medfed.core.mechanism import Mechanism, NoisyAnswer, SitePlan, covered, merge
from medfed.core.task import Execution, LocalJob, LocalPlan
from medfed.core.update import Array, Stats, Tensors, Update
from medfed.frameworks.examples import TableBatch, TensorExamples
from medfed.frameworks.torch_job import Learning, TorchJob
from medfed.privacy.accountant import LossAccountant
from medfed.privacy.audit import CONFIDENCE, most_noise, scaled
from medfed.privacy.dp_sgd import DpSgd
from medfed.privacy.hospital_dp import CLIP, HospitalDp
from medfed.privacy.local_dp import LocalDp
from medfed.services.evidence.lines import FreeTill, Lines
from medfed.services.evidence.opening import Finished

CANARIES = 1000
"""At once, and as many places where none is."""
TURNS = 4
SIZE = 1e6
"""How far out they lie; clips make of it what they allow."""

Seen = tuple[NDArray[np.float64], NDArray[np.float64], float, tuple[NoisyAnswer, ...]]
"""What was measured without canaries and with them, the threshold, and what would be paid."""


def canaries(run: Finished) -> list[dict[str, Any]]:
    """For each of the study's privacy lines the least that a run under it costs, and the claim."""
    lines, entries = Lines(run.study, run.site), _entries(run)
    return [
        {"mechanism": part.name, "unit": one.unit, **_canary(run, lines.plan, one, entries)}
        for part, one in zip(run.study.privacy, lines.mechanisms, strict=True)
    ]


def _entries(run: Finished) -> list[Any] | None:
    """The ledger's entries of the run; None where the ledger is not here."""
    if run.own_folder is None:
        return None
    from medfed.services.sites import open_ledger  # slow import

    return [e for e in open_ledger(run.own_folder).entries() if e.run == run.record["run"]]


def _canary(
    run: Finished, plan: SitePlan, mechanism: Mechanism, entries: list[Any] | None
) -> dict[str, Any]:
    look = LOOKS.get(type(mechanism))
    if look is None:
        return {"done": False, "reason": "no canary is known for this mechanism"}
    own = None if entries is None else [e for e in entries if e.unit == mechanism.unit]
    trained = sorted({e.round for e in own or () if e.purpose == "train"})
    rounds = trained or range(1, int(run.result.get("rounds", plan.rounds)) + 1)
    without, there, threshold, answers = look(mechanism, plan, rounds)
    share = most_noise(without, there, threshold, answers)
    least, claimed = _epsilons(LossAccountant(), answers, share, mechanism.delta)
    paid = None if own is None else tuple(a for e in own for a in e.answers)
    return {
        "done": True,
        "claimed": claimed,
        "delta": mechanism.delta,
        "least": least,
        "noise": share if np.isfinite(share) else None,
        "draws": len(without),
        "confidence": CONFIDENCE,
        "paid": None if paid is None else covered(answers, paid),
        "shown": share < 1.0,
    }


def _epsilons(
    accountant: Accountant, answers: Sequence[NoisyAnswer], share: float, delta: float
) -> tuple[float, float]:
    """ε with the most noise that explains what was seen, and with that which is claimed."""
    least = accountant.epsilon(scaled(answers, share), delta) if np.isfinite(share) else 0.0
    return least, accountant.epsilon(answers, delta)


# --- what is looked at ----------------------------------------------------------------------------


def _in_steps(mechanism: DpSgd, plan: SitePlan, rounds: Sequence[int]) -> Seen:
    """DP-SGD: patients whose gradient is the same in every step, each along an axis of its own."""
    till, job = FreeTill(), _outliers()
    private = mechanism.wrap(job, plan, till)
    found, expected = np.zeros((TURNS, 2 * CANARIES)), 0.0
    for turn in range(TURNS):
        till.paid.clear()
        expected = 0.0
        for till.round in rounds:
            for work in plan.work:
                moved = _moved(private, work)
                answer = till.paid[-1]
                rate = answer.rate if work is not None else 1.0
                sums = moved * rate * mechanism.patients[plan.site] / mechanism.clip
                found[turn] += sums / answer.noise**2
                expected += answer.rate * answer.times / answer.noise**2
    return _halves(found, expected / 2.0, till)


def _outliers() -> TorchJob[TableBatch]:
    layer = nn.Linear(2 * CANARIES, 1, bias=False)
    nn.init.zeros_(layer.weight)
    features = SIZE * torch.eye(CANARIES, 2 * CANARIES)
    sets: Any = {"train": TensorExamples(features, torch.zeros(CANARIES))}

    def loss(module: nn.Module, batch: TableBatch) -> torch.Tensor:
        found: torch.Tensor = module(batch[0])[:, 0]
        return found

    def evaluate(_: nn.Module, __: Any) -> Stats:
        return {}

    learning = Learning(loss=loss, evaluate=evaluate)
    return TorchJob("canaries", nn.Sequential(layer), sets, learning, 0, Execution())


def _moved(job: LocalJob, work: LocalPlan | None) -> Array:
    """By how much each place moved in some work, against its gradient."""
    start: Tensors = {"0.weight": np.zeros((1, 2 * CANARIES), np.float32)}
    if work is None:
        return np.asarray(job.gradient(start)[0]["0.weight"][0], np.float64)
    # What an optimiser makes of noised gradients costs nothing: the plainest shows them best.
    plain = LocalPlan(work.epochs, work.steps, work.batch_size, lr=1.0, labels=work.labels)
    return np.asarray(-job.train(start, plain).tensors["0.weight"][0], np.float64)


def _in_sums(mechanism: HospitalDp, plan: SitePlan, rounds: Sequence[int]) -> Seen:
    """Hospital-level privacy: hospitals whose update is longer than any clip."""
    till = FreeTill()
    found, expected = np.zeros((TURNS, 2 * CANARIES)), 0.0
    for turn in range(TURNS):
        till.paid.clear()
        memory: Tensors = {}
        expected = 0.0
        for till.round in rounds:
            asked = mechanism.asks(memory)
            sent, noise = _hospitals(mechanism, plan, asked)
            till.paid.append(NoisyAnswer("gaussian", noise))
            total, memory = mechanism.on_total(sent, plan, memory)
            found[turn] += total.tensors["model/canary"] / float(asked[CLIP]) / noise**2
            expected += 1.0 / noise**2
    return _halves(found, expected / 2.0, till)


def _hospitals(mechanism: HospitalDp, plan: SitePlan, asked: Any) -> tuple[Update, float]:
    """The sum of all canaries' updates, as their sites would send them; what each would pay."""
    till, total = FreeTill(), np.zeros(2 * CANARIES)
    for place in range(CANARIES):
        update = np.zeros(2 * CANARIES)
        update[place] = SIZE
        sent = Update({"model/canary": update}, {"model": 1.0}, {})
        total += mechanism.on_site(sent, plan, till, asked).tensors["model/canary"]
    return Update({"model/canary": total}, {"model": float(plan.sites)}, {}), till.paid[-1].noise


def _in_records(mechanism: LocalDp, plan: SitePlan, _: Sequence[int]) -> Seen:
    """Noised records: two as far apart as the declared bounds allow."""
    bounds, draws = plan.bounds, TURNS * CANARIES
    assert bounds is not None  # noqa: S101  # else the study was refused
    scale = mechanism.noise(bounds) * (bounds.high - bounds.low)
    seen = []
    for end, outcome in ((bounds.low, 0), (bounds.high, 1)):
        rows = mechanism.records(np.full((draws, bounds.inputs), end, np.float32), bounds)
        rows = rows.astype(np.float64)
        likelier = (np.abs(rows - bounds.low) - np.abs(rows - bounds.high)).sum(axis=1) / scale
        if mechanism.label_epsilon is not None:
            told = mechanism.outcomes(np.full(draws, outcome))
            likelier += np.where(told == 1, 1.0, -1.0) * mechanism.label_epsilon
        seen.append(likelier)
    return seen[0], seen[1], 0.0, mechanism.cost(plan).answers


def _halves(found: NDArray[np.float64], threshold: float, till: FreeTill) -> Seen:
    return found[:, CANARIES:].ravel(), found[:, :CANARIES].ravel(), threshold, merge(till.paid)


LOOKS: dict[type, Callable[[Any, SitePlan, Sequence[int]], Seen]] = {
    DpSgd: _in_steps,
    HospitalDp: _in_sums,
    LocalDp: _in_records,
}
"""How each mechanism is looked at."""
