"""How processes of our own are started."""

import sys


def own_process(module: str = "medfed") -> tuple[str, ...]:
    """The command that runs a module of ours, without its arguments."""
    # -P: a file called numpy.py in the folder one happens to stand in is not run.
    return sys.executable, "-P", "-m", module
