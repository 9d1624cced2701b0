"""Options of a part: declared as dataclass fields, checked the same way everywhere."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from medfed.core.errors import Problem


@dataclass(frozen=True, slots=True)
class Option:
    """What a person may set on a part: name, type, default, meaning and bounds."""

    name: str
    type: Any
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[Any, ...] = ()
    later: bool = False

    @property
    def required(self) -> bool:
        """Whether a study must set it."""
        return self.default is dataclasses.MISSING

    @property
    def type_name(self) -> str:
        """The type in words that a TOML writer knows."""
        return _type_name(self.type)

    @property
    def form(self) -> str:
        """How a form asks for it.

        ``truth``, ``number``, ``whole``, ``text``, ``table`` or, with an ``s``, a list of those.
        """
        return _form(self.type)


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",  # noqa: A002  # the word people know from every command line
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Sequence[Any] = (),
    later: bool = False,
) -> Any:
    """Declare an option of a part, as a dataclass field.

    Args:
        default: Its value when the study is silent; without one the option is required.
        help: One line in words, shown by ``medfed parts``.
        low: Smallest value allowed.
        high: Largest value allowed.
        above: The value must be greater than this one.
        choices: The only values allowed.
        later: Whether it came when studies had been approved: one that is silent about it does not
            hold it, and keeps its digest.

    Returns:
        A dataclass field.
    """
    metadata = {
        "help": help,
        "low": low,
        "high": high,
        "above": above,
        "choices": tuple(choices),
        "later": later,
    }
    return dataclasses.field(default=default, metadata={"option": metadata}, kw_only=True)


def describe(part: type) -> tuple[Option, ...]:
    """The options of a part class, in the order they are declared."""
    hints = typing.get_type_hints(part)
    return tuple(
        Option(f.name, hints[f.name], f.default, **f.metadata["option"])
        for f in dataclasses.fields(part)
        if "option" in f.metadata
    )


def check(part: type, given: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[Problem]]:
    """Check the options given for a part and fill in its defaults.

    Args:
        part: The part's dataclass.
        given: Option names and values, as read from TOML or JSON.
        where: The field's place in the study, such as ``strategy``.

    Returns:
        The options with their values, without those that came later and are not given; and every
        problem found.
    """
    known = {o.name: o for o in describe(part)}
    problems = [
        Problem(f"{where}.{name}", "no such option", did_you_mean(name, known))
        for name in given
        if name not in known
    ]
    values: dict[str, Any] = {}
    for name, declared in known.items():
        if name not in given:
            if declared.required:
                problems.append(Problem(f"{where}.{name}", "is missing", f"{declared.help}"))
            elif not declared.later:
                values[name] = declared.default
            continue
        value, complaint = _coerce(given[name], declared)
        if complaint:
            problems.append(Problem(f"{where}.{name}", *complaint))
        else:
            values[name] = value
    return values, problems


def did_you_mean(word: str, known: typing.Iterable[str]) -> str:
    """A remedy for an unknown word: the nearest known one, or all of them."""
    candidates = sorted(known)
    near = difflib.get_close_matches(word, candidates, n=1)
    if near:
        return f'Did you mean "{near[0]}"?'
    return f"Known: {', '.join(candidates) or 'none'}"


def _coerce(value: Any, declared: Option) -> tuple[Any, tuple[str, str] | None]:
    ok, value = _fits(value, declared.type)
    if not ok:
        shown = list(value) if isinstance(value, tuple) else value
        return value, (f"{shown!r} is not {declared.type_name}", f"Give {declared.type_name}")
    if declared.choices and value not in declared.choices:
        choices = ", ".join(map(str, declared.choices))
        return value, (f"{value!r} is not one of the choices", f"Choose one of: {choices}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        complaint = _out_of_bounds(value, declared)
        if complaint:
            return value, complaint
    return value, None


def _out_of_bounds(value: float, o: Option) -> tuple[str, str] | None:
    if not abs(value) < float("inf"):
        return f"{value} is not a finite number", "Give a finite number"
    if o.low is not None and value < o.low:
        return f"{value} is too small", f"Give {o.low} or more"
    if o.high is not None and value > o.high:
        return f"{value} is too large", f"Give {o.high} or less"
    if o.above is not None and value <= o.above:
        return f"{value} is too small", f"Give more than {o.above}"
    return None


def _fits(value: Any, kind: Any) -> tuple[bool, Any]:
    origin = get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for member in get_args(kind):
            ok, converted = _fits(value, member)
            if ok:
                return True, converted
        return False, value
    if origin is tuple:
        return _fits_sequence(value, get_args(kind)[0])
    if origin in (dict, Mapping):
        return isinstance(value, Mapping), value
    if kind is type(None):
        return value is None, value
    if kind is float:
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        return ok, _as_float(value) if ok else value
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, kind), value


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number with hundreds of digits
        return math.inf


def _fits_sequence(value: Any, member: Any) -> tuple[bool, Any]:
    if not isinstance(value, (list, tuple)):
        return False, value
    fitted = [_fits(item, member) for item in value]
    return all(ok for ok, _ in fitted), tuple(item for _, item in fitted)


_NAMES = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}


def _type_name(kind: Any) -> str:
    if kind in _NAMES:
        return _NAMES[kind]
    origin = get_origin(kind)
    if origin is tuple:
        return f"a list, each {_type_name(get_args(kind)[0])}"
    if origin in (dict, Mapping):
        return "a table"
    members = [m for m in get_args(kind) if m is not type(None)]
    return " or ".join(_type_name(m) for m in members)


_FORMS = {int: "whole", float: "number", str: "text", bool: "truth"}


def _form(kind: Any) -> str:
    if kind in _FORMS:
        return _FORMS[kind]
    origin = get_origin(kind)
    if origin is tuple:
        return f"{_form(get_args(kind)[0])}s"
    if origin in (typing.Union, types.UnionType):
        return _form(next(member for member in get_args(kind) if member is not type(None)))
    return "table"
