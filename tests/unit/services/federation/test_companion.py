"""A process beside this one is begun again when it is lost, and ended with this one."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from medfed.services.federation import companion

PROGRAM = "import os, sys, time; open(sys.argv[1] + str(os.getpid()), 'w').close(); time.sleep(600)"


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def begun(folder: Path, count: int) -> list[int]:
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < count:
        assert time.monotonic() < end
        time.sleep(0.05)
    return [int(path.name) for path in folder.iterdir()]


def test_it_is_begun_again_and_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(companion, "FIRST_PAUSE", 0.05)
    with companion.companion([sys.executable, "-c", PROGRAM, f"{tmp_path}/"]):
        (first,) = begun(tmp_path, 1)
        os.kill(first, 9)
        both = begun(tmp_path, 2)
        second = next(process for process in both if process != first)
        assert alive(second)
    assert not alive(second)
