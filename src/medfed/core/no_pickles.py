"""Nothing that was received or imported is ever unpickled: a guard for the day somebody forgets.

A pickle may run any code of the machine that reads it. None of our readers unpickles, and none of
the libraries they call does on plain data; the guard makes sure of it. While it holds, whatever
code asks Python's pickle for a class or a function is stopped, before that is imported or called.
"""

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from medfed.core.errors import DataError

_GUARDED: ContextVar[bool] = ContextVar("unpickling refused", default=False)


@contextmanager
def unpickling_refused() -> Iterator[None]:
    """Within, and in what is called from within, unpickling ends in an error; also a decorator.

    Only in this thread: others may be sending pickles of their own between our own processes.

    Raises:
        DataError: Something was about to be unpickled.
    """
    _watch()
    before = _GUARDED.set(True)
    try:
        yield
    finally:
        _GUARDED.reset(before)


@functools.cache
def _watch() -> None:
    """Have Python tell us, once for all: an audit hook cannot be taken away again."""
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    del args
    if event == "pickle.find_class" and _GUARDED.get():
        message = "a file that came from outside holds a pickle, which may run any code"
        remedy = "It was not run. Ask where the file comes from before you touch it again"
        raise DataError(message, remedy=remedy)
