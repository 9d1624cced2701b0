#!/usr/bin/env python3
"""Ask which locked packages have known vulnerabilities: `make audit`.

pip-audit asks OSV (osv.dev) about each line of requirements.lock, by name and version, and
installs nothing. Other options of pip-audit go through, as in `make audit ARGS="-s pypi"`.

Status 0: none is known. 1: some are, and each is named. 2: nobody could be asked, or not about all.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
FOUND, UNKNOWN = 1, 2
SECONDS = "20"
"""How long one answer may take."""
LONGEST = 160
"""Characters of a reason."""


def installed() -> bool:
    """Whether there is a pip-audit to ask with."""
    return importlib.util.find_spec("pip_audit") is not None


def ask(lock: Path, options: Sequence[str]) -> list[dict[str, Any]] | str:
    """What is known of each package; or why nobody could be asked, in a line."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(lock)),
        *("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"),
        *("--vulnerability-service", "osv", "--timeout", SECONDS, *options),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError, TypeError):
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"pip-audit ended with status {done.returncode}"
    if not packages:
        return f"pip-audit answered about no package of {lock.name}"
    if all("skip_reason" in package for package in packages):
        return str(packages[0]["skip_reason"])
    return packages


def told(packages: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each vulnerability."""
    lines = []
    for package in packages:
        for each in package.get("vulns", ()):
            names = ", ".join(dict.fromkeys([each["id"], *each.get("aliases", ())]))
            mended = ", ".join(each.get("fix_versions", ())) or "no version yet"
            lines.append(f"{package['name']} {package['version']}: {names}; mended in {mended}")
    return lines


def main() -> int:
    """Ask, and say what was answered."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lock", type=Path, default=LOCK, help="another file of pinned versions")
    given, options = parser.parse_known_args()
    if not installed():
        print("audit: pip-audit is not installed, so nobody was asked and nothing is known.")
        print("Install it with `make setup`, then: make audit")
        return UNKNOWN
    answer = ask(given.lock, options)
    if isinstance(answer, str):
        print("audit: the advisory service could not be asked, so nothing is known.")
        print(f"  {textwrap.shorten(answer, LONGEST)}")
        print("Run it where api.osv.dev can be reached, or name another service:")
        print('  make audit ARGS="-s pypi"')
        return UNKNOWN
    lines = told(answer)
    print(*lines, sep="\n", end="\n" if lines else "")
    left_out = [package["name"] for package in answer if "skip_reason" in package]
    print(f"audit: {len(answer)} packages; known vulnerabilities: {len(lines)}")
    if left_out:
        print(f"The service could not be asked about {', '.join(left_out)}")
    if lines:
        print("Raise the bound in pyproject.toml, then: make lock KEEP=1")
        return FOUND
    return UNKNOWN if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
