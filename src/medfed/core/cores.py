"""How many cores this process may use."""

import os


def cores() -> int:
    """Those it may run on, which may be fewer than the machine has; at least one."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
