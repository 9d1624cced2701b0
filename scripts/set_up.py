#!/usr/bin/env python3
"""Make .venv and put medfed into it, exactly as the lock file says.

    python3 scripts/set_up.py [--profile base|dev] [--editable-only]

`base` is what `make demo` needs, `dev` adds the test tools and every extra. Running it again when
nothing changed takes no time: a stamp in .venv remembers what was installed.

    TORCH=cuda       the CUDA build of torch (default: the CPU build)
    PYTHON=...       the interpreter to make .venv with (default: the first fitting one on the path)
    PIP_FIND_LINKS, UV_FIND_LINKS    folders of wheels, tried first for torch

Only the standard library, and no syntax newer than Python 3.8: it must be able to say that the
Python which runs it is too old, and look for a better one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Union

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "medfed-setup.json"
LOCK = ROOT / "requirements.lock"
OLDEST = (3, 11)
NEWEST_TESTED = (3, 13)
EXTRAS = {"base": "", "dev": "[dev,flower,he,oidc,postgres,ray,serve]"}
TRIES = 2

Command = List[Union[str, Path]]
Env = Dict[str, str]


class SetupError(Exception):
    """A step failed; the text says which, and what to do."""


def say(text: str) -> None:
    """Print one line at once, so that it stands before the output of the step it announces."""
    print(text, flush=True)


def run(step: str, command: Command, remedy: str, tries: int = 1, env: Env | None = None) -> None:
    """Run a command whose output the user sees; a step that downloads may be tried again."""
    for left in reversed(range(tries)):
        if subprocess.call([str(part) for part in command], env=env, stdin=subprocess.DEVNULL) == 0:
            return
        if left:
            say(f"  {step} failed; trying once more")
    line = " ".join(map(str, command))
    raise SetupError(f"{step} failed.\n  The command was: {line}\n  {remedy}")


# --- which Python ---------------------------------------------------------------------------------


def version_of(python: str) -> tuple[int, int] | None:
    """The (major, minor) of an interpreter, or None where it does not run."""
    try:
        answer = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2])"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            universal_newlines=True,
        ).stdout
        major, minor = answer.split()
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return int(major), int(minor)


def find_python() -> str:
    """The interpreter to make .venv with; raises SetupError where none is new enough."""
    wanted = os.environ.get("PYTHON")
    names = [wanted] if wanted else ["python3", "python3.13", "python3.12", "python3.11", "python"]
    found = []
    for name in names:
        path = shutil.which(name)
        version = version_of(path) if path else None
        if path and version:
            found.append((path, version))
    # A version this project is tested with is better than a newer one.
    for path, version in found:
        if OLDEST <= version <= NEWEST_TESTED:
            return path
    for path, version in found:
        if version > NEWEST_TESTED:
            say(f"  note: Python {version[0]}.{version[1]} is newer than any medfed is tested with")
            return path
    seen = ", ".join(f"{path} is {v[0]}.{v[1]}" for path, v in found) or "none found"
    raise SetupError(
        f"medfed needs Python {OLDEST[0]}.{OLDEST[1]} or newer ({seen}).\n"
        "  Debian, Ubuntu: sudo apt install python3 python3-venv\n"
        "  macOS:          brew install python@3.13\n"
        "  or name one:    make setup PYTHON=/path/to/python3.13"
    )


def venv_python() -> Path:
    """The interpreter inside .venv."""
    return VENV / "bin" / "python"


def make_venv() -> None:
    """Make .venv unless a working one is there."""
    if venv_python().exists():
        version = version_of(str(venv_python()))
        if version and version >= OLDEST and (VENV / "bin" / "pip").exists():
            say(f"[1/6] .venv is there (Python {version[0]}.{version[1]})")
            return
        say("[1/6] .venv does not work or is too old; making it again")
    python = find_python()
    version = version_of(python) or OLDEST
    say(f"[1/6] Making .venv with {python} (Python {version[0]}.{version[1]})")
    run(
        "Making the virtual environment",
        [python, "-m", "venv", "--clear", VENV],
        "On Debian and Ubuntu the module is a package of its own: "
        f"sudo apt install python{version[0]}.{version[1]}-venv (or python3-venv), then again.",
    )


# --- what the lock file says ----------------------------------------------------------------------


def locked(name: str) -> str:
    """The version the lock file has for a package, without its environment marker."""
    match = re.search(rf"^{re.escape(name)}==([^\s;]+)", LOCK.read_text("utf-8"), re.MULTILINE)
    if not match:
        raise SetupError(f"requirements.lock has no line for {name}. Make it again with: make lock")
    return match.group(1)


def installed(name: str) -> str | None:
    """The version of a package in .venv, or None."""
    question = (
        "import importlib.metadata as m, sys\n"
        "try: print(m.version(sys.argv[1]))\n"
        "except m.PackageNotFoundError: pass"
    )
    answer = subprocess.run(
        [str(venv_python()), "-c", question, name],
        stdout=subprocess.PIPE,
        universal_newlines=True,
        check=False,
    ).stdout
    return answer.strip() or None


def key(torch: str) -> str:
    """A hash of all that decides what belongs into .venv."""
    digest = hashlib.sha256()
    for path in (LOCK, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    digest.update(torch.encode())
    return digest.hexdigest()


def up_to_date(profile: str, torch: str) -> bool:
    """Whether an earlier set-up already did all this one would do."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    enough = stamp.get("profile") in (profile, "dev")
    return enough and stamp.get("key") == key(torch) and venv_python().exists()


# --- installing -----------------------------------------------------------------------------------


def uv_environment() -> Env:
    """The environment for uv: a wheel folder configured for pip is one for uv too."""
    env = dict(os.environ)
    pip_links = env.get("PIP_FIND_LINKS", "").split()
    if pip_links and not env.get("UV_FIND_LINKS"):
        env["UV_FIND_LINKS"] = ",".join(pip_links)  # pip separates by spaces, uv by commas
    env["VIRTUAL_ENV"] = str(VENV)
    return env


def uv(*arguments: str | Path) -> Command:
    """A `uv pip install` command line into .venv."""
    return [VENV / "bin" / "uv", "pip", "install", "--python", venv_python(), *arguments]


def install_uv() -> None:
    """Put the locked uv into .venv."""
    wanted = locked("uv")
    if installed("uv") == wanted:
        return
    say(f"[2/6] Installing uv {wanted}, the installer")
    run(
        "Installing uv",
        [venv_python(), "-m", "pip", "install", "--quiet", f"uv=={wanted}"],
        "Check the network, and the proxy or index that pip is configured with (pip config list).",
        tries=TRIES,
    )


def torch_attempts(torch: str, version: str, env: Env) -> list[tuple[str, list[str]]]:
    """(what to say, arguments for uv) in the order to try; all but the last may fail quietly."""
    pin = f"torch=={version}"
    if torch == "cuda":
        return [
            ("the CUDA build that fits this driver", ["--torch-backend", "auto", pin]),
            ("the package index's own build", [pin]),
        ]
    attempts = []
    if env.get("UV_FIND_LINKS"):
        # --no-deps, --no-index: what else torch needs comes from the lock in the next step.
        attempts.append(("a configured wheel folder", ["--no-deps", "--no-index", pin]))
    attempts.append(("PyTorch's CPU builds", ["--no-deps", "--torch-backend", "cpu", pin]))
    attempts.append(("the package index's own build", [pin]))
    return attempts


def install_torch(torch: str) -> None:
    """Put torch into .venv first, so that nothing later chooses another build of it."""
    version = locked("torch")
    present = installed("torch")
    right_build = torch != "cuda" or not (present or "").endswith("+cpu")
    if present and present.split("+")[0] == version and right_build:
        say(f"[3/6] torch {present} is there")
        return
    env = uv_environment()
    attempts = torch_attempts(torch, version, env)
    for number, (source, arguments) in enumerate(attempts, 1):
        say(f"[3/6] Installing torch {version} from {source}")
        command = uv("--reinstall-package", "torch", *arguments)
        if number == len(attempts):
            run(
                "Installing torch",
                command,
                "Check the network; behind a closed one, put a wheel of torch "
                f"{version} into a folder and set PIP_FIND_LINKS to it.",
                tries=TRIES,
                env=env,
            )
            return
        if quietly(command, env):
            return
        say("      not there; trying the next place")


def quietly(command: Command, env: Env) -> bool:
    """Whether a command succeeds; its progress is shown only where somebody watches."""
    watched = sys.stderr.isatty()
    errors = None if watched else subprocess.DEVNULL
    parts = [str(part) for part in command]
    return subprocess.call(parts, env=env, stdin=subprocess.DEVNULL, stderr=errors) == 0


def install_medfed(profile: str, editable_only: bool = False) -> None:
    """Put the locked packages and medfed itself (editable) into .venv."""
    env = uv_environment()
    remedy = "Check the network and the disk (df -h .), then run the same make command again."
    if not editable_only:
        say(f"[4/6] Installing medfed and the locked packages ({profile})")
        run(
            "Installing the build tool",
            uv("--quiet", "--constraint", LOCK, "hatchling"),
            remedy,
            tries=TRIES,
            env=env,
        )
    only = ["--no-deps", "--quiet"] if editable_only else []
    run(
        "Installing medfed",
        # No isolation: the build tool is in .venv already, so this part needs no network.
        uv(
            "--constraint", LOCK, "--no-build-isolation", *only, "--editable",
            f"{ROOT}{EXTRAS[profile]}",
        ),
        remedy,
        tries=TRIES,
        env=env,
    )  # fmt: skip


def compile_packages() -> None:
    """Compile what was installed, as pip does and uv does not.

    Else the first start of each library pays for it, and where PYTHONDONTWRITEBYTECODE is set every
    start: torch takes twice as long then. Some packages hold templates that are no Python: those
    are left as they are.
    """
    say("[5/6] Compiling the packages, so that every start is quick")
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = subprocess.check_output([str(venv_python()), "-c", question], universal_newlines=True)
    command = [str(venv_python()), "-m", "compileall", "-qq", "-j", "0", folder.strip()]
    subprocess.call(command, stdin=subprocess.DEVNULL)


def draw_patients() -> None:
    """Draw the synthetic patients of `make demo` into the user's cache, so that it starts at once.

    Where that fails the demo draws them itself, or says what is wrong.
    """
    say("[6/6] Drawing the demo's synthetic patients")
    command = [str(venv_python()), "-m", "medfed", "demo", "--prepare"]
    subprocess.call(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def set_up(profile: str) -> None:
    """All steps in order; nothing where nothing changed."""
    torch = os.environ.get("TORCH") or "cpu"
    if torch not in ("cpu", "cuda"):
        raise SetupError(f"TORCH is {torch!r}; it can be cpu or cuda.")
    if up_to_date(profile, torch):
        return
    say(f"Setting up medfed in {VENV} (the first time takes a minute or several)")
    make_venv()
    STAMP.unlink(missing_ok=True)
    install_uv()
    install_torch(torch)
    install_medfed(profile)
    compile_packages()
    draw_patients()
    STAMP.write_text(json.dumps({"key": key(torch), "profile": profile}), "utf-8")
    say("Set-up is complete.")


def main() -> int:
    """Read the command line; 0 when .venv is ready."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--profile", choices=sorted(EXTRAS), default="dev")
    parser.add_argument(
        "--editable-only",
        action="store_true",
        help="only register medfed again (after a change of its entry points)",
    )
    options = parser.parse_args()
    try:
        if options.editable_only:
            install_medfed("base", editable_only=True)
        else:
            set_up(options.profile)
    except SetupError as error:
        print(f"\nset-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
