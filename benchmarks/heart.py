"""UCI heart disease on FLamby's split: the federated recipe, FLamby's own, and the references.

Accuracy; "mean own-test" is the mean over the four hospitals of the accuracy on their own test
patients. The interval draws test patients again within each hospital (accuracies averaged over the
seeds); seeds move the figure far less than patients do. The columns of reference are logistic
regression by scikit-learn on pooled rows: here the same problem is
solved by FedSGD, which is gradient descent on all patients, so one seed is enough.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from _common import Row, report, row, with_data

from medfed.core.registry import Part
from medfed.core.study import Study
from medfed.core.study_file import read_study
from medfed.services.comparison.recipes import fixed_split, make_recipes
from medfed.services.comparison.scoring import open_sites, score
from medfed.services.runs import RunOptions, start
from medfed.storage.run_folder import RunFolder

EXAMPLES = Path(__file__).parents[1] / "examples"
SEEDS = (42, 43, 44, 45, 46)
"""FLamby's."""
PUBLISHED = 0.685
"""FLamby's FedAvg, mean of .731, .719, .650 and .640."""
REFERENCE = {
    "pooled": {"cleveland": 0.779, "hungarian": 0.798, "switzerland": 0.813, "va": 0.822},
    "leave-one-out": {"cleveland": 0.798, "hungarian": 0.798, "switzerland": 0.688, "va": 0.822},
}
DRAWS = 10_000


def accuracies(study: Study, recipe: str, seeds: Sequence[int], data: Path) -> np.ndarray:
    """Accuracy on each hospital's own test patients: a row a seed, a column a hospital."""
    study = fixed_split(study)
    sites, task = open_sites(study, data), study.make_task()
    found = []
    for seed in seeds:
        values: dict[str, float] = {}
        for fit in make_recipes(study, [recipe], [])[0].fits(seed):
            with tempfile.TemporaryDirectory(prefix="medfed-heart-") as folder:
                run = Path(folder) / "run"
                start(fit.study, RunOptions(out=run, data=data))
                records = score(fit, RunFolder(run), sites, Path(folder) / "scores.npz")
            for site, stats in records.items():
                total = {name: rows.sum(axis=0) for name, rows in stats.items()}
                values[site] = task.summarise(total)["accuracy"].value
        found.append([values[site] for site in study.sites])
    return np.array(found)


def interval(by_site: np.ndarray, patients: Sequence[int]) -> tuple[float, float]:
    """95 % by drawing test patients again: of a share that is a binomial draw."""
    rng = np.random.default_rng(0)
    drawn = [rng.binomial(n, p, DRAWS) / n for p, n in zip(by_site, patients, strict=True)]
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    return float(low), float(high)


def recipe_rows(study: Study, seeds: Sequence[int], data: Path) -> list[Row]:
    """The federated recipe of the example."""
    found = accuracies(study, "federated", seeds, data)
    by_site = found.mean(axis=0)
    sites = open_sites(study, data)
    low, high = interval(by_site, [sites[site].count("test") for site in study.sites])
    name = "heart, federated recipe"
    return [
        row(f"{name}: mean own-test accuracy", float(by_site.mean()), "", 0.79, "higher"),
        row(f"{name}: 95 % interval, low", low, "", None, "higher"),
        row(f"{name}: 95 % interval, high", high, "", None, "higher"),
        row(f"{name}: standard deviation over seeds", _spread(found), ""),
        *(
            row(f"{name}: accuracy at {site}", float(value), "", None, "higher")
            for site, value in zip(study.sites, by_site, strict=True)
        ),
    ]


def flamby_rows(study: Study, seeds: Sequence[int], data: Path) -> list[Row]:
    """FLamby's recipe under its own normalisation."""
    found = accuracies(study, "federated", seeds, data)
    value = float(found.mean())
    return [
        row("heart, FLamby's FedAvg: mean own-test accuracy", value, "", None, "higher"),
        row("heart, FLamby's FedAvg: difference from .685", abs(value - PUBLISHED), "", 0.02),
        row("heart, FLamby's FedAvg: standard deviation over seeds", _spread(found), ""),
    ]


def reference_rows(study: Study, data: Path) -> list[Row]:
    """Logistic regression, pooled and leaving one hospital out, hospital by hospital."""
    options = {"lr": 1.0, "l2": 1 / 486}  # scikit-learn's C = 1 over 486 training patients
    plain = study.evolve(strategy=Part("fedsgd", options), rounds=150)
    rows = []
    for recipe, expected in REFERENCE.items():
        found = accuracies(plain, recipe, SEEDS[:1], data)[0]
        rows += [
            row(f"heart, {recipe} at {site}: difference from reference", gap, "", 0.02)
            for site, gap in _gaps(found, expected, study.sites).items()
        ]
    return rows


def _gaps(
    found: np.ndarray, expected: Mapping[str, float], sites: Sequence[str]
) -> dict[str, float]:
    return {
        site: abs(float(value) - expected[site]) for site, value in zip(sites, found, strict=True)
    }


def _spread(found: np.ndarray) -> float:
    return float(found.mean(axis=1).std(ddof=1))


def main() -> None:
    given, data = with_data(__doc__)
    seeds = SEEDS[:2] if given.quick else SEEDS
    recipe = read_study(EXAMPLES / "heart_flamby_split.toml")
    flamby = read_study(EXAMPLES / "heart_flamby.toml")
    rows = recipe_rows(recipe, seeds, data) + flamby_rows(flamby, SEEDS, data)
    report(rows + reference_rows(recipe, data), as_json=given.json)


if __name__ == "__main__":
    main()
