#!/usr/bin/env python3
"""Take out one defence after another, in a copy of the source, and see that its test notices.

    make mutants                     all of them; they take some minutes
    make mutants ARGS="dp- ledger"   those whose names begin so

Some tests read the data sets that `MEDFED_DATA` names. `scripts/mutants.toml` has the list: what is
changed in which file, and the test that must fail. A change that no longer fits its
file is complained of by the tests of every build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "scripts" / "mutants.toml"
FAILED = 1
"""What pytest ends with where a test failed; with more where it could not be run."""
ALONE = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A defence taken out.

    Attributes:
        name: Its name.
        file: Of the package.
        old: What is there, once.
        new: What is put there.
        test: What must fail then.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


def mutants(beginnings: tuple[str, ...] = ("",)) -> list[Mutant]:
    """Those in the list whose names begin so."""
    listed = tomllib.loads(LIST.read_text("utf-8"))["mutant"]
    return [Mutant(**each) for each in listed if each["name"].startswith(beginnings)]


def copied(to: Path) -> None:
    """Copy all files that are under version control."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, check=True, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, to / name)


def noticed(mutant: Mutant, copy: Path) -> bool:
    """Whether the test fails without the defence.

    Raises:
        RuntimeError: It could not be run, or was skipped, as where its data are missing.
    """
    file = copy / "src/medfed" / mutant.file
    whole = file.read_text("utf-8")
    file.write_text(whole.replace(mutant.old, mutant.new), "utf-8")
    options = ("-q", "-x", "--no-cov", "-p", "no:cacheprovider", "-m", "slow or not slow")
    try:
        done = subprocess.run(
            (sys.executable, "-m", "pytest", *options, mutant.test),
            cwd=copy,
            env={**os.environ, **ALONE, "PYTHONPATH": str(copy / "src")},
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        file.write_text(whole, "utf-8")
    if done.returncode > FAILED or (done.returncode < FAILED and " passed" not in done.stdout):
        raise RuntimeError(f"{mutant.test} cannot be run:\n{done.stdout}{done.stderr}")
    return done.returncode == FAILED


def main(words: list[str]) -> int:
    """Try them one after another; how many no test was seen to notice."""
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(folder))
        for mutant in mutants(tuple(words) or ("",)):
            try:
                word = "noticed" if noticed(mutant, Path(folder)) else f"UNNOTICED by {mutant.test}"
            except RuntimeError as error:
                word = f"UNKNOWN: {error}"
            unnoticed += word != "noticed"
            print(f"{mutant.name:<32}{word}", flush=True)
    return unnoticed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
