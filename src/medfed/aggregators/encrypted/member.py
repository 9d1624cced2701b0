"""A process that encrypts and decrypts for another.

Run as ``python -m medfed.aggregators.encrypted.member``.

It reads orders from its standard input and writes answers to its standard output; see
`medfed.aggregators.encrypted.crew`. It ends when its parent does, or when it was idle for a while:
then no key stays in memory.
"""

import signal
import sys
from typing import Any, BinaryIO

from medfed.aggregators.encrypted import context as ckks
from medfed.aggregators.encrypted import crew

IDLE = 60
"""Seconds without work after which it ends."""


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Answer orders as long as there are any."""
    context: Any = None
    while True:
        signal.alarm(IDLE)  # whose default is to end the process
        try:
            kind, data = crew.read(orders)
        except ChildProcessError:
            return
        signal.alarm(0)
        if kind == crew.CONTEXT:
            context = ckks.opened(data, secret=True)
            continue
        try:
            crew.write(answers, crew.DONE, ckks.WORK[kind](context, data))
        except (ValueError, RuntimeError):
            crew.write(answers, crew.FAILED, b"")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the parent, whose end is heard of
    serve(sys.stdin.buffer, sys.stdout.buffer)
