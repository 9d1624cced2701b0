#!/usr/bin/env python3
"""Write requirements.lock: one version of every package, for Linux and macOS, Python ≥ 3.11.

`make lock` takes newer versions where the bounds in pyproject.toml allow them; `make lock KEEP=1`
keeps what is locked, and adds or removes only what pyproject.toml changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = (
    "# Written by `make lock` from pyproject.toml, all extras. set_up.py installs these versions.\n"
)
# Nothing that only one machine has, and no build of torch: whoever sets up chooses that.
NOT_ALLOWED = re.compile(r"^(nvidia|triton)|torch==\S+\+|://|^-|\s@\s|/", re.MULTILINE)


def compile_lock(keep: bool) -> str:
    """The text of the lock file, resolved now; with keep, what is locked is preferred."""
    env = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
    with tempfile.TemporaryDirectory() as folder:
        # uv prefers the versions it finds in the file it is about to write.
        output = Path(folder) / LOCK.name
        if keep and LOCK.exists():
            shutil.copy(LOCK, output)
        command = [
            ROOT / ".venv/bin/uv", "pip", "compile", "pyproject.toml", "--all-extras",
            "--universal", "--python-version", "3.11", "--config-file", "scripts/lock-uv.toml",
            "--no-header", "--no-annotate", "--quiet", "--output-file", output,
        ]  # fmt: skip
        subprocess.run([str(part) for part in command], cwd=ROOT, env=env, check=True)
        return output.read_text("utf-8")


def main() -> int:
    """Resolve, look the result over, write it."""
    try:
        text = compile_lock(keep=bool(os.environ.get("KEEP")))
    except subprocess.CalledProcessError:
        print("lock: uv found no set of versions that fits; requirements.lock is as before")
        return 1
    bad = [line for line in text.splitlines() if NOT_ALLOWED.search(line)]
    if bad:
        print("lock: these lines must not be in a lock file:", *bad, sep="\n  ", file=sys.stderr)
        return 1
    LOCK.write_text(HEADER + text, "utf-8")
    count = sum("==" in line for line in text.splitlines())
    print(f"requirements.lock: {count} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
