"""A site's log: what two processes that open it at once make."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

from medfed.core.vault import OPEN
from medfed.federation.audit.log import FOLDER, _salt_key


def test_two_that_begin_a_log_at_once_make_one_secret(tmp_path, monkeypatch):
    """Each would commit under its own, and the one that was written over would open nothing."""
    (tmp_path / FOLDER).mkdir()
    both, written, plain = Barrier(2), [], OPEN.write

    def write(path, content):
        with suppress(BrokenBarrierError):
            both.wait(0.3)
        written.append(content)
        plain(path, content)

    monkeypatch.setattr(type(OPEN), "write", lambda _, path, content: write(path, content))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: _salt_key(tmp_path, OPEN), range(2))
    assert first == second
    assert len(written) == 1
