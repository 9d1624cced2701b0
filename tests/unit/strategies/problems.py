"""Convex problems behind `LocalJob`, written without medfed's own training loops."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from medfed.core.seeding import generator
from medfed.core.strategy import Turn
from medfed.core.task import LocalPlan, Trained
from medfed.core.update import State, add_updates


class Job:
    """A training loop over named arrays; subclasses say what loss and gradient are."""

    patients: int
    buffers: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.plans: list[LocalPlan] = []

    def names(self) -> tuple[str, ...]:
        raise NotImplementedError

    def slope(self, w, rows) -> tuple[dict[str, np.ndarray], float]:
        """Gradient and value of the mean loss over some patients."""
        raise NotImplementedError

    def after_step(self, w) -> None:
        """What a step does to buffers."""

    def trainable(self) -> frozenset[str]:
        return frozenset(self.names())

    def gradient(self, at, l2=0.0):
        slopes, loss = self.slope(at, np.arange(self.patients))
        return {k: g + l2 * at[k] for k, g in slopes.items()}, loss

    def train(self, start, plan: LocalPlan) -> Trained:
        assert plan.optimizer == "sgd"
        self.plans.append(plan)
        w = {k: np.array(v) for k, v in start.items()}
        free = [k for k in self.names() if may_change(k, plan.trainable)]
        velocity = {k: np.zeros_like(w[k]) for k in free}
        steps, loss_sum, seen = 0, 0.0, 0.0
        for rows in self.batches(plan):
            slopes, loss = self.slope(w, rows)
            for k in free:
                g = slopes[k] + plan.l2 * w[k]
                if plan.proximal:
                    g = g + plan.proximal * (w[k] - plan.anchor[k])
                if k in plan.correction:
                    g = g + plan.correction[k]
                velocity[k] = plan.momentum * velocity[k] + g
                w[k] = np.asarray(w[k] - plan.lr * velocity[k], start[k].dtype)
            self.after_step(w)
            steps, loss_sum, seen = steps + 1, loss_sum + loss * len(rows), seen + len(rows)
        return Trained(w, steps, loss_sum, seen)

    def batches(self, plan: LocalPlan):
        rng, left = generator(7, *plan.labels), plan.steps
        for _ in range(plan.epochs if left is None else left):
            order = rng.permutation(self.patients)
            for start in range(0, self.patients, plan.batch_size):
                if left is not None:
                    if not left:
                        return
                    left -= 1
                yield order[start : start + plan.batch_size]

    def evaluate(self, model, on):
        del model, on
        return {}

    def explain(self, model):
        del model
        return {}


def may_change(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)


class Quadratic(Job):
    """½(x − b)ᵀA(x − b), the same for each patient, so that batches do not matter."""

    def __init__(self, curvature, optimum, patients=10, *, epochs_factor=1) -> None:
        super().__init__()
        self.A, self.b = np.asarray(curvature, float), np.asarray(optimum, float)
        self.patients, self.factor = patients, epochs_factor

    def names(self):
        return ("x",)

    def slope(self, w, rows):
        off = w["x"] - self.b
        return {"x": self.A @ off}, float(off @ self.A @ off / 2)

    def batches(self, plan):
        steps = (plan.epochs if plan.steps is None else plan.steps) * self.factor
        return [np.arange(self.patients)] * steps


class Logistic(Job):
    """Logistic regression with a layer called body, one called head, and BatchNorm-like buffers."""

    buffers = frozenset({"bn.mean", "bn.count"})

    def __init__(self, X, y, valid=None) -> None:
        super().__init__()
        self.X, self.y, self.valid = X, y, valid
        self.patients = len(y)

    def names(self):
        return ("body.weight", "bn.shift", "head.bias")

    @staticmethod
    def start(features=3, dtype=np.float64):
        return {
            "body.weight": np.zeros(features, dtype),
            "bn.shift": np.zeros((), dtype),
            "bn.mean": np.zeros((), dtype),
            "bn.count": np.zeros((), np.int64),
            "head.bias": np.zeros((), dtype),
        }

    def slope(self, w, rows):
        return logistic_slope(w, self.X[rows], self.y[rows])

    def after_step(self, w) -> None:
        w["bn.count"] = np.asarray(w["bn.count"] + 1)
        w["bn.mean"] = np.asarray(0.9 * w["bn.mean"] + 0.1 * self.X.mean(), w["bn.mean"].dtype)

    def evaluate(self, model, on):
        rows = {"train": (self.X, self.y), "valid": self.valid}.get(on)
        if rows is None:
            return {}
        _, loss = logistic_slope(model, *rows)
        return {"loss": np.asarray(loss * len(rows[1]))}


def logistic_slope(w, X, y):
    z = X @ w["body.weight"] + w["bn.shift"] + w["head.bias"]
    error = 1 / (1 + np.exp(-z)) - y
    loss = float(np.mean(np.logaddexp(0, z) - y * z))
    mean = np.asarray(error.mean())
    return {"body.weight": X.T @ error / len(y), "bn.shift": mean, "head.bias": mean}, loss


def hospitals(sizes=(12, 30, 7), features=3, seed=0, dtype=np.float64):
    """Logistic sites whose patients differ in distribution."""
    rng = np.random.default_rng(seed)
    jobs = []
    for i, size in enumerate(sizes):
        X = rng.normal(i, 1.0, (size + 8, features)).astype(dtype)
        truth = rng.normal(0, 1, features)
        y = (rng.random(size + 8) < 1 / (1 + np.exp(-(X - i) @ truth))).astype(dtype)
        jobs.append(Logistic(X[:size], y[:size], (X[size:], y[size:])))
    return jobs


@dataclass
class Federation:
    """A round loop in a few lines."""

    strategy: object
    jobs: Sequence[Job]
    rounds: int
    pick: Callable[[int], Sequence[int]] | None = None
    mine: dict[int, Mapping[str, np.ndarray]] = field(default_factory=dict)
    updates: list = field(default_factory=list)

    def run(self, model) -> State:
        state = self.strategy.begin(model)
        for number in range(1, self.rounds + 1):
            state = self.round(state, number)
        return state

    def round(self, state: State, number: int) -> State:
        turn = Turn(number, self.rounds, len(self.jobs))
        sent = self.strategy.sent(state)
        self.updates = []
        for i in self.pick(number) if self.pick else range(len(self.jobs)):
            job = self.jobs[i]
            update, self.mine[i] = self.strategy.train(sent, self.mine.get(i, {}), job, turn)
            self.updates.append(update)
        return self.strategy.step(state, add_updates(self.updates), turn).evolve(round=number)

    def models(self, state: State):
        sent = self.strategy.sent(state)
        return [
            self.strategy.local_model(sent, self.mine.get(i, {})) for i in range(len(self.jobs))
        ]


def pooled_optimum(jobs: Sequence[Quadratic]):
    """Where the patient-weighted sum of quadratics is smallest."""
    total = sum(j.patients * j.A for j in jobs)
    return np.linalg.solve(total, sum(j.patients * j.A @ j.b for j in jobs))


def drift_point(jobs: Sequence[Quadratic], lr: float, steps: Sequence[int]):
    """FedAvg's fixed point: Σ pᵢ(I − (I − ηAᵢ)^Kᵢ)(bᵢ − x) = 0."""
    left, right = np.zeros_like(jobs[0].A), np.zeros_like(jobs[0].b)
    for job, k in zip(jobs, steps, strict=True):
        one = np.eye(len(job.b))
        pull = job.patients * (one - np.linalg.matrix_power(one - lr * job.A, k))
        left, right = left + pull, right + pull @ job.b
    return np.linalg.solve(left, right)


def quadratics(patients=(10, 40, 25)):
    """Three sites that disagree, in curvature and in optimum."""
    return [
        Quadratic([[4.0, 1.0], [1.0, 2.0]], [1.0, -2.0], patients[0]),
        Quadratic([[1.0, 0.0], [0.0, 5.0]], [-3.0, 1.0], patients[1]),
        Quadratic([[2.0, -0.5], [-0.5, 0.5]], [0.0, 4.0], patients[2]),
    ]


def same_bits(one, other) -> bool:
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and one[k].tobytes() == other[k].tobytes() for k in one
    )
