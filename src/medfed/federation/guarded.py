"""Processes that end with the one that started them, even when that one is killed.

``python -m medfed.federation.guarded COMMAND …`` runs a command until it ends or standard input
closes. Whoever started it holds the other end of that pipe: nothing can keep it open but a living
process.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from medfed.core.own_process import own_process

PATIENCE = 10.0
"""Seconds a process has to end by itself."""


class Guarded:
    """A command that runs as long as this process lives and wants it.

    Args:
        command: Program and arguments.
        log: File that takes what it prints.
        environment: Its environment; this process's when None.
        folder: Where it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*own_process("medfed.federation.guarded"), *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,  # Ctrl-C is for whoever started it to handle
            )

    def last_words(self) -> str:
        """The last line it printed: mostly why it ended."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it, and whatever it started; by force if it does not listen."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE + 5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, with all it started."""
        if self._process.stdin:
            self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def main(command: Sequence[str]) -> int:
    """Run a command until it ends or standard input closes; its exit status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    return child.wait()


def _watch(child: "subprocess.Popen[bytes]") -> None:
    while os.read(sys.stdin.fileno(), 1024):
        continue
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
