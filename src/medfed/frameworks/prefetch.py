"""Batches made in the background, while the network is at work; the same bits whatever the timing.

A batch is a function without arguments that gives the same result whenever and wherever it is
called. So it does not matter how far ahead, or by how many threads, batches are made.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

B = TypeVar("B")
Maker = Callable[[], B]

AHEAD = 2
"""Batches a thread is ahead: one that is taken next, one in the making."""


def ahead(makers: Iterator[Maker[B]], threads: int = 1) -> Iterator[B]:
    """What the makers give, in their order, made before it is asked for.

    The iterator of makers itself is only moved on by the caller's thread. Close the generator to
    give up the rest: what is in the making is finished and thrown away.

    Args:
        makers: Functions that make one batch each.
        threads: How many batches are in the making at a time.

    Yields:
        The batches. An error of a maker is raised in its batch's place.
    """
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads, "batches") as pool:
        try:
            waiting.extend(pool.submit(make) for make in islice(makers, AHEAD * threads))
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(pool.submit(make) for make in islice(makers, 1))
                yield batch
        finally:
            for future in waiting:
                future.cancel()
