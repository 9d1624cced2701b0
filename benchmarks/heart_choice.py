"""How the recipe of the heart examples was chosen: cross-validation on training rows only.

FLamby's split; what a model is trained on or scored by is never a test row. Five folds inside each
hospital's training rows, five times; every candidate is FedAvg with 30 rounds and batches of 16 on
the inputs of examples/heart_flamby_split.toml, scaled by the training folds of all hospitals. The
rule: of the candidates whose accuracy (mean over the hospitals' own folds) is within one standard
error of the best, the one with the lowest log loss. ``--quick`` tries fewer, fewer times.
"""

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import report, row, with_data
from sklearn.model_selection import StratifiedKFold

from medfed.core.data import SiteData
from medfed.core.registry import Part, make
from medfed.core.strategy import Turn
from medfed.core.study import Study
from medfed.core.study_file import read_study
from medfed.core.task import Task
from medfed.core.update import MODEL, Tensors, add_updates, group

STUDY = Path(__file__).parents[1] / "examples" / "heart_flamby_split.toml"
EPOCHS, RATES, PENALTIES = (1, 5), (0.01, 0.03, 0.1), (0.0, 0.03, 0.1, 0.2, 0.3)
FOLDS = 5


def training_rows(study: Study, data: Path) -> list[SiteData]:
    """Each hospital's training rows; what else its file holds is dropped here."""
    opener, split = make("source", study.source), make("split", study.split)
    sites = []
    for name in study.sites:
        whole = SiteData.split(name, opener.open(data, name, study.sites), split, study.seed)
        sites.append(SiteData(name, whole.source, {"train": whole.sets["train"]}))
    return sites


def folds(sites: Sequence[SiteData], repeats: int) -> Iterator[tuple[int, list[SiteData]]]:
    """Every fold of every repeat: what is left out of the training rows is called test."""
    for repeat in range(repeats):
        cuts = []
        for site in sites:
            patients = np.array(site.sets["train"])
            ill = site.load("train")["num"].to_numpy() > 0
            folder = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat)
            with warnings.catch_warnings():  # Switzerland has fewer healthy patients than folds
                warnings.simplefilter("ignore")
                pairs = list(folder.split(patients, ill))
            cuts.append([(patients[kept], patients[out]) for kept, out in pairs])
        for fold in range(FOLDS):
            yield (
                repeat,
                [
                    SiteData(site.site, site.source, {"train": tuple(kept), "test": tuple(out)})
                    for site, (kept, out) in zip(sites, (cut[fold] for cut in cuts), strict=True)
                ],
            )


def facts_of(task: Task, sites: Sequence[SiteData]) -> dict[str, Any]:
    """The federated facts, as a run fits them."""
    facts: dict[str, Any] = {}
    for query in task.prepare():
        step: Any = query
        while not isinstance(step, Mapping):
            step = step.next(add_updates([step.local(site, facts) for site in sites]))
        facts[query.fact] = step
    return facts


def federated(strategy: Any, jobs: Sequence[Any], start: Tensors, rounds: int) -> Any:
    """The model after some rounds."""
    state = strategy.begin(start)
    for number in range(1, rounds + 1):
        turn = Turn(number, rounds, len(jobs))
        sent = strategy.sent(state)
        total = add_updates([strategy.train(sent, {}, job, turn)[0] for job in jobs])
        state = strategy.step(state, total, turn)
    return group(MODEL, strategy.sent(state))


def candidates(rates: Sequence[float]) -> dict[str, Any]:
    """The strategies to compare, by what is different in them."""
    return {
        f"{epochs} epochs, lr {lr}, l2 {l2}": make(
            "strategy",
            Part("fedavg", {"local_epochs": epochs, "batch_size": 16, "lr": lr, "l2": l2}),
        )
        for epochs, lr, l2 in itertools.product(EPOCHS, rates, PENALTIES)
    }


def cross_validate(
    study: Study, data: Path, rates: Sequence[float], repeats: int
) -> dict[str, dict[str, Any]]:
    """Accuracy and log loss of every candidate, mean over hospitals: one value a repeat."""
    # A fold may leave Switzerland without a healthy patient: it takes part all the same.
    lenient = Part(study.task.name, {**study.task.options, "one_class": "train"})
    task, tried = study.evolve(task=lenient).make_task(), candidates(rates)
    scores = {name: np.zeros((2, repeats)) for name in tried}
    for repeat, sites in folds(training_rows(study, data), repeats):
        facts = facts_of(task, sites)
        jobs = [task.job(site, facts, repeat, task.execution()) for site in sites]
        start = task.initial(repeat, facts)
        for name, strategy in tried.items():
            model = federated(strategy, jobs, start, study.rounds)
            found = [task.summarise(job.evaluate(model, "test")) for job in jobs]
            for place, metric in enumerate(("accuracy", "loss")):
                scores[name][place, repeat] += np.mean([f[metric].value for f in found]) / FOLDS
    return {
        name: {
            "accuracy": accuracy.mean(),
            "error": accuracy.std(ddof=1) / np.sqrt(repeats),
            "loss": loss.mean(),
        }
        for name, (accuracy, loss) in scores.items()
    }


def choose(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The rule: within a standard error of the best accuracy, the lowest log loss."""
    best = max(results.values(), key=lambda r: r["accuracy"])
    near = {k: r for k, r in results.items() if r["accuracy"] >= best["accuracy"] - best["error"]}
    return min(near, key=lambda name: near[name]["loss"])


def main() -> None:
    given, data = with_data(__doc__)
    tried = (RATES[1:2], 2) if given.quick else (RATES, 5)
    results = cross_validate(read_study(STUDY), data, *tried)
    chosen = choose(results)
    rows = []
    for name, result in results.items():
        title = f"{name} (chosen)" if name == chosen else name
        rows.append(row(f"{title}: accuracy", result["accuracy"], "", better="higher"))
        rows.append(row(f"{title}: log loss", result["loss"], "", better="lower"))
    report(rows, as_json=given.json)


if __name__ == "__main__":
    main()
