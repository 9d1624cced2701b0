"""Worker processes beside the terminal's Ctrl-C."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

TWO_WORKERS = """
import multiprocessing
from pathlib import Path
from medfed.federation.local import WorkerChannel

channel = WorkerChannel({"a": Path("a"), "b": Path("b")}, print, 2)
print(*(process.pid for process in multiprocessing.active_children()), flush=True)
input()
channel.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_reaches_no_worker_process_not_even_the_first():
    """Asked of a fresh process: the first worker's start also starts Python's resource tracker."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", TWO_WORKERS], stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pids = process.stdout.readline().split()
        blocked = [blocked_signals(int(pid)) for pid in pids]
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(60) == 0
    assert len(blocked) == 2
    assert all(signal.SIGINT in signals for signals in blocked)


def blocked_signals(pid: int) -> set[int]:
    """The signals a process's main thread has blocked."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = int(next(line.split()[1] for line in lines if line.startswith("SigBlk")), 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}
