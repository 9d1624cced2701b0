"""Reading patients' rows out of what the model's first layer learned, step by step of a study."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from medfed.core.registry import make
from medfed.core.seeding import generator
from medfed.core.task import LocalJob
from medfed.core.update import MODEL, Tensors
from medfed.privacy.evidence.inversion import Rows, closest, correlations, errors, invert
from medfed.privacy.evidence.success import SURE
from medfed.services.evidence.lines import Lines
from medfed.services.evidence.opening import Finished
from medfed.services.evidence.rehearsal import first_update
from medfed.services.evidence.tables import Table

READ = 0.05
"""A row is called read when the guess is off by less than this part of its length."""
TRIED = 50
"""Patients looked at one by one."""

Layer = tuple[str, str]
"""Names of a layer's weight and bias."""


def inversion(run: Finished, table: Table | None) -> dict[str, Any]:
    """How well rows can be read from four things, from one bare gradient to the released model."""
    layer = first_layer(table.module) if table else None
    if table is None or layer is None:
        reason = "the model does not begin with a fully connected layer with a bias"
        return {"done": False, "reason": reason}
    steps = [*_steps(run, table, layer)]
    return {
        "done": True,
        "layer": layer[0].rpartition(".")[0],
        "inputs": table.rows.shape[1],
        "units": int(dict(table.module.named_parameters())[layer[1]].numel()),
        "steps": steps,
        "shown": any(step["shown"] for step in steps if step["leaves"]),
    }


def first_layer(module: nn.Module) -> Layer | None:
    """The layer that sees the inputs, if it is one from which rows can be read."""
    for name, part in module.named_modules():
        if not list(part.parameters(recurse=False)):
            continue
        reads = isinstance(part, nn.Linear) and part.bias is not None
        return (f"{name}.weight", f"{name}.bias") if reads else None
    return None


def _steps(run: Finished, table: Table, layer: Layer) -> Iterator[dict[str, Any]]:
    initial = run.task.initial(run.study.seed, run.facts)
    rng = generator(run.study.seed, run.site, "inversion")
    some = rng.permutation(table.trained)[:TRIED]
    sees = bool(make("aggregator", run.study.aggregator).sees_sites)
    yield from _sent(run, table, layer, initial, some, leaves=sees and not run.study.privacy)
    if run.study.privacy:
        for step in _sent(run, table, layer, initial, some, leaves=sees, private=True):
            yield {**step, "what": f"private-{step['what']}"}
    if not run.personal:
        moved = {name: run.model[name] - initial[name] for name in layer}
        yield {"what": "model", "leaves": True, **_together(table, layer, moved)}


def _sent(
    run: Finished,
    table: Table,
    layer: Layer,
    initial: Tensors,
    some: NDArray[np.int64],
    *,
    leaves: bool,
    private: bool = False,
) -> Iterator[dict[str, Any]]:
    """From one bare gradient to the site's update: without privacy lines, or under them."""

    def lines() -> Lines | None:
        return Lines(run.study, run.site) if private else None

    def gradient(job: LocalJob) -> Tensors:
        its = lines()
        found: Tensors = (its.wrap(job) if its else job).gradient(initial)[0]
        return found

    def update(job: LocalJob) -> Tensors:
        return first_update(run.study, initial, job, lines()).mean(MODEL)

    bare = _one_by_one(some, table, layer, gradient)
    yield {"what": "gradient", "leaves": False, **bare}
    if not any(isinstance(part, nn.BatchNorm1d) for part in table.module.modules()):
        # (Batch normalisation cannot be trained on one patient.)
        lone = _one_by_one(some, table, layer, update)
        yield {"what": "lone-patient", "leaves": False, **lone}
    everybody = table.learning_from(np.arange(table.trained))
    yield {"what": "update", "leaves": leaves, **_together(table, layer, update(everybody))}


def _one_by_one(
    patients: NDArray[np.int64], table: Table, layer: Layer, made: Any
) -> dict[str, Any]:
    """What is made of each patient alone, held against that patient's row."""
    rows, guesses = table.rows[patients], []
    for patient in patients:
        found = _inverted(made(table.learning_from(np.array([patient]))), layer)
        guesses.append(found[0] if len(found) else np.zeros(rows.shape[1]))
    return {**_figures(np.stack(guesses), rows), "held_out": None, "p": None, "shown": False}


def _together(table: Table, layer: Layer, made: Tensors) -> dict[str, Any]:
    """What is made of all patients, held against each; and against those who had no part in it."""
    guesses = _inverted(made, layer)
    if not len(guesses):
        nothing = {"patients": table.trained, "read": 0, "error": None, "correlation": None}
        return {**nothing, "held_out": None, "p": None, "shown": False}
    rows = table.rows
    mine, others = rows[: table.trained], rows[table.trained :]
    found = _figures(closest(guesses, mine), mine)
    control = _figures(closest(guesses, others), others)
    p = _more(found, control)
    return {**found, "held_out": control, "p": p, "shown": p < SURE}


def _inverted(made: Tensors, layer: Layer) -> Rows:
    """Guesses; none where the layer does not leave the site or did not move."""
    weight, bias = (made.get(name) for name in layer)
    if weight is None or bias is None:
        return np.zeros((0, 0))
    return invert(weight, bias)


def _figures(guesses: Rows, rows: Rows) -> dict[str, Any]:
    error = errors(guesses, rows)
    likeness = correlations(guesses, rows)
    likeness = likeness[np.isfinite(likeness)]
    middle = float(np.median(error))
    tells = rows.shape[1] > 2 and len(likeness)  # two points always lie on a line
    return {
        "patients": len(rows),
        "read": int((error < READ).sum()),
        "error": middle if np.isfinite(middle) else None,
        "correlation": float(np.median(likeness)) if tells else None,
    }


def _more(found: dict[str, Any], control: dict[str, Any]) -> float:
    """The probability of as many rows read, were those trained on no easier to read (Fisher)."""
    from scipy.stats import fisher_exact

    table = [[one["read"], one["patients"] - one["read"]] for one in (found, control)]
    return float(fisher_exact(table, alternative="greater").pvalue)
