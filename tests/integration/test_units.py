"""The unit files in deploy/systemd: systemd understands them, and medfed what they start."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from docs_examples import ROOT

from medfed.cli.coordinator import coordinator
from medfed.cli.site import site

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
GROUPS = {"coordinator": coordinator, "site": site}
PROGRAM = "/opt/medfed/.venv/bin/medfed"
GUNICORN = "/opt/medfed/.venv/bin/gunicorn"
MOST_EXPOSED = 20
"""Tenths of systemd's score of exposure; 100 is a service without any protection."""


def command(unit: Path) -> list[str]:
    """What a unit starts."""
    (line,) = [x for x in unit.read_text("utf-8").splitlines() if x.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


def test_there_is_one_for_each_machine():
    kinds = ("console@", "coordinator", "site")
    assert [unit.name for unit in UNITS] == [f"medfed-{kind}.service" for kind in kinds]


def test_the_consoles_unit_starts_gunicorn_on_an_application_that_there_is():
    program, _, settings, _, listen, target = command(UNITS[0])
    assert (program, listen) == (GUNICORN, "127.0.0.1:%i")
    assert (ROOT / "deploy" / "gunicorn" / Path(settings).name).is_file()
    module, _, call = target.partition(":")
    assert hasattr(importlib.import_module(module), call.removesuffix("()"))


@pytest.mark.parametrize("unit", UNITS[1:], ids=lambda unit: unit.name)
def test_what_a_unit_starts_is_a_command_of_medfed(unit):
    program, group, option, file = command(unit)
    assert program == PROGRAM
    assert option in {name for param in GROUPS[group].params for name in param.opts}
    assert file.startswith("/var/lib/medfed/")
    assert file.endswith(".toml")


@pytest.mark.needs_package("systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_it_and_finds_it_well_protected(unit, tmp_path):
    here = tmp_path / unit.name
    ours = str(Path(sys.executable).parent)
    here.write_text(unit.read_text("utf-8").replace(str(Path(PROGRAM).parent), ours))
    for words in (["verify", "--man=no"], ["security", "--offline=true", _threshold()]):
        done = subprocess.run(
            ["systemd-analyze", *words, str(here)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert unit.name not in done.stderr


def _threshold() -> str:
    return f"--threshold={MOST_EXPOSED}"
