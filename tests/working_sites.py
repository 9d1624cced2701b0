"""The folder of a hospital that has taken part in a run, made once for all tests."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from accounting import BREAST_CANCER

from medfed.core.study import Study
from medfed.core.study_file import parse_study
from medfed.services.runs import RunOptions, start

NAME = "north"


def a_study(**changes: object) -> Study:
    """A study that asks `NAME`, and needs no data folder."""
    return parse_study(BREAST_CANCER).evolve(**changes)


@cache
def worked() -> Path:
    """Its folder, with receipts and a log; to be copied."""
    folder = mkdtemp(prefix="medfed-worked-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    out = Path(folder) / "run"
    start(a_study(rounds=2, stop=None), RunOptions(out, threads=1))
    return out / "sites" / NAME
