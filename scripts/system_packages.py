#!/usr/bin/env python3
"""Debian packages that tests need (the list is system-packages.txt beside this file).

    python3 scripts/system_packages.py --install     install what is missing (make system-packages)
    python3 scripts/system_packages.py --check       say what is missing, and the one command

Under CI=true --check installs. Services in those packages are kept from starting: the tests start
what they need themselves, on ports of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LIST = Path(__file__).resolve().with_name("system-packages.txt")
POLICY = Path("/usr/sbin/policy-rc.d")
ACTION_FORBIDDEN = 101  # what invoke-rc.d takes as "do not start this service"
COMMAND = "make system-packages"


def read_list(path: Path = LIST) -> dict[str, str]:
    """Name and reason of every package in the list; a line without a reason is an error."""
    packages = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        name, _, reason = (part.strip() for part in line.partition("#"))
        if not name:
            continue
        if not reason:
            raise ValueError(f"{path.name}, line {number}: {name} has no reason after a #")
        packages[name] = reason
    return packages


def is_installed(name: str) -> bool:
    """Whether a Debian package is installed; False on systems without dpkg."""
    if not shutil.which("dpkg-query"):
        return False
    answer = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return answer.stdout == b"installed"


def missing(packages: dict[str, str]) -> dict[str, str]:
    """Those of the packages that are not installed."""
    return {name: why for name, why in packages.items() if not is_installed(name)}


@contextlib.contextmanager
def services_stay_off(policy: Path = POLICY) -> Iterator[None]:
    """Keep packages from starting their services meanwhile; a policy already there is kept."""
    if policy.exists():
        yield
        return
    policy.write_text(f"#!/bin/sh\nexit {ACTION_FORBIDDEN}\n", "utf-8")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def install(packages: dict[str, str]) -> int:
    """Install packages with apt-get; the exit status."""
    if not shutil.which("apt-get"):
        print("These are Debian packages and there is no apt-get; install the like by hand:")
        print_reasons(packages)
        return 1
    if os.geteuid() != 0:
        print("Installing Debian packages needs root; asking sudo.", flush=True)
        return subprocess.call(["sudo", sys.executable, str(Path(__file__).resolve()), "--install"])
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    nobody = subprocess.DEVNULL
    print(f"Installing {len(packages)} Debian packages: {' '.join(packages)}", flush=True)
    with services_stay_off():
        subprocess.call(["apt-get", "-qq", "update"], env=env, stdin=nobody)
        command = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *packages]
        return subprocess.call(command, env=env, stdin=nobody)


def print_reasons(packages: dict[str, str]) -> None:
    """One line for each package."""
    for name, reason in packages.items():
        print(f"  {name:24} {reason}")


def main() -> int:
    """Read the command line; 0 when the tests can go on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--install", action="store_true", help="install what is missing")
    choice.add_argument("--check", action="store_true", help="say what is missing")
    options = parser.parse_args()
    # So that a stopped installation still removes its policy file.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    absent = missing(read_list())
    if not absent:
        if options.install:
            print("Every Debian package that tests need is installed.")
        return 0
    if options.install or os.environ.get("CI") == "true":
        return install(absent)
    print("Tests that need these Debian packages will be skipped:")
    print_reasons(absent)
    print(f"To install them: {COMMAND}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
