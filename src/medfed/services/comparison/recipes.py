"""What is compared: each recipe as runs of ordinary studies.

A recipe turns the study into one run a seed, or one run a seed and site. All of them are read, run
and resumed like any other study. What holds for every recipe:

- The patients fall into train, valid and test once, by the study's own seed, whatever seed a run
  trains with: differences between recipes are differences on the same patients.
- The baselines ``local`` and ``pooled`` do the same work a patient as the federated study: as many
  rounds, as many passes a round, the same local optimiser, learning rate and batch size. They are
  plain training (FedAvg with one site), without compression and privacy mechanisms, which nobody
  needs alone. Where the study counts optimiser steps and not passes, ``pooled`` takes the steps of
  all sites together, and the baselines take their steps in a quarter as many rounds, each four
  times as long: a round's end also ends the optimiser's memory of its gradients, which nobody who
  trains in one place would throw away so often. A study whose strategy has no local training
  (FedSGD) keeps it.
- ``leave-one-out`` is the study itself, strategy and all, without one site. Nothing of the site
  left out enters the run: its federated facts, too, come from the other sites only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.connectors.pooled import as_text
from medfed.core.contradictions import contradictions
from medfed.core.errors import Problem, StudyError
from medfed.core.options import describe, did_you_mean
from medfed.core.registry import Part, load, make
from medfed.core.study import Criteria, Sampling, Study
from medfed.core.study_file import read_study

POOLED_SITE = "pooled"
FEWER_ROUNDS = 4
"""How many rounds of a study make one of a baseline, where steps are counted."""


@dataclass(frozen=True)
class Fit:
    """One run of a recipe.

    Attributes:
        name: Its folder's name.
        study: What is run.
        seed: What training starts from.
        scored: The sites on whose test patients its model is scored.
    """

    name: str
    study: Study
    seed: int
    scored: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """A way to get a model for every site.

    Attributes:
        name: What people call it.
        about: What is done, in a sentence.
        fits: The runs of one seed.
        spares: Whether the comparison goes on when a run has too few usable sites.
    """

    name: str
    about: str
    fits: Callable[[int], Sequence[Fit]]
    spares: bool = False


def fixed_split(study: Study) -> Study:
    """The study with its split tied to its own seed, so that others train on the same patients.

    Raises:
        StudyError: The split cannot be tied down.
    """
    cls = load("split", study.split.name)
    if "seed" not in {option.name for option in describe(cls)}:
        message = f"the split {study.split.name} has no option seed, so seeds cannot be compared"
        raise StudyError(message, remedy="Use the split hash or shuffle")
    if study.split.options.get("seed") is not None:
        return study
    return study.evolve(split=Part(study.split.name, {**study.split.options, "seed": study.seed}))


def make_recipes(study: Study, wanted: Sequence[str], strategies: Sequence[str]) -> list[Recipe]:
    """The recipes by name.

    Args:
        study: The study, its split tied down (see `fixed_split`).
        wanted: Names among `BUILT_IN`, or paths of other study files.
        strategies: Strategies to put in the place of the study's.

    Raises:
        StudyError: An unknown recipe, or one that cannot be compared with this study.
    """
    if len(study.sites) < 2:
        message = f"a comparison needs two sites or more, the study has {len(study.sites)}"
        raise StudyError(message, remedy="Name more under sites")
    recipes = [_recipe(study, name) for name in dict.fromkeys(wanted)]
    recipes += [_other_strategy(study, name) for name in dict.fromkeys(strategies)]
    if not recipes:
        raise StudyError("no recipe was given", remedy=f"Name some of {', '.join(BUILT_IN)}")
    seen = [recipe.name for recipe in recipes]
    twice = sorted({name for name in seen if seen.count(name) > 1})
    if twice:
        message = f"two recipes are called {', '.join(twice)}"
        raise StudyError(message, remedy="Rename one of the study files")
    return recipes


def _recipe(study: Study, name: str) -> Recipe:
    if name in BUILT_IN:
        return BUILT_IN[name](study)
    if name.endswith(".toml"):
        return _other_study(study, Path(name))
    remedy = f"{did_you_mean(name, BUILT_IN)} Or give the path of a study file, NAME.toml"
    raise StudyError(f'there is no recipe called "{name}"', remedy=remedy)


def _federated(study: Study) -> Recipe:
    about = f"the study as written: {study.strategy.name} over all {len(study.sites)} hospitals"
    return _whole(study, "federated", about)


def _whole(study: Study, name: str, about: str) -> Recipe:
    def fits(seed: int) -> Sequence[Fit]:
        return [Fit(f"{name}-{seed}", study.evolve(seed=seed), seed, study.sites)]

    return Recipe(name, about, fits)


def _local(study: Study) -> Recipe:
    alone = _uninterrupted(_plain(study))

    def fits(seed: int) -> Sequence[Fit]:
        return [
            Fit(f"local-{seed}-{site}", _among(alone, (site,)).evolve(seed=seed), seed, (site,))
            for site in study.sites
        ]

    about = "each hospital alone: trained, scaled and tested on its own patients only"
    return Recipe("local", about, fits, spares=True)


def _leave_one_out(study: Study) -> Recipe:
    def fits(seed: int) -> Sequence[Fit]:
        return [
            Fit(
                f"leave-one-out-{seed}-{site}",
                _among(study, tuple(s for s in study.sites if s != site)).evolve(seed=seed),
                seed,
                (site,),
            )
            for site in study.sites
        ]

    about = "the study without one hospital, tested on the one that was left out"
    return Recipe("leave-one-out", about, fits, spares=True)


def _pooled(study: Study) -> Recipe:
    plain = _uninterrupted(_plain(study))
    options = {
        "source": as_text(study.source),
        "split": as_text(study.split),
        "among": study.sites,
        "where": study.cohort.where,
        "seed": study.seed,
    }
    together = plain.evolve(
        sites=(POOLED_SITE,),
        min_sites=1,
        sampling=Sampling(),
        source=Part("pooled", options),
        split=Part("pooled", {"valid": getattr(make("split", study.split), "valid", 0.0)}),
        cohort=Criteria((), study.cohort.min_patients),
        strategy=_with_steps(plain.strategy, len(study.sites)),
    )

    def fits(seed: int) -> Sequence[Fit]:
        return [Fit(f"pooled-{seed}", together.evolve(seed=seed), seed, study.sites)]

    about = "all patients in one place: possible only because all data lie on this machine"
    return Recipe("pooled", about, fits)


def _other_strategy(study: Study, name: str) -> Recipe:
    shared = _options_for(name, study.strategy.options)
    changed = study.evolve(strategy=Part(name, shared))
    _check(changed, name)
    return _whole(changed, name, f"the study with the strategy {name}, its other options alike")


def _other_study(study: Study, path: Path) -> Recipe:
    other = fixed_split(read_study(path).evolve(seed=study.seed))
    same = {
        "sites": set(other.sites) == set(study.sites),
        "[source]": other.source == study.source,
        "[split]": other.split == study.split,
        "[cohort]": other.cohort == study.cohort,
        "[task] metrics": other.make_task().higher_is_better == study.make_task().higher_is_better,
    }
    differing = [field for field, alike in same.items() if not alike]
    if differing:
        message = f"{path} cannot be compared with the study: {', '.join(differing)} differ"
        raise StudyError(message, remedy="Recipes must be tested on the same patients")
    return _whole(other, path.stem, f"the study {path.name}: {other.title}")


BUILT_IN: Mapping[str, Callable[[Study], Recipe]] = {
    "federated": _federated,
    "local": _local,
    "leave-one-out": _leave_one_out,
    "pooled": _pooled,
}
"""Recipes by name; `make_recipes` takes study files besides."""


def _among(study: Study, sites: tuple[str, ...]) -> Study:
    """The study with some of its sites only, each with the patients it had."""
    options = {"source": as_text(study.source), "among": study.sites}
    drawn = max(1, round(study.sampling.fraction * len(sites)))
    return study.evolve(
        sites=sites, min_sites=min(study.min_sites, drawn), source=Part("member", options)
    )


def _plain(study: Study) -> Study:
    """The study without all that only several sites need."""
    local_training = "local_epochs" in study.strategy.options
    options = _options_for("fedavg", study.strategy.options) | {"server_lr": 1.0}
    return study.evolve(
        strategy=Part("fedavg", options) if local_training else study.strategy,
        aggregator=Part("mean", {}),
        compression=None,
        privacy=(),
        sampling=Sampling(),
    )


def _options_for(strategy: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those options of another strategy that this one has too; its own defaults for the rest."""
    known = {option.name: option for option in describe(load("strategy", strategy))}
    shared = {name: value for name, value in given.items() if name in _LOCAL and name in known}
    defaults = {name: option.default for name, option in known.items() if not option.required}
    return {**defaults, **shared}


_LOCAL = frozenset(
    [
        *("lr", "lr_schedule", "lr_every", "lr_gamma", "local_epochs", "local_steps"),
        *("batch_size", "optimizer", "momentum", "l2"),
    ]
)
"""The options that say how a site trains; others mean something else in every strategy."""


def _uninterrupted(study: Study) -> Study:
    """The same steps in fewer and longer rounds, where no option counts in rounds."""
    options = study.strategy.options
    by_rounds = study.stop or options.get("lr_schedule") == "step"
    if options.get("local_steps") is None or by_rounds or study.rounds % FEWER_ROUNDS:
        return study
    return study.evolve(
        rounds=study.rounds // FEWER_ROUNDS, strategy=_with_steps(study.strategy, FEWER_ROUNDS)
    )


def _with_steps(strategy: Part, times: int) -> Part:
    steps = strategy.options.get("local_steps")
    if steps is None:
        return strategy
    return Part(strategy.name, {**strategy.options, "local_steps": steps * times})


def _check(study: Study, strategy: str) -> None:
    problems = contradictions(study)
    if problems:
        shown = [Problem(p.field, p.message, p.remedy) for p in problems]
        raise StudyError(f"the strategy {strategy} does not fit this study", shown)
