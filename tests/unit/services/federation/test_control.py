"""The door for researchers asks for the token, takes studies, and says no in words."""

import json
import subprocess

import pytest
from click.testing import CliRunner

from medfed.cli import cli
from medfed.core.errors import RunError
from medfed.core.own_process import own_process
from medfed.federation.enrolment.folder import init_coordinator
from medfed.federation.loopback_server import LoopbackServer
from medfed.services.federation import control
from medfed.services.federation.activity import ActivityFile
from medfed.services.federation.submit import Control

STUDY = """
title = "Breast cancer"
sites = ["north", "south"]
rounds = 2
[source]
name = "breast-cancer"
[split]
name = "hash"
test = 0.3
[task]
name = "tabular-classification"
target = "diagnosis"
positive = "= malignant"
numeric = ["mean radius"]
[strategy]
name = "fedavg"
"""


@pytest.fixture
def home(tmp_path):
    return init_coordinator(tmp_path / "coord", "https://localhost:8443", name="fed").path


@pytest.fixture
def started(monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command))
    return commands


@pytest.fixture
def door(home):
    with LoopbackServer(control.control_app(home)) as server:
        yield Control(f"http://127.0.0.1:{server.port}", control.control_token(home))


def test_without_the_token_nothing_is_told(home, door):
    stranger = Control(door._url, "guess")
    with pytest.raises(RunError, match="does not know this token"):
        stranger.status()


def test_the_token_is_made_once_and_for_its_owner_only(home):
    assert control.control_token(home) == control.control_token(home)
    assert (home / control.TOKEN).stat().st_mode & 0o077 == 0


def test_the_federation_is_told_as_it_stands(door):
    assert door.status()["name"] == "fed"


def test_a_study_becomes_a_process_of_its_own(home, door, started):
    door.submit("first", STUDY)
    (command,) = started
    assert tuple(command[: len(own_process())]) == own_process()
    assert command[len(own_process()) :][:2] == ["run", str(home / "runs" / "first.toml")]
    assert command[-2:] == ["--out", str(home / "runs" / "first")]
    assert (home / "runs" / "first.toml").read_text() == STUDY


def test_runs_of_a_coordinator_that_encrypts_are_encrypted(home, started):
    with LoopbackServer(control.control_app(home, "/keys/run.key")) as server:
        Control(f"http://127.0.0.1:{server.port}", control.control_token(home)).submit("a", STUDY)
    assert started[0][-2:] == ["--encrypt-with", "/keys/run.key"]


def test_a_name_that_is_taken_is_refused_unless_resumed(home, door, started):
    (home / "runs" / "first").mkdir(parents=True)
    with pytest.raises(RunError, match="already"):
        door.submit("first", STUDY)
    door.submit("first", STUDY, resume=True)
    assert started[0][-1] == "--resume"


@pytest.mark.parametrize(
    ("name", "study", "words"),
    [
        ("first", STUDY.replace("rounds = 2", "rounds = 0"), "problem"),
        ("first", "not toml at all [", "TOML"),
        ("..", STUDY, "HTTP|Not Found|name"),
        ("a b", STUDY, "name|HTTP"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(door, started, name, study, words):
    with pytest.raises(RunError, match=words):
        door.submit(name.replace(" ", "%20"), study)
    assert not started


def test_a_run_is_followed_to_its_result(home, door, started):
    door.submit("first", STUDY)
    file = ActivityFile(home, "ab", home / "runs" / "first")
    file.ended("all rounds are done")
    (home / "runs" / "first.out").write_text(json.dumps({"rounds": 2}) + "\n")
    assert door.follow("first", lambda _: None) == {"rounds": 2}


def test_a_run_that_nobody_knows_is_said_so(door):
    with pytest.raises(RunError, match="no run called"):
        door.follow("other", lambda _: None)


def test_the_result_of_a_run_elsewhere_is_shown_as_that_of_one_here(
    home, door, monkeypatch, tmp_path
):
    auc = {"auc": {"value": 0.97, "low": 0.95, "high": 0.99}}
    result = {
        "metrics": {"overall": auc, "sites": {"north": auc}},
        "patients": {"overall": 80, "north": 50},
        "rounds": 2,
        "seconds": 3.21,
        "bytes_up": 2048,
        "bytes_down": 1024,
        "run_dir": "/srv/runs/first",
    }
    monkeypatch.setattr(
        subprocess, "Popen", lambda _, stdout, **__: stdout.write(json.dumps(result).encode())
    )
    study = tmp_path / "study.toml"
    study.write_text(STUDY)
    monkeypatch.setenv("MEDFED_TOKEN", control.control_token(home))
    words = ["run", str(study), "--coordinator", door._url, "--out", "first"]
    shown = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "0.970 [0.950, 0.990]" in shown.stdout
    assert "2 rounds in 3.2 s; 2.0 kB from the sites" in shown.stdout
    assert "first is finished; its folder is at the coordinator." in shown.stdout
    again = CliRunner().invoke(cli, [*words, "--resume", "--json"], catch_exceptions=False)
    assert json.loads(again.stdout) == result
