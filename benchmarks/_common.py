"""What the benchmark scripts share: arguments, rows, timing, and anonymous memory."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Row = dict[str, Any]
MIB = 1024 * 1024


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the rows as one JSON list")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repetitions")
    return parser


def with_data(description: str | None) -> tuple[argparse.Namespace, Path]:
    """The arguments of a benchmark on real data, and the folder of the data.

    Without data there are no rows, which is said: the process ends.
    """
    parser = arguments(description)
    parser.add_argument("--data", type=Path, default=os.environ.get("MEDFED_DATA"))
    given = parser.parse_args()
    if given.data is None:
        print("Left out: give --data DIR or set MEDFED_DATA", file=sys.stderr)
        report([], as_json=given.json)
        sys.exit(0)
    return given, Path(given.data)


def row(
    name: str,
    value: float,
    unit: str,
    limit: float | None = None,
    better: Literal["lower", "higher"] = "lower",
) -> Row:
    """One figure; without a limit it is only told, and holds."""
    holds = limit is None or (value <= limit if better == "lower" else value >= limit)
    fields = {"name": name, "value": round(value, 4), "unit": unit, "limit": limit}
    return {**fields, "better": better, "holds": bool(holds)}


def report(rows: list[Row], *, as_json: bool) -> None:
    """Print the rows: one JSON list as the last line, or a table to read."""
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    width = max((len(r["name"]) for r in rows), default=0)
    for r in rows:
        sign = "≤" if r["better"] == "lower" else "≥"
        limit = "" if r["limit"] is None else f"{sign} {r['limit']:g}"
        miss = "" if r["holds"] else "  MISSED"
        print(f"{r['name']:<{width}}  {r['value']:>10.4g} {r['unit']:<8} {limit:<8}{miss}")


def timings(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each function, taken in turns after one turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = clock()
            function()
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median ratio within a turn: a busy neighbour slows both, and cancels."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind (Linux only)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("anonymous memory can be read on Linux only")


class AnonymousPeak:
    """Samples anonymous memory in a thread; ``bytes`` is the peak above where it began."""

    def __init__(self, interval: float = 0.001) -> None:
        self.bytes = 0
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._base = anonymous_bytes()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._look()  # what is still held at the end counts, however short the block was
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(self._interval):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, anonymous_bytes() - self._base)


def in_fresh_process(script: str, *words: str) -> Any:
    """Run a script with some words in a new interpreter; the JSON of its last line."""
    command = [sys.executable, script, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])
