"""`medfed backup` and `medfed restore`, as a person types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from consoles import stage_of

from medfed.services import audit
from medfed.services.console import Console
from medfed.services.machine_acts import whoever


def medfed(*words: object, **more):
    command = [sys.executable, "-m", "medfed", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


@pytest.mark.slow
def test_a_console_moves_to_another_folder(tmp_path, sqlite_url):
    old, new, kept = tmp_path / "console", tmp_path / "new", tmp_path / "kept"
    stage = stage_of(old, sqlite_url)
    done = medfed("backup", kept, "--data", old, "--database", sqlite_url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"tables are in {kept}\n")
    again = medfed("backup", kept, "--data", old, "--database", sqlite_url)
    assert (again.returncode, "there is something" in again.stderr) == (5, True)
    done = medfed("restore", kept, "--data", new)
    assert done.returncode == 0, done.stderr
    assert "secrets.json was not there" in done.stderr
    shutil.copy(old / "secrets.json", new)
    console = Console.open(new)
    assert console.accounts.begin() is None
    assert console.runs.find(stage.run).state == "finished"
    (act,) = audit.entries(console.database, words="console.restore")
    assert act.actor == whoever().name
    assert act.subject == "folder kept"
    console.close()
    twice = medfed("restore", kept, "--data", new)
    assert (twice.returncode, "not empty" in twice.stderr) == (5, True)


def test_what_is_not_there_is_said(tmp_path):
    done = medfed("backup", tmp_path / "kept", "--data", tmp_path / "none")
    assert (done.returncode, "there is no console" in done.stderr) == (5, True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "manifest.json").write_text(json.dumps({"format": 1}))
    done = medfed("restore", tmp_path / "kept", "--data", tmp_path / "new")
    assert (done.returncode, "not a backup" in done.stderr) == (3, True)
