"""Servers that answer thousands at once by greenlets instead of threads (gevent)."""

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

Answer = TypeVar("Answer")


def in_greenlets() -> bool:
    """Whether threads of this process are greenlets, which all share one real thread."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def real_lock() -> AbstractContextManager[bool]:
    """A lock between real threads, also where greenlets run: theirs does not wake other threads."""
    if not in_greenlets():
        return threading.Lock()
    from gevent.monkey import get_original

    lock: AbstractContextManager[bool] = get_original("_thread", "allocate_lock")()
    return lock


def apart(function: Callable[..., Answer], *arguments: object) -> Answer:
    """Call what computes for long without yielding; where greenlets run, in a real thread."""
    if not in_greenlets():
        return function(*arguments)
    from gevent import get_hub

    answer: Answer = get_hub().threadpool.apply(function, arguments)
    return answer
