"""Small real runs to attack: models with more inputs than patients learn noise by heart."""

import numpy as np

from medfed.core.study_file import parse_study
from medfed.services import runs

COLUMNS = [f"c{i}" for i in range(200)]
TEXT = """
title = "Learned by heart"
question = "Does noise tell the outcome?"
sites = {sites}
rounds = {rounds}
seed = 5
[source]
name = "csv"
patient = "patient"
[split]
name = "hash"
test = 0.5
[task]
name = "tabular-classification"
target = "ill"
numeric = {columns}
hidden = {hidden}
[strategy]
name = "{strategy}"
{options}
{tables}
"""
BY_HEART = "local_epochs = 30\nbatch_size = 16\nlr = 0.2"


def write_tables(folder, sites=("north",), seed=0, patients=100):
    """Noise, and an outcome that has nothing to do with it; names do not depend on the seed."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for site in sites:
        values = rng.normal(50, 10, (patients, len(COLUMNS))).round(2)
        ill = rng.integers(0, 2, patients)
        lines = [",".join(["patient", *COLUMNS, "ill"])]
        lines += [
            ",".join([f"{site}{i:04d}", *map(str, values[i]), str(ill[i])]) for i in range(patients)
        ]
        (folder / f"{site}.csv").write_text("\n".join(lines) + "\n")
    return folder


def study_text(
    *, sites=("north",), rounds=2, hidden=(), strategy="fedavg", options=BY_HEART, tables=""
):
    listed = str(list(sites)).replace("'", '"')
    columns = str(COLUMNS).replace("'", '"')
    return TEXT.format(
        sites=listed,
        rounds=rounds,
        columns=columns,
        hidden=list(hidden),
        strategy=strategy,
        options=options,
        tables=tables,
    )


def run_here(out, data, **changes):
    """Run a study to its result, without a report."""
    text = study_text(**changes)
    options = runs.RunOptions(out, data=data, report=False)
    runs.start(parse_study(text), options, text)
    return out
