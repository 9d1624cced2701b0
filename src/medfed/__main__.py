"""``python -m medfed``: the same as the command ``medfed``."""

from medfed.cli import main

main()
