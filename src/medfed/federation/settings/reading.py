"""Reading a settings file, TOML or JSON by its ending, and complaining about all of it at once."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medfed.core.errors import Problem, SettingsError
from medfed.core.options import check
from medfed.core.study import PLAIN, PLAIN_NAME, RESERVED
from medfed.core.toml_lines import line_of, locate


class Reader:
    """The content of a settings file, and all complaints about it.

    Args:
        file: The file.
        overrides: Fields given on the command line, which win; None is no value.
    """

    def __init__(self, file: Path, overrides: Mapping[str, Any] | None = None) -> None:
        self.file = file
        self.problems: list[Problem] = []
        text = _text(file)
        self._lines = {} if file.suffix == ".json" else locate(text)
        given = {name: value for name, value in (overrides or {}).items() if value is not None}
        self._flags = frozenset(given)
        self.given = {**_parsed(file, text), **given}

    def fields(self, kind: type, given: Mapping[str, Any], where: str = "") -> dict[str, Any]:
        """Check fields against an options class; what is wrong is missing from the answer."""
        values, problems = check(kind, given, where)
        for problem in problems:
            self.complain(problem.field.removeprefix("."), problem.message, problem.remedy)
        return values

    def tables(self, name: str, kind: type) -> list[dict[str, Any]]:
        """Check a list of tables such as ``[[sites]]``."""
        given = self.given.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
            remedy = f"Write [[{name}]] before each" if self._lines else "Write a list of objects"
            self.complain(name, "is not a list of tables", remedy)
            return []
        return [self.fields(kind, one, f"{name}[{i}]") for i, one in enumerate(given)]

    def names(self, field: str, found: Sequence[Mapping[str, Any]]) -> None:
        """Check the ids of a list of tables: usable, and each once."""
        seen: set[str] = set()
        for i, one in enumerate(found):
            name = one.get("id")
            if name is None:
                continue
            self.name(f"{field}[{i}].id", name)
            if name in seen:
                self.complain(f"{field}[{i}].id", f"{name!r} stands here twice", "Name each once")
            seen.add(name)

    def name(self, field: str, name: str) -> None:
        """Check one site's name."""
        if not PLAIN_NAME.fullmatch(name):
            self.complain(field, f"{name!r} is not a site name", f"Use {PLAIN}")
        elif name in RESERVED:
            self.complain(field, f"{name!r} means something else here", "Choose another name")

    def path(self, text: str | None) -> Path | None:
        """A path as the file means it: beside itself. On the command line: where one stands."""
        return (self.file.parent / Path(text).expanduser()).resolve() if text else None

    def complain(self, field: str, message: str, remedy: str) -> None:
        """Note a problem."""
        top = field.partition("[")[0].partition(".")[0]
        line = None if top in self._flags else line_of(field, self._lines)
        shown = f"--{field.replace('_', '-')}" if top in self._flags else field
        self.problems.append(Problem(shown, message, remedy, line))

    def done(self) -> None:
        """End the reading.

        Raises:
            SettingsError: With every problem noted.
        """
        if not self.problems:
            return
        count = "one problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        first = [dataclasses.replace(p) for p in sorted(self.problems, key=_by_line)]
        raise SettingsError(f"{self.file} cannot be used: {count}", first)


def _by_line(problem: Problem) -> int:
    return problem.line or 0


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = "Give the path of a settings file, .toml or .json"
        raise SettingsError(f"there is no file {file}", remedy=remedy) from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not text in UTF-8") from None


def _parsed(file: Path, text: str) -> dict[str, Any]:
    if file.suffix not in (".toml", ".json"):
        remedy = "Call it something.toml or something.json"
        raise SettingsError(f"{file} is neither TOML nor JSON by its name", remedy=remedy)
    try:
        given = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        language = file.suffix[1:].upper()
        raise SettingsError(f"{file} is not valid {language}: {error}") from None
    if not isinstance(given, dict):
        raise SettingsError(f"{file} holds no fields", remedy='Write {"workers": …}')
    return given
