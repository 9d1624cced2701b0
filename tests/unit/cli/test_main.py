"""The command line: instant help, exit codes, one JSON object at the end, never a traceback."""

import errno
import json
import os
import subprocess
import sys

import click
import pytest
from integration.federated import go, study_of, text_of

from medfed import cli as command_line
from medfed.cli import COMMANDS, cli, main
from medfed.core.errors import (
    CheckpointError,
    DataError,
    MedfedError,
    PartError,
    QuorumError,
    Refused,
    RunError,
    SiteError,
    StudyError,
    WireError,
)  # fmt: skip

CONTRACT = {
    "schema", "study", "engine", "rounds", "model_sha256", "metrics", "seconds", "bytes_up",
    "bytes_down", "run_dir",
}  # fmt: skip


@pytest.fixture
def medfed(capsys):
    """Call the command line as a person does: exit code, standard output, standard error."""

    def call(*arguments):
        code = 0
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def failing(monkeypatch):
    """Make `medfed parts` fail with an exception."""

    def install(error):
        def fail(**_):
            raise error

        monkeypatch.setattr(sys.modules["medfed.cli.parts"].parts, "callback", fail)

    return install


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"],
                                       ["site", "--help"], ["study", "--help"]])  # fmt: skip
def test_help_loads_nothing_heavy(arguments):
    probe = (
        "import sys; from medfed.cli import cli; "
        f"cli.main({arguments!r}, standalone_mode=False); print('loaded:', *sys.modules)"
    )
    said = subprocess.check_output([sys.executable, "-c", probe], text=True)
    loaded = set(said.partition("loaded:")[2].split())
    heavy = {"torch", "pandas", "monai", "sklearn", "scipy", "flwr", "matplotlib", "SimpleITK"}
    assert not heavy & loaded
    if arguments == ["--help"]:
        assert "numpy" not in loaded


def test_every_command_is_there_and_explains_itself(medfed):
    code, out, _ = medfed("--help")
    assert code == 0
    for name, (_, words) in COMMANDS.items():
        assert name in out
        command = cli.get_command(click.Context(cli), name)
        assert command.help or isinstance(command, click.Group)
        assert words.endswith(".")
    assert medfed("nonsense")[0] == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MedfedError("x"), 1), (StudyError("x"), 2), (PartError("x"), 2), (DataError("x"), 3),
        (SiteError("x"), 4), (RunError("x"), 5), (QuorumError("x"), 5), (CheckpointError("x"), 5),
        (WireError("x"), 6), (Refused("no-data"), 7), (KeyboardInterrupt(), 130),
        (ValueError("Mrs Miller"), 1), (RecursionError(), 1), (MemoryError(), 1),
    ],
)  # fmt: skip
def test_every_failure_has_an_exit_code_and_a_sentence(error, code, medfed, failing, tmp_path,
                                                       monkeypatch):  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    medfed("parts", "split")
    failing(error)
    got, out, said = medfed("parts")
    assert got == code
    assert out == ""
    assert said.strip()
    assert "Traceback" not in said
    assert "Miller" not in said
    got, out, _ = medfed("parts", "--json")
    assert got == code
    about = json.loads(out.splitlines()[-1])
    assert about["schema"] == 1
    assert about["error"]["exit_code"] == code
    assert "Miller" not in out


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied", "/over/there"),
        OSError(errno.EROFS, "Read-only file system", "/over/there"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/over/there"),
    ],
)
def test_what_the_disk_refuses_is_told_in_a_sentence(error, medfed, failing):
    medfed("parts", "split")
    failing(error)
    code, _, said = medfed("parts")
    assert code == 1
    assert ("/over/there" if error.filename else "the disk") in said
    assert os.strerror(error.errno) in said
    assert "What to do" in said
    assert "foresee" not in said


def test_places_that_cannot_be_written(medfed, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for command in (["study", "new"], ["site", "init"]):
        code, _, said = medfed(*command, tmp_path / "file" / "below")
        assert code != 0, command
        assert str(tmp_path / "file") in said, command
        assert "foresee" not in said, command


def test_what_nobody_foresaw_is_written_to_a_file(medfed, failing, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    medfed("parts", "split")
    failing(ZeroDivisionError("details"))
    _, _, said = medfed("parts")
    (file,) = tmp_path.glob("medfed-error-*.txt")
    assert str(file) in said
    assert "ZeroDivisionError: details" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_wrong_option_is_told_in_json_too(medfed):
    code, out, said = medfed("run", "x.toml", "--json", "--nonsense")
    assert code == 2
    assert "nonsense" in said
    assert json.loads(out)["error"]["exit_code"] == 2


def test_whoever_stops_reading_gets_no_complaint():
    probe = [sys.executable, "-c", "from medfed.cli import main; main(['parts', 'strategy'])"]
    with subprocess.Popen(probe, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


# --- medfed run -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_the_last_line_of_a_run_is_the_result(medfed, tmp_path):
    (tmp_path / "s.toml").write_text(text_of(rounds=1))
    code, out, said = medfed("run", tmp_path / "s.toml", "--out", tmp_path / "r", "--json")
    assert code == 0, said
    result = json.loads(out.splitlines()[-1])
    assert len(out.splitlines()) == 1
    assert result.keys() >= CONTRACT
    assert result["schema"] == 1
    assert result["study"] == study_of(rounds=1).digest
    assert result["engine"] == "local"
    assert result["rounds"] == 1
    for metrics in (result["metrics"]["overall"], *result["metrics"]["sites"].values()):
        assert all(value.keys() == {"value", "low", "high"} for value in metrics.values())
        assert "auc" in metrics
    assert list(result["metrics"]["sites"]) == ["north", "centre", "south"]
    assert result["bytes_up"] > 0 < result["bytes_down"]
    assert result == json.loads((tmp_path / "r" / "result.json").read_text())
    assert medfed("run", tmp_path / "s.toml", "--out", tmp_path / "r")[0] == 5


@pytest.mark.usefixtures("quick")
def test_a_title_may_hold_anything(medfed, tmp_path):
    text = text_of(rounds=1).replace("Three hospitals", "[/b] [red] \\\\ {x} %s")
    (tmp_path / "s.toml").write_text(text)
    code, out, said = medfed("run", tmp_path / "s.toml", "--out", tmp_path / "r")
    assert code == 0, said
    assert "[/b] [red]" in out
    assert medfed("study", "show", tmp_path / "s.toml")[0] == 0


@pytest.mark.usefixtures("quick")
def test_another_seed_is_another_study(medfed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(text_of(rounds=1))
    for more in ([], ["--seed", "8"]):
        assert medfed("run", "s.toml", *more)[0] == 0
    names = {f.name for f in (tmp_path / "runs").iterdir()}
    assert names == {
        f"s-{study_of(rounds=1).evolve(seed=seed).digest[:8]}" for seed in (3, 8)
    }  # fmt: skip


def test_a_run_of_nothing_is_refused(medfed, tmp_path):
    code, out, said = medfed("run", tmp_path / "none.toml", "--json")
    assert code == 2
    assert "medfed study new" in said
    assert json.loads(out)["error"]["kind"] == "StudyError"


# --- medfed study, parts, site, model -------------------------------------------------------------


@pytest.mark.parametrize("task", ["tabular-classification", "nodule-segmentation"])
def test_a_new_study_is_in_order(task, medfed, tmp_path):
    file = tmp_path / "new.toml"
    assert medfed("study", "new", file, "--task", task)[0] == 0
    code, out, _ = medfed("study", "check", file)
    assert code == 0
    assert "is in order" in out
    code, shown, _ = medfed("study", "show", file, "--json")
    assert json.loads(shown)["digest"] in out
    assert medfed("study", "new", file)[0] == 2
    assert medfed("study", "new", tmp_path / "no" / "new.toml")[0] == 2


def test_check_names_every_problem(medfed, tmp_path):
    (tmp_path / "s.toml").write_text(text_of(rounds=0).replace("lr = 0.1", "rl = 1"))
    code, _, said = medfed("study", "check", tmp_path / "s.toml")
    assert code == 2
    assert "line 4, rounds: 0 is too small. Give 1 or more" in said
    assert "strategy.rl: no such option" in said


def test_parts_lists_everything(medfed):
    code, out, _ = medfed("parts")
    assert code == 0
    for name in ("fedavg", "scaffold", "median", "top-k", "breast-cancer", "hash"):
        assert name in out
    listing = json.loads(medfed("parts", "strategy", "fedprox", "--json")[1])
    assert listing["strategy"]["fedprox"]["options"]["lr"]["default"] == 0.1
    assert json.loads(medfed("parts", "--json")[1]).keys() >= {"task", "strategy", "source"}
    code, _, said = medfed("parts", "strategy", "fedporx")
    assert code == 2
    assert 'Did you mean "fedprox"?' in said


@pytest.mark.parametrize("command", ["show", "receipts"])
def test_a_folder_that_is_no_site_is_named(command, medfed, tmp_path):
    code, _, said = medfed("site", command, tmp_path)
    assert code == 4
    assert "medfed site init" in said


def test_a_site_is_made_once_and_trusts_a_real_key(medfed, tmp_path):
    assert medfed("site", "init", tmp_path / "north")[0] == 0
    assert medfed("site", "init", tmp_path / "north")[0] == 4
    assert medfed("site", "init", tmp_path / "a b")[0] == 4
    assert medfed("site", "init", tmp_path / "x", "--data", tmp_path / "none")[0] == 3
    assert medfed("site", "trust", tmp_path / "north", tmp_path / "none")[0] == 4
    assert medfed("site", "revoke", tmp_path / "north", "abc")[0] == 4
    code, out, _ = medfed("site", "show", tmp_path / "north")
    assert code == 0
    assert "nobody yet" in out


@pytest.mark.usefixtures("quick")
def test_a_forged_receipt_is_found(medfed, tmp_path):
    go(study_of(rounds=1), tmp_path / "run")
    folder = tmp_path / "run" / "sites" / "north"
    assert medfed("site", "receipts", folder)[0] == 0
    (file,) = (folder / "receipts").iterdir()
    text = file.read_text()
    file.write_text(text.replace('"round": 1', '"round": 2'))
    assert medfed("site", "receipts", folder)[0] == 6
    file.write_text(text.replace("}\n", "\n", 1))
    assert medfed("site", "receipts", folder)[0] == 3


def test_there_must_be_a_model_to_export(medfed, tmp_path):
    assert medfed("model", "export", tmp_path)[0] == 3
    (tmp_path / "m.safetensors").write_bytes(b"no model")
    assert medfed("model", "export", tmp_path / "m.safetensors")[0] == 3
    assert command_line.INTERRUPTED == 130
