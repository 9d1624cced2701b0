"""One process of a kind in a folder."""

import os
import signal
import threading
import time

import pytest

from medfed.core.errors import RunError
from medfed.services.federation.alone import alone, ending_on_signals, is_served


def test_a_second_one_is_kept_out_until_the_first_has_ended(tmp_path):
    assert not is_served(tmp_path, "site")
    with alone(tmp_path, "site"):
        assert is_served(tmp_path, "site")
        with (
            pytest.raises(RunError, match="another process serves the site"),
            alone(tmp_path, "site"),
        ):
            pass
        with alone(tmp_path, "coordinator"):
            assert is_served(tmp_path, "coordinator")
    assert not is_served(tmp_path, "site")


def test_one_that_is_about_to_end_is_waited_for(tmp_path):
    entered, leave = threading.Event(), threading.Event()

    def first():
        with alone(tmp_path, "site"):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(30)
    threading.Timer(0.2, leave.set).start()
    with alone(tmp_path, "site", patience=30):
        assert leave.is_set()
    thread.join()


def test_a_folder_that_is_not_there_is_served_by_nobody(tmp_path):
    assert not is_served(tmp_path / "none", "site")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_block_and_its_handler_is_put_back(number):
    before, cleaned = signal.getsignal(number), []
    with ending_on_signals():
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)
            pytest.fail("it went on")
        finally:
            cleaned.append(1)
    assert cleaned
    assert signal.getsignal(number) is before
