"""What computes beside greenlets, in real threads that wait for each other."""

import subprocess
import sys

import pytest

IN_GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, time
from medfed.services.greenlets import apart, real_lock
lock = real_lock()
def hold():
    with lock:
        until = time.perf_counter() + 0.1
        while time.perf_counter() < until:
            pass
jobs = [gevent.spawn(apart, hold) for _ in range(4)]
gevent.joinall(jobs, timeout=30)
print([job.successful() for job in jobs])
"""


def test_real_threads_wait_for_each_other_where_greenlets_run():
    pytest.importorskip("gevent")
    done = subprocess.run(
        [sys.executable, "-c", IN_GREENLETS], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str([True] * 4)
