"""`medfed` as people meet it: real processes, killed, interrupted, out of space."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from integration.federated import figures, go, outcome, study_of, text_of

from medfed.federation.site_folder import SiteFolder
from medfed.storage.run_folder import RunFolder

MEDFED = [sys.executable, "-m", "medfed"]
pytestmark = pytest.mark.usefixtures("quick")
LONG = {"strategy": "scaffold", "rounds": 24, "compression": "top-k"}


def call(*arguments, cwd, **options):
    return subprocess.run(
        [*MEDFED, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False,
        timeout=150, **options,
    )  # fmt: skip


def last_json(done):
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def study(tmp_path):
    (tmp_path / "s.toml").write_text(text_of(**LONG))
    return tmp_path / "s.toml"


def started(study, *arguments):
    """A run in a process group of its own, as a shell would start it."""
    return subprocess.Popen(
        [*MEDFED, "run", str(study), "--out", str(study.parent / "run"), *arguments],
        cwd=study.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for(process, condition):
    while process.poll() is None and not condition():
        time.sleep(0.005)


def rows(study):
    return len(RunFolder(study.parent / "run").rows())


def resumed_here(study, of):
    """Gone on with in this process, which is warm."""
    out = study.parent / "run"
    return go(of, out, resume=out.exists())["model_sha256"], figures(out)


def wanted_of(tmp_path):
    return outcome(study_of(**LONG), tmp_path / "whole")


def resumed(study, *arguments):
    out = study.parent / "run"
    again = ("--resume",) if out.exists() else ()
    done = call("run", study, "--out", out, *again, *arguments, "--json", cwd=study.parent)
    assert done.returncode == 0, done.stderr
    return last_json(done)["model_sha256"], figures(out)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_loses_nothing(study, tmp_path):
    process = started(study, "--seed", "5")
    wait_for(process, lambda: rows(study) >= 3)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Nothing is lost" in said
    assert f"--out {tmp_path / 'run'} --seed 5 --resume" in said.replace("\n", "")
    assert "Traceback" not in said
    wanted = outcome(study_of(**LONG).evolve(seed=5), tmp_path / "whole")
    assert resumed_here(study, study_of(**LONG).evolve(seed=5)) == wanted


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_several_moments_it_comes_to_the_same_model(study, tmp_path):
    wanted = wanted_of(tmp_path)
    out = study.parent / "run"
    for stop in (
        out.exists,
        (out / "run.json").exists,
        lambda: any((out / "spool").glob("*")),
        lambda: rows(study) >= 2,
        lambda: rows(study) >= 12,
    ):
        shutil.rmtree(out, ignore_errors=True)
        process = started(study)
        wait_for(process, stop)
        process.kill()
        process.communicate()
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(out, tmp_path / "copy")
        assert resumed_here(study, study_of(**LONG)) == wanted
    shutil.rmtree(out)
    (tmp_path / "copy").rename(out)
    assert resumed(study) == wanted


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_in_every_phase(study, tmp_path, workers):
    wanted = wanted_of(tmp_path)
    out = study.parent / "run"
    for stop in (
        lambda: time.sleep(0.3) or True,
        lambda: time.sleep(2.0) or True,
        (out / "run.json").exists,
        lambda: rows(study) >= 10,
    ):
        shutil.rmtree(out, ignore_errors=True)
        process = started(study, "--workers", workers)
        wait_for(process, stop)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        if process.returncode == -signal.SIGINT:  # Python itself was still starting
            continue
        assert process.returncode in (130, 0), said
        assert "Stopped" in said or process.returncode == 0
        assert "Traceback" not in said
        assert resumed_here(study, study_of(**LONG)) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("limit", [300, 3_000, 9_000])
def test_where_no_file_may_grow_it_stops_with_a_sentence_and_goes_on_later(study, tmp_path, limit):
    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    out = tmp_path / "run"
    done = call("run", study, "--out", out, "--json", cwd=tmp_path, preexec_fn=small)
    assert done.returncode == 5, done.stderr
    error = last_json(done)["error"]
    assert error["exit_code"] == 5
    assert "--resume" in error["message"]
    assert "Traceback" not in done.stderr
    assert not list(out.rglob("*.part"))
    assert resumed(study) == wanted_of(tmp_path)


def test_separate_hospitals_from_first_to_last(tmp_path):
    """Folders made, coordinator trusted, study approved, run, receipts read, model exported."""
    import torch
    from click.testing import CliRunner

    from medfed.cli import cli, main

    (tmp_path / "s.toml").write_text(text_of(rounds=2, min_sites=3))
    home, study, out = tmp_path / "h", tmp_path / "s.toml", tmp_path / "run"

    def ok(*arguments):
        done = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    first = ok("site", "coordinator", home)
    assert ok("site", "coordinator", home) == first  # asked again, it shows the same key
    for name in ("north", "centre", "south"):
        said = ok("site", "init", home / name)
        assert "Fingerprint: " in said
        assert "medfed site trust" in said
        ok("site", "trust", home / name, home / "coordinator" / "key.pub")
    ok("site", "approve", home / "north", study)
    ok("site", "approve", home / "centre", study)

    def run(*more):
        with pytest.raises(SystemExit) as ended:
            main(["run", str(study), "--out", str(out), "--sites", str(home), *more])
        return ended.value.code

    assert run() == 5
    said = ok("site", "approve", home / "south", study)
    digest = said.split("digest ")[1].strip()
    result = json.loads(
        ok("run", study, "--out", out, "--sites", home, "--resume", "--json").splitlines()[-1]
    )
    assert result["study"] == digest
    assert not (out / "sites").exists()
    shown = ok("site", "show", home / "south")
    assert digest[:16] in shown
    assert "all signatures good" in ok("site", "receipts", home / "south")
    lines = ok("site", "receipts", home / "south", "--json").splitlines()
    assert len(lines) == len(list(SiteFolder(home / "south").receipts()))
    assert json.loads(lines[0])["site"] == "south"
    ok("site", "revoke", home / "south", digest[:12])
    assert digest[:16] not in ok("site", "show", home / "south")

    ok("model", "export", out, "--out", tmp_path / "m.pth")
    tensors = torch.load(tmp_path / "m.pth", weights_only=True)
    assert tensors["head.weight"].shape == (1, 2)
