"""Freed memory goes back to the system: a coordinator handles many pieces of large models."""

import ctypes
import gc

M_MMAP_THRESHOLD = -3
"""See mallopt(3)."""
LARGE = 4 * 2**20
"""Bytes; Flower's pieces have 5 MiB."""


def give_back() -> None:
    """Have the C library map large blocks one by one, where it can.

    glibc raises that bound to the size of blocks it has seen freed. Pieces of a model then lie
    between small objects that live longer, and what they leave holds a model's worth of memory.
    It would slow a process that trains, which allocates and frees large tensors all the time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)


def sweep() -> None:
    """Let go of requests and responses that are done with: httpx ties each into a circle.

    Only young objects are looked through, which takes well under a millisecond.
    """
    gc.collect(1)
