"""Reading a study from TOML: every problem named by line, field and remedy."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medfed.core.contradictions import contradictions
from medfed.core.errors import PartError, Problem, StudyError
from medfed.core.guideline import Guideline
from medfed.core.options import Option, check, describe, did_you_mean, option
from medfed.core.registry import Part, load, names
from medfed.core.study import (
    REQUIRED_PARTS,
    Criteria,
    Sampling,
    Stop,
    Study,
)
from medfed.core.toml_guard import complaint
from medfed.core.toml_lines import line_of, locate

PARTS = (*REQUIRED_PARTS, "compression")
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "split": {"name": "hash"},
    "aggregator": {"name": "mean"},
}


@dataclasses.dataclass(frozen=True)
class _Top:
    """The fields outside any table."""

    title: str = option(help="A name for people")
    question: str = option("", help="The clinical question, in words")
    sites: tuple[str, ...] = option(help="Names of the sites, such as north and south")
    rounds: int = option(help="How many rounds of training, 1 or more", low=1, high=1_000_000)
    min_sites: int | None = option(None, help="Replies a round needs; all sites if silent", low=1)
    deadline: float = option(3600.0, help="Seconds a site has for its reply", above=0)
    report: str | None = option(
        None,
        help="Whose figures are shown: all sites' too, unless the aggregator sees no single site",
        choices=("sites", "overall"),
    )
    keep: str = option("last", help="Which aggregate is the result", choices=("last", "best"))
    seed: int = option(0, help="Where all public randomness starts", low=0)


@dataclasses.dataclass(frozen=True)
class _Sampling:
    fraction: float = option(1.0, help="Share of the sites in a round", above=0, high=1)


@dataclasses.dataclass(frozen=True)
class _Stop:
    metric: str = option(help="Stop by this metric of the task")
    patience: int = option(5, help="Rounds without improvement", low=1)
    min_delta: float = option(0.0, help="What counts as improvement", low=0)


@dataclasses.dataclass(frozen=True)
class _Cohort:
    where: tuple[str, ...] = option((), help='Conditions such as "age >= 40"')
    min_patients: int = option(1, help="A site with fewer training patients refuses", low=1)


@dataclasses.dataclass(frozen=True)
class _Guideline:
    title: str = option(help="Title of the guideline that the model's results are read with")
    url: str = option(help="Address of its page, https://…")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `medfed compare` trains where it is not told otherwise; no site signs it."""

    recipes: tuple[str, ...] = option(
        ("federated", "local", "leave-one-out", "pooled"),
        help="What `medfed compare` trains, the first against all others; study files too",
    )
    strategies: tuple[str, ...] = option(
        (), help="Strategies that `medfed compare` tries in the place of the study's"
    )


LISTS: Mapping[str, str] = {"privacy": "mechanism", "statistics": "query"}
"""Tables that may be there several times, and the kind of part that each names."""
TABLES: Mapping[str, type] = {
    "sampling": _Sampling,
    "stop": _Stop,
    "cohort": _Cohort,
    "guideline": _Guideline,
    "compare": Comparison,
}


def study_fields() -> dict[str, tuple[Option, ...]]:
    """What a study holds besides parts: its fields by table, those outside any under ``""``."""
    return {table: describe(cls) for table, cls in {"": _Top, **TABLES}.items()}


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: With every problem found: its line, field and remedy.
    """
    remedy = "Give the path of a study file; `medfed study new` writes one"
    try:
        text = _text(path)
    except FileNotFoundError:
        raise StudyError(f"there is no file {path}", remedy=remedy) from None
    except IsADirectoryError:
        raise StudyError(f"{path} is a folder", remedy=remedy) from None
    except UnicodeDecodeError:
        raise StudyError(f"{path} is not UTF-8 text", remedy=remedy) from None
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from None
    return parse_study(text, str(path))


def _text(path: Path) -> str:
    """What a file says; some editors begin theirs with a mark of the byte order."""
    return path.read_text(encoding="utf-8-sig")


def read_comparison(path: Path) -> Comparison:
    """What a study file says under ``[compare]``; study files it names lie beside it.

    Args:
        path: A file that `read_study` takes.
    """
    told = Comparison(**tomllib.loads(_text(path)).get("compare", {}))
    beside = (str(path.parent / name) if name.endswith(".toml") else name for name in told.recipes)
    return dataclasses.replace(told, recipes=tuple(beside), strategies=tuple(told.strategies))


def parse_study(text: str, where: str = "study") -> Study:
    """Check the text of a study; see `read_study`."""
    if why := complaint(text):
        raise StudyError(f"{where} cannot be read: {why}", remedy="Write it more simply")
    try:
        given = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number with too many digits is the former
        raise StudyError(f"{where} is not valid TOML: {error}", remedy=_mend(text)) from None
    reader = _Reader(given)
    study = reader.study()
    problems = reader.problems if study is None else contradictions(study)
    if problems or study is None:
        lines = locate(text)
        placed = [dataclasses.replace(p, line=line_of(p.field, lines)) for p in problems]
        count = "one problem" if len(placed) == 1 else f"{len(placed)} problems"
        raise StudyError(f"{where} cannot be used: {count}", placed)
    return study


def _mend(text: str) -> str:
    """What to look at in a text that is no TOML."""
    if any(quote in text for quote in "\u201c\u201d\u201e\u2018\u2019"):
        return 'Write straight quotes (") in place of the curly ones'
    return 'Compare the line with an example: text stands in "quotes", lists in [brackets]'


class _Reader:
    """Collects a study's pieces and all complaints on the way."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given
        self.problems: list[Problem] = []

    def study(self) -> Study | None:
        top_names = {o.name for o in describe(_Top)}
        self._unknown_fields({*top_names, *PARTS, *TABLES, *LISTS})
        top = self._checked(_Top, {k: v for k, v in self.given.items() if k in top_names}, "")
        parts: dict[str, Any] = {kind: self._part(kind) for kind in PARTS}
        tables = {name: self._table(name) for name in TABLES}
        privacy, statistics = (self._list(name) for name in LISTS)
        if self.problems:
            return None
        if top["min_sites"] is None:
            top["min_sites"] = len(top["sites"])
        if top["report"] is None:
            top["report"] = "sites" if _sees_sites(parts["aggregator"]) else "overall"
        stop, guideline = tables["stop"], tables["guideline"]
        return Study(
            **top,
            **parts,
            privacy=privacy,
            statistics=statistics,
            cohort=Criteria(**tables["cohort"] or {}),
            sampling=Sampling(**tables["sampling"] or {}),
            stop=Stop(**stop) if stop else None,
            guideline=Guideline(**guideline) if guideline else None,
        )

    def _unknown_fields(self, known: set[str]) -> None:
        for name in self.given:
            if name not in known:
                self.problems.append(Problem(name, "no such field", did_you_mean(name, known)))

    def _checked(self, cls: type, given: Mapping[str, Any], where: str) -> dict[str, Any]:
        values, problems = check(cls, given, where)
        for problem in problems:
            field = problem.field.removeprefix(".")
            self.problems.append(dataclasses.replace(problem, field=field))
        return values

    def _table(self, name: str) -> dict[str, Any] | None:
        given = self.given.get(name)
        if given is None:
            return None
        if not isinstance(given, Mapping):
            self.problems.append(Problem(name, "is not a table", f"Write [{name}] on its own line"))
            return None
        return self._checked(TABLES[name], given, name)

    def _part(self, kind: str) -> Part | None:
        given = self.given.get(kind, DEFAULTS.get(kind))
        if given is None:
            if kind in REQUIRED_PARTS:
                known = ", ".join(names(kind))
                remedy = f"Add [{kind}] with a name; known: {known}"
                self.problems.append(Problem(kind, "is missing", remedy))
            return None
        return self._named(kind, kind, given)

    def _list(self, name: str) -> tuple[Part, ...]:
        given = self.given.get(name, [])
        if not isinstance(given, list):
            self.problems.append(Problem(name, "is not a list", f"Write [[{name}]]"))
            return ()
        parts = [self._named(LISTS[name], f"{name}[{i}]", part) for i, part in enumerate(given)]
        return tuple(part for part in parts if part)

    def _named(self, kind: str, where: str, given: Any) -> Part | None:
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            remedy = f'Write name = "…"; known: {", ".join(names(kind))}'
            self.problems.append(Problem(where, "has no name", remedy))
            return None
        try:
            cls = load(kind, given["name"])
        except PartError as error:
            found = error.problems or [Problem(kind, error.message, error.remedy)]
            self.problems += [dataclasses.replace(p, field=f"{where}.name") for p in found]
            return None
        options = {k: v for k, v in given.items() if k != "name"}
        return Part(given["name"], self._checked(cls, options, where))


def _sees_sites(aggregator: Part) -> bool:
    return bool(load("aggregator", aggregator.name).sees_sites)  # type: ignore[attr-defined]
