"""Options of parts: every wrong value gets a sentence."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from medfed.core.options import check, describe, did_you_mean, option


@dataclasses.dataclass(frozen=True)
class Example:
    """An example."""

    count: int = option(help="How many", low=1, high=9)
    rate: float = option(0.5, "How fast", above=0)
    name: str = option("mean", choices=("mean", "median"))
    on: bool = option(False)
    sizes: tuple[int, ...] = option((), "Sizes")
    seed: int | None = option(None, "Seed")
    extra: Mapping[str, Any] = option(dataclasses.MISSING, "A table")


GOOD = {"count": 3, "extra": {}}


@pytest.mark.parametrize(
    ("given", "field", "message", "remedy"),
    [
        ({"count": 0}, "count", "0 is too small", "Give 1 or more"),
        ({"count": 10}, "count", "10 is too large", "Give 9 or less"),
        ({"count": True}, "count", "True is not a whole number", "Give a whole number"),
        ({"count": 1.0}, "count", "1.0 is not a whole number", "Give a whole number"),
        ({"count": "3"}, "count", "'3' is not a whole number", "Give a whole number"),
        ({"rate": 0}, "rate", "0.0 is too small", "Give more than 0"),
        ({"rate": "x"}, "rate", "'x' is not a number", "Give a number"),
        ({"rate": float("nan")}, "rate", "nan is not a finite number", "Give a finite number"),
        ({"rate": float("inf")}, "rate", "inf is not a finite number", "Give a finite number"),
        ({"rate": 10**400}, "rate", "inf is not a finite number", "Give a finite number"),
        ({"name": "men"}, "name", "'men' is not one of the choices", "Choose one of: mean, median"),
        ({"name": 3}, "name", "3 is not text in quotes", "Give text in quotes"),
        ({"on": 1}, "on", "1 is not true or false", "Give true or false"),
        ({"sizes": 3}, "sizes", "3 is not a list", "Give a list, each a whole number"),
        ({"sizes": [1, "a"]}, "sizes", "is not a list, each", "Give a list"),
        ({"seed": "x"}, "seed", "'x' is not a whole number", "Give a whole number"),
        ({"extra": 1}, "extra", "1 is not a table", "Give a table"),
        ({"cuont": 1}, "cuont", "no such option", 'Did you mean "count"?'),
    ],
)
def test_a_wrong_value_is_explained(given, field, message, remedy):
    _, problems = check(Example, {**GOOD, **given}, "part")
    (problem,) = problems
    assert problem.field == f"part.{field}"
    assert message in problem.message
    assert remedy in problem.remedy


def test_all_problems_are_told_at_once_and_defaults_filled_in():
    values, problems = check(Example, {"rate": -1, "nmae": "x"}, "p")
    assert {p.field for p in problems} == {"p.count", "p.extra", "p.rate", "p.nmae"}
    assert values["name"] == "mean"
    values, problems = check(Example, {**GOOD, "rate": 1, "sizes": [1, 2], "seed": 4}, "p")
    assert not problems
    assert values["rate"] == 1.0
    assert isinstance(values["rate"], float)
    assert values["sizes"] == (1, 2)
    assert list(values) == [o.name for o in describe(Example)]


def test_an_option_that_came_later_is_not_filled_in():
    @dataclasses.dataclass(frozen=True)
    class Grown:
        """A part that has got another option."""

        old: int = option(1)
        new: int = option(2, later=True)

    assert check(Grown, {}, "p") == ({"old": 1}, [])
    assert check(Grown, {"new": 2}, "p") == ({"old": 1, "new": 2}, [])
    (problem,) = check(Grown, {"new": "x"}, "p")[1]
    assert problem.field == "p.new"


def test_options_describe_themselves():
    options = {o.name: o for o in describe(Example)}
    assert options["count"].required
    assert not options["rate"].required
    assert options["seed"].type_name == "a whole number"
    assert options["sizes"].type_name == "a list, each a whole number"
    assert {name: declared.form for name, declared in options.items()} == {
        "count": "whole",
        "rate": "number",
        "name": "text",
        "on": "truth",
        "seed": "whole",
        "sizes": "wholes",
        "extra": "table",
    }


def test_the_nearest_word_is_offered():
    assert did_you_mean("fedavgg", ["fedavg", "scaffold"]) == 'Did you mean "fedavg"?'
    assert did_you_mean("zzz", ["b", "a"]) == "Known: a, b"
    assert did_you_mean("zzz", []) == "Known: none"
