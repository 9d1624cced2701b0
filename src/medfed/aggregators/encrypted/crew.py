"""Processes beside this one that encrypt and decrypt on its other cores.

TenSEAL holds the interpreter's lock while it computes, so that threads would wait for one another.
A member of the crew gets the context, secret key included, through a pipe that only its parent has;
see `medfed.aggregators.encrypted.member`. All conversations of a process share the crew.
"""

import atexit
import fcntl
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import IO

from medfed.core.cores import cores
from medfed.core.own_process import own_process

CORES = cores()
MOST = 8
AHEAD = 3
"""Pieces asked for ahead of the one that is wanted, for each member."""
ROOM = 1 << 20
"""Bytes in a pipe, which may hold a whole piece: fewer are slower, and no more than that."""
CONTEXT, FAILED, DONE = b"c", b"!", b"."
_LENGTH = 8


class Member:
    """A process of the crew, and the context that it has."""

    def __init__(self) -> None:
        command = own_process("medfed.aggregators.encrypted.member")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for end in filter(None, (self._process.stdin, self._process.stdout)):
            with suppress(OSError):  # a user may have so much room in pipes, and no more
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, ROOM)
        self._told: object = None  # which work it knows the context of; never the key itself

    def answer(self, work: object, context: bytes, verb: bytes, piece: bytes) -> bytes:
        """What the process makes of a piece of some work, all of which is under one context.

        Raises:
            ValueError: The piece is none of this context's.
            OSError: The process is gone.
        """
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None  # noqa: S101  # both are pipes
        assert answers is not None  # noqa: S101  # as above
        if work is not self._told:
            write(orders, CONTEXT, context)
            self._told = work
        write(orders, verb, piece)
        kind, answer = read(answers)
        if kind != DONE:
            raise ValueError("a piece is not of this context")
        return answer

    def close(self) -> None:
        """Let the process end, and its key with it."""
        self._process.kill()
        self._process.communicate()


def write(stream: IO[bytes], kind: bytes, data: bytes) -> None:
    """Send one order or answer."""
    stream.write(kind + len(data).to_bytes(_LENGTH, "little"))
    stream.write(data)
    stream.flush()


def read(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """One order or answer: its kind, and its bytes.

    Raises:
        ChildProcessError: The other end is gone.
    """
    head = stream.read(1 + _LENGTH)
    data = stream.read(int.from_bytes(head[1:], "little"))
    if len(head) != 1 + _LENGTH or len(data) != int.from_bytes(head[1:], "little"):
        raise ChildProcessError("a process that encrypts is gone")
    return head[:1], data


_seats: SimpleQueue[Member | None] = SimpleQueue()
"""As many as there may be members; one that has not come yet, or is gone, is None."""
for _ in range(min(CORES, MOST)):
    _seats.put(None)


def shared(
    context: bytes, verb: bytes, pieces: Iterable[bytes], alone: Callable[[bytes], bytes]
) -> Iterator[bytes]:
    """What the crew makes of pieces, in the same order.

    Args:
        context: With the keys that are needed.
        verb: What to do; see `medfed.aggregators.encrypted.member`.
        pieces: On what; read no further ahead than there is work for.
        alone: Does the same in this process, where a member was lost.

    Raises:
        ValueError: A piece is none of this context's.
    """
    work = object()

    def asked(piece: bytes) -> bytes:
        member = _seats.get()
        try:
            member = member or Member()
            return member.answer(work, context, verb, piece)
        except OSError:
            _close(member)
            member = None
            return alone(piece)
        except ValueError:
            raise
        except BaseException:  # its answer may be on its way, and must not be the next piece's
            _close(member)
            member = None
            raise
        finally:
            _seats.put(member)

    members = min(CORES, MOST)
    with ThreadPoolExecutor(members) as pool:
        rest, waiting = iter(pieces), deque[Future[bytes]]()
        for piece in islice(rest, AHEAD * members):
            waiting.append(pool.submit(asked, piece))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(asked, piece) for piece in islice(rest, 1))
            yield done


def _close(member: Member | None) -> None:
    if member:
        member.close()


def dismiss() -> None:
    """End all members that are at rest."""
    for _ in range(_seats.qsize()):
        _close(_seats.get())
        _seats.put(None)


atexit.register(dismiss)
