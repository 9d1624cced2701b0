import json
import os
import subprocess
import sys

import numpy as np
import pytest

from medfed.connectors.phantom import make_phantom
from medfed.core.errors import DataError, RunError
from medfed.core.study_file import parse_study, read_study
from medfed.services import demo_helper, demo_study
from medfed.services.demo import Stage, check_demo, learn_alone, run_demo, statement
from medfed.services.demo_pictures import names

TINY = {"rounds = 7": "rounds = 1", "local_steps = 20": "local_steps = 2"}


def tiny_study():
    text = demo_study.TEXT
    for old, new in TINY.items():
        assert old in text
        text = text.replace(old, new)
    return parse_study(text.replace("filters = [16, 32, 64]", "filters = [4, 4, 4]"))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The whole demo with the smallest network and a step or two: it learns nothing."""
    out = tmp_path_factory.mktemp("demo")
    patients = make_phantom(out / "patients", demo_study.HOSPITALS, 3, "small", seed=1).out
    said: list[str] = []
    study = tiny_study()
    stage = Stage(
        said.append,
        lambda _: lambda event: None,
        lambda: learn_alone(study, out / "run", patients, said.append),
    )
    summary = run_demo(study, out / "run", patients, stage)
    again = run_demo(study, out / "run", patients, stage)
    return out / "run", summary, again, said


def test_the_demo_writes_what_it_promises(done):
    out, summary, _, said = done
    run = out / "federated"
    report = (run / "report.html").read_text("utf-8")
    assert report.count("data:image/png") >= 9
    assert "ynthetic" in report
    assert json.loads((run / "run.json").read_bytes())["notice"]
    assert json.loads((run / "comparison.json").read_bytes())["statement"] == statement(summary)
    index = json.loads((run / "pictures" / "index.json").read_bytes())
    assert [item["file"] for item in index] == names(demo_study.HOSPITALS)
    assert len(said) == 2 * (2 + len(demo_study.HOSPITALS))


def test_a_demo_goes_on_where_it_was(done):
    _, summary, again, _ = done
    assert again["dice"] == summary["dice"]


def test_marking_nothing_is_measured_and_is_zero(done):
    _, summary, _, _ = done
    assert summary["dice"]["all-background"] == 0
    assert set(summary["sites"]) == {
        "federated", "alone", "untrained", "all-background"
    }  # fmt: skip
    assert np.isfinite(list(summary["dice"].values())).all()


def test_a_model_that_learned_nothing_does_not_pass(done):
    out, summary, _, _ = done
    for rival in ("untrained", "all-background"):
        equal = {**summary, "dice": {**summary["dice"], "federated": summary["dice"][rival]}}
        with pytest.raises(RunError, match="did not learn"):
            check_demo(out, equal)


def test_a_missing_file_does_not_pass(done, tmp_path):
    _, summary, _, _ = done
    with pytest.raises(RunError, match=r"did not write .*report\.html"):
        check_demo(tmp_path, summary)


def test_the_statement_says_when_nobody_gained():
    sites = {"federated": {"a": 0.1}, "alone": {"a": 0.2}}
    dice = dict.fromkeys(["federated", "alone", "untrained", "all-background"], 0.1)
    said = statement({"dice": dice, "sites": sites, "with_nodules": 9})
    assert "at no hospital" in said
    assert "prove nothing" in said


def test_an_error_in_the_second_process_reaches_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_helper, "_load", lambda: None)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("else")
    seen: list[tuple[int, int, str]] = []
    with (
        demo_helper.Helper(tmp_path / "full", tmp_path / "out") as helper,
        pytest.raises(DataError, match="exists and is no phantom"),
    ):
        helper.patients(lambda *step: seen.append(step))
    assert not seen


def test_the_example_is_in_order_and_names_the_phantoms_hospitals(pytestconfig, tmp_path):
    study = read_study(pytestconfig.rootpath / "examples" / "nodules.toml")
    assert study.sites == tuple(make_phantom(tmp_path / "p", 3, 1).hospitals)


@pytest.mark.slow
def test_the_demo_as_a_person_runs_it(tmp_path):
    command = [sys.executable, "-c", "from medfed.cli import main; main()", "demo", "--check"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "demo")],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The demo is in order" in done.stdout
    assert "synthetic" in done.stderr
