#!/usr/bin/env python3
"""Run every script in benchmarks/ and write the table the docs include.

    make bench                 all of them, at full size: docs/reference/benchmarks.md
    make bench QUICK=1         small sizes, table on the screen only
    make bench ONLY=engine     one of them (the tables of the others stay as they are)

Each script prints one JSON list as its last line, of rows
{"name", "value", "unit", "limit", "better": "lower" | "higher", "holds": true | false}.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/reference/benchmarks.md"
FIELDS = {"name", "value", "unit", "limit", "better", "holds"}
INTRODUCTION = """# Benchmarks

Written by `make bench`; do not edit by hand. A limit is what the project promises, and a figure
that misses it says so. Ratios are taken within one run, so they carry over to other machines
better than seconds do. Why some miss: [figures that miss](../explanation/figures-that-miss.md).
"""

Row = dict[str, Any]


class BenchError(Exception):
    """A benchmark did not run or printed something else than its rows."""


def scripts(only: str | None) -> list[Path]:
    """The benchmark scripts, by name."""
    found = sorted((ROOT / "benchmarks").glob("[!_]*.py"))
    chosen = [path for path in found if only in (None, path.stem)]
    if only and not chosen:
        names = ", ".join(path.stem for path in found) or "none"
        raise BenchError(f"There is no benchmarks/{only}.py (there are: {names})")
    return chosen


def rows_of(script: Path, quick: bool) -> list[Row]:
    """Run one script; its rows, looked over."""
    command = [sys.executable, str(script), "--json", *(["--quick"] if quick else [])]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    lines = answer.stdout.decode("utf-8").strip().splitlines()
    try:
        rows = json.loads(lines[-1])
    except (IndexError, ValueError):
        status = f"ended with status {answer.returncode} and"
        raise BenchError(f"{script.name} {status} printed no JSON list as its last line") from None
    check_rows(script.name, rows)
    return list(rows)


def check_rows(name: str, rows: object) -> None:
    """Raise BenchError where a row lacks a field or has one too many."""
    if not isinstance(rows, list):
        raise BenchError(f"{name} printed something else than a list")
    for row in rows:
        if not isinstance(row, dict) or set(row) != FIELDS:
            raise BenchError(f"{name}: a row must have exactly {sorted(FIELDS)}: {row}")
        if row["better"] not in {"lower", "higher"}:
            raise BenchError(f'{name}: "better" must be "lower" or "higher": {row}')


def number(value: object) -> str:
    """A figure as a reader wants it: three or four digits, no exponent where avoidable."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| What | Figure | Limit | Holds |", "|---|---:|---:|---|"]
    for row in rows:
        sign = "≤" if row["better"] == "lower" else "≥"
        limit = "–" if row["limit"] is None else f"{sign} {number(row['limit'])}"
        holds = "–" if row["limit"] is None else "yes" if row["holds"] else "**no**"
        what = str(row["name"]).replace("|", "\\|")
        figure = f"{number(row['value'])} {row['unit'] or ''}".strip()
        lines.append(f"| {what} | {figure} | {limit} | {holds} |")
    return "\n".join(lines)


def machine() -> str:
    """What the figures were measured on, without naming the machine."""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, torch {version('torch')}, numpy {version('numpy')}"
    )


def section(script: Path, rows: list[Row]) -> str:
    """The part of the page that holds one script's table."""
    return f"## {script.stem}\n\n`make bench ONLY={script.stem}` on {machine()}\n\n{table(rows)}\n"


def write_page(sections: dict[str, str], page: Path = PAGE) -> None:
    """Put new sections into the page; those of scripts that were not run stay."""
    old = page.read_text("utf-8") if page.exists() else ""
    parts = {name: f"## {name}\n{body}" for name, body in re.findall(
        r"^## (\S+)\n(.*?)(?=^## |\Z)", old, re.MULTILINE | re.DOTALL
    )}  # fmt: skip
    parts.update(sections)
    present = {path.stem for path in scripts(None)} | set(sections)
    kept = [parts[name].strip() for name in sorted(parts) if name in present]
    page.write_text("\n".join([INTRODUCTION, "\n\n".join(kept), ""]), "utf-8")


def main() -> int:
    """Run, print, write; 1 where a figure misses its limit or a script fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; the page stays as it is")
    parser.add_argument("--only", help="one script, by its name without .py")
    options = parser.parse_args()
    sections, problems = {}, []
    try:
        chosen = scripts(options.only or None)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for script in chosen:
        print(f"Running benchmarks/{script.name}", flush=True)
        try:
            rows = rows_of(script, options.quick)
        except BenchError as error:
            problems.append(str(error))
            continue
        if not rows:
            continue  # it has said why; the page keeps its table of before
        print(table(rows), flush=True)
        problems += [f"{script.stem}: {row['name']} misses" for row in rows if not row["holds"]]
        sections[script.stem] = section(script, rows)
    if sections and not options.quick:
        write_page(sections)
        print(f"Written: {PAGE.relative_to(ROOT)}")
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
