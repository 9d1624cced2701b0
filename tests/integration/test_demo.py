import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from accounting import FAST

from medfed.cli import main
from medfed.cli.demo_houses import houses_served
from medfed.cli.demo_visit import Visitor, look_around, look_at_hospital, look_at_result
from medfed.cli.serving import served
from medfed.connectors.phantom import make_phantom
from medfed.core.errors import DataError, RunError
from medfed.core.study_file import parse_study, read_study
from medfed.services import demo_helper, demo_study
from medfed.services.console import Console
from medfed.services.console.recording import Recorder, recorded
from medfed.services.demo import check_demo, judge, learn_alone, statement
from medfed.services.demo_console import Furnished, begin, follow, furnish, put_to_work, stop
from medfed.services.demo_hospitals import furnish_house
from medfed.services.demo_pictures import names
from medfed.services.runs import RunOptions, start

TINY = {
    "rounds = 7": "rounds = 1",
    "local_steps = 40": "local_steps = 2",
    "filters = [16, 32, 64]": "filters = [4, 4, 4]",
}


def tiny_text():
    text = demo_study.TEXT
    for old, new in TINY.items():
        assert old in text
        text = text.replace(old, new)
    return text


@dataclass
class Done:
    out: Path
    made: Furnished
    run: str
    summary: dict
    again: dict
    said: list[str]

    @property
    def folder(self) -> Path:
        return self.made.folder / "runs" / self.run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The whole demo with the smallest network and a step or two: it learns nothing."""
    out = tmp_path_factory.mktemp("demo")
    patients = make_phantom(out / "patients", demo_study.HOSPITALS, 3, "small", seed=1).out
    text, said = tiny_text(), list[str]()
    study, made = parse_study(text), furnish(out, text=text, bcrypt_rounds=FAST)
    console = Console.open(made.folder, faces=made.faces, bcrypt_rounds=FAST)
    run = begin(console, made.admin, made.study).id
    options = RunOptions(console.place.run_folder(run), data=patients, threads=1)
    recorder = Recorder(console.database, run, 0)
    with recorded(recorder) as tell_result:
        tell_result(start(study, options, text, recorder))
    learn_alone(study, out, patients, said.append)
    summary = judge(study, options.out, out, patients, said.append)
    learn_alone(study, out, patients, said.append)
    again = judge(study, options.out, out, patients, said.append)
    assert demo_helper.take_in(patients, made.site, made.folder) == 3
    assert demo_helper.take_in(patients, made.site, made.folder) == 0
    put_to_work(console, made.admin, run)
    put_to_work(console, made.admin, run)  # once more changes nothing
    console.close()
    return Done(out, made, run, summary, again, said)


@pytest.mark.slow
def test_the_demo_writes_what_it_promises(done):
    run, summary = done.folder, done.summary
    report = (run / "report.html").read_text("utf-8")
    assert report.count("data:image/png") >= 9
    assert "ynthetic" in report
    assert json.loads((run / "run.json").read_bytes())["notice"]
    assert json.loads((run / "comparison.json").read_bytes())["statement"] == statement(summary)
    index = json.loads((run / "pictures" / "index.json").read_bytes())
    assert [item["file"] for item in index] == names(demo_study.HOSPITALS)
    assert len(done.said) == 2 * (1 + len(demo_study.HOSPITALS))
    assert json.loads((done.out / "demo.json").read_bytes()) == done.again


@pytest.mark.slow
def test_a_demo_goes_on_where_it_was(done):
    assert done.again["dice"] == done.summary["dice"]


@pytest.mark.slow
def test_marking_nothing_is_measured_and_is_zero(done):
    summary = done.summary
    assert summary["dice"]["all-background"] == 0
    assert set(summary["sites"]) == {
        "federated", "alone", "untrained", "all-background"
    }  # fmt: skip
    assert np.isfinite(list(summary["dice"].values())).all()


@pytest.mark.slow
def test_a_model_that_learned_nothing_does_not_pass(done):
    dice = done.summary["dice"]
    for rival in ("untrained", "all-background"):
        equal = {**done.summary, "dice": {**dice, "federated": dice[rival]}}
        with pytest.raises(RunError, match="did not learn"):
            check_demo(done.folder, equal)


@pytest.mark.slow
def test_a_missing_file_does_not_pass(done, tmp_path):
    with pytest.raises(RunError, match=r"did not write .*report\.html"):
        check_demo(tmp_path, done.summary)


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
def test_each_hospital_shows_what_left_its_site_in_the_run(done):
    first = Console.open(done.made.folder, faces=done.made.faces, bcrypt_rounds=FAST)
    try:
        (run,) = first.hospital.receipts.runs()
        assert (run.bad, run.damaged) == (0, False)
        assert first.hospital.receipts.verified().verdict.receipts == run.count > 0
    finally:
        first.close()
    for name in demo_study.HOSPITALS[1:]:
        house = furnish_house(
            done.out, name, done.made.password, text=tiny_text(), bcrypt_rounds=FAST
        )
        other = Console.open(house.console, faces=house.faces, bcrypt_rounds=FAST)
        try:
            assert [each.run for each in other.hospital.receipts.runs()] == [run.run]
            assert other.hospital.receipts.verified().verdict.faults == []
        finally:
            other.close()


@pytest.mark.slow
def test_the_console_shows_the_run_and_uses_its_model(done):
    with served(done.made.folder, done.made.faces, 0, {}) as server:
        visitor = Visitor(f"http://127.0.0.1:{server.port}")
        with pytest.raises(RunError, match=r"showed /login|page / failed"):
            visitor.get("/")
        with pytest.raises(RunError, match="page /login failed"):
            visitor.log_in("admin", "no password of theirs")
        visitor.log_in("admin", done.made.password)
        look_around(visitor, done.run)
        look_at_result(visitor, done.run)
        with pytest.raises(RunError, match="page /runs/none failed"):
            look_around(visitor, "none")
        report = done.folder / "report.html"
        report.rename(done.out / "aside.html")
        with pytest.raises(RunError, match="report failed"):
            look_at_result(visitor, done.run)
        (done.out / "aside.html").rename(report)
    with pytest.raises(RunError, match="page / failed"):
        visitor.get("/")


def test_a_console_is_furnished_once_and_its_run_begun_once(tmp_path):
    first = furnish(tmp_path, text=tiny_text(), bcrypt_rounds=FAST)
    again = furnish(tmp_path, text=tiny_text(), bcrypt_rounds=FAST)
    assert (first.study, first.folder) == (again.study, again.folder)
    assert first.password != again.password
    console = Console.open(again.folder, faces=again.faces, bcrypt_rounds=FAST)
    try:
        assert [user.name for user in console.accounts.users()] == ["admin", "grace", "ming"]
        who = console.accounts.identify(console.accounts.log_in("admin", again.password))
        assert who is not None
        assert not who.must_change
        run = begin(console, again.admin, again.study)
        stop(console, again.admin, again.study)
        with pytest.raises(RunError, match="run is stopped"):
            follow(console, run.id, lambda event: None)
        resumed = begin(console, again.admin, again.study)
        assert (resumed.id, resumed.state) == (run.id, "queued")
        with pytest.raises(RunError, match="left no model"):
            put_to_work(console, again.admin, run.id)
    finally:
        console.close()


def test_patients_may_be_drawn_before(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(demo_study, "PATIENTS", 1)
    main(["demo", "--prepare"])
    assert (demo_helper.cached_phantom() / "manifest.json").exists()


@pytest.mark.slow
def test_the_other_hospitals_have_consoles_that_know_of_each_other(tmp_path, monkeypatch):
    made = furnish(tmp_path, bcrypt_rounds=FAST)
    monkeypatch.setattr(
        "medfed.cli.demo_houses.furnish_house", partial(furnish_house, bcrypt_rounds=FAST)
    )
    with served(made.folder, made.faces, 0, {}) as server:
        for _ in range(2):  # a demo that goes on finds them furnished
            with houses_served(tmp_path, made, server) as houses:
                assert [each.name for each in houses] == list(demo_study.HOSPITALS[1:])
                for each in houses:
                    visitor = Visitor(each.url)
                    visitor.log_in("admin", made.password)
                    page = visitor.get("/participation/")
                    assert "approved here" in page
                    assert all(other.name in page for other in houses)
                    each.console.desk.recall.ask_all()  # the coordinator takes its token
                    with pytest.raises(RunError, match="has no scan; has no model"):
                        look_at_hospital(each.url, "admin", made.password)
        home = Visitor(f"http://127.0.0.1:{server.port}")
        home.log_in("admin", made.password)
        assert "riverside" in home.get("/")


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(600)
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
    assert re.search(
        r"^First page after [\d.]+ s .*; all done [\d.]+ s later", done.stdout, re.MULTILINE
    )
    assert "synthetic" in done.stderr
    assert re.search(
        r"admin with this password: [a-z2-9]{4}(-[a-z2-9]{4}){3}$", done.stdout, re.MULTILINE
    )
