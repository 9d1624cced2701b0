"""The privacy report: whole, private, true to its schema, and in words where it cannot be made."""

import json
import re
import shutil
import stat
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from unit.services.evidence.small_runs import run_here, study_text, write_tables
from unit.services.pages import check_page
from unit.tasks.volumes import ONE_THREAD, scan, site_of

from medfed.cli import main
from medfed.core.errors import DataError, MedfedError, RunError, SiteError
from medfed.core.task import Interval
from medfed.services.evidence.inversion import inversion
from medfed.services.evidence.membership import lira, loss_threshold
from medfed.services.evidence.page import render
from medfed.services.evidence.report import ReportOptions, claimed, make_report
from medfed.services.evidence.tables import Table
from medfed.services.evidence.words import findings, headline, limits
from medfed.services.reports.speech import speech_in
from medfed.tasks.segmentation import NoduleSegmentation

ROOT = Path(__file__).resolve().parents[4]
SCHEMA = json.loads(
    (files("medfed.services.evidence") / "privacy-report.schema.json").read_text("utf-8")
)
WORD = re.compile(r"[A-Za-z]{3,}")
AS_THEY_ARE = {
    *("north", "medfed", "AUC", "LiRA", "Yeom", "Carlini", "dp", "sgd", "other", "min", "UTC"),
    *("head", "weight", "layers", "SHA", "css"),
}
QUICK = {"hidden": (4,), "options": "batch_size = 32"}


def silent(*_):
    pass


def report(run, **options):
    return make_report(ReportOptions(run, shadows=8, **options), silent, silent)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run of two sites, and the folder of their data."""
    place = tmp_path_factory.mktemp("two")
    data = write_tables(place / "data", ("north", "south"), patients=60)
    run_here(place / "run", data, sites=("north", "south"), **QUICK)
    return place


@pytest.fixture(scope="module")
def done(two):
    return report(two / "run", site="north")


def test_a_report_is_written_for_the_site_only(two, done):
    assert done.page.parent == two / "run" / "sites" / "north" / "evidence"
    for file in (done.page, done.json):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(done.page.parent.stat().st_mode) == 0o700
    written = {
        f for f in (two / "run").rglob("*") if f.stat().st_mtime >= done.page.stat().st_mtime
    }
    assert {f for f in written if f.is_file()} <= {done.page, done.json}
    assert json.loads(done.json.read_text()) == done.about


def test_a_report_fits_its_schema_and_names_nobody(done):
    jsonschema.validate(done.about, SCHEMA)
    for file in (done.page, done.json):
        assert "north00" not in file.read_text()  # as patients are called there


def test_the_page_is_whole_and_says_what_it_must(done):
    page = check_page(done.page.read_text())
    for words in (
        "What could an attacker learn about the patients of north?",
        "was sent to nobody",
        "What was not tried",
        "Carlini et al. 2022",
        "the coordinator",
        "weak evidence",
        "The study has no privacy lines",
    ):
        assert words in page.words
    for finding in (*done.about["findings"], *done.about["limits"]):
        assert " ".join(finding.split()) in page.words


def test_the_fields_of_the_docs_are_those_of_the_file(done):
    text = (ROOT / "docs" / "reference" / "privacy-report.md").read_text("utf-8")
    for name in done.about:
        assert f"`{name}`" in text
    attack = done.about["membership"]["lira"]
    step = done.about["inversion"]["steps"][-1]
    for name in (*attack, *attack["at"][0], *done.about["inversion"], *step):
        assert f"`{name}`" in text


CANARY = {
    "mechanism": "dp-sgd", "unit": "patient", "done": True, "claimed": 3.0, "delta": 1e-5,
    "least": 2.2, "noise": 1.2, "draws": 4000, "confidence": 0.999, "paid": True, "shown": False,
}  # fmt: skip
OTHER = {"mechanism": "other", "unit": "record", "done": False}


def test_a_claim_that_is_wrong_is_the_headline(done):
    wrong = {**CANARY, "least": 4.1, "noise": 0.8, "paid": False, "shown": True}
    about = {**done.about, "mechanisms": [{"name": "dp-sgd"}], "canary": [wrong]}
    about |= {"findings": findings(about), "limits": limits(about)}
    assert "see canaries that the study’s noise should hide" in headline(about)
    told = " ".join(about["findings"])
    assert "The claim is wrong: no more than 80" in told
    assert "ledger holds fewer answers" in told
    assert "whether the run used the same program, they cannot see" in " ".join(about["limits"])
    assert "not all" in check_page(render(about)).words


def test_mechanisms_and_their_claim_stand_beside_the_evidence(done):
    claim = {"mechanism": "dp-sgd", "epsilon": 3.0, "delta": 1e-5, "unit": "patient"}
    about = {**done.about, "mechanisms": [{"name": "dp-sgd", "clip": 1.0}], "claimed": [claim]}
    about |= {"canary": [CANARY, {**OTHER, "reason": "no canary is known for this mechanism"}]}
    about |= {"findings": findings(about), "limits": limits(about)}
    page = check_page(render(about))
    assert "ε = 3 at δ = 1e-05, per patient (dp-sgd)" in page.words
    assert "clip 1.0" in page.words
    assert "not contradicted" in page.words
    assert "ε is 2.2 or more per patient, claimed is ε = 3 at δ = 1e-05" in page.words
    assert "Canary under other: not tried, because no canary is known" in page.words
    jsonschema.validate(about, SCHEMA)
    assert "as it would be without the privacy lines" in page.words
    assert "as it is sent" not in page.words
    assert "claims no figure" in check_page(render({**about, "claimed": []})).words


def test_the_page_is_all_chinese_to_who_asks_for_it(done):
    """With every line that a report may have; names and figures are as they are."""
    claim = {"mechanism": "dp-sgd", "epsilon": 3.0, "delta": 1e-5, "unit": "patient"}
    wrong = {**CANARY, "least": 4.1, "noise": 0.8, "paid": False, "shown": True}
    other = {**OTHER, "reason": "no canary is known for this mechanism"}
    private = {"mechanisms": [{"name": "dp-sgd"}], "claimed": [claim], "canary": [wrong, other]}
    no = {"done": False, "reason": "shadow models are trained for studies of tables only"}
    weak = {**done.about["membership"]["loss_threshold"], "weak": True, "shown": True}
    weak["why_weak"] = "one site’s shadow models lack the noise that the coordinator adds"
    alone = {"membership": {"lira": no, "loss_threshold": weak}, "inversion": no, "model": "own"}
    for change in ({}, private, {**private, "claimed": []}, alone):
        about = {**done.about, **change}
        english, chinese = render(about), render(about, speech_in("zh-CN"))
        page = check_page(chinese)
        known = json.dumps([about["run"], about["inversion"].get("layer")])
        left = set(WORD.findall(page.words)) - set(WORD.findall(known)) - AS_THEY_ARE
        assert left == set()
        assert page.tags == check_page(english).tags


def test_a_page_is_written_in_the_language_that_is_asked_for(two, tmp_path):
    out = tmp_path / "report.html"
    asked = ["--site", "north", "--out", str(out), "--shadows", "8", "--language", "zh-CN"]
    main(["privacy-report", str(two / "run"), *asked])
    assert '<html lang="zh-CN">' in out.read_text("utf-8")
    findings_there = json.loads(out.with_suffix(".json").read_bytes())["findings"]
    assert "training patients" in findings_there[0]  # programs read the file


def test_a_report_without_lira_says_how_little_that_is(done):
    """As of a nodule model: the page of a task with the weak attack alone."""
    no = {"done": False, "reason": "shadow models are trained for studies of tables only"}
    weak = {**done.about["membership"]["loss_threshold"], "weak": True, "shown": False}
    weak["why_weak"] = "a stronger attack was not tried"
    about = {**done.about, "membership": {"lira": no, "loss_threshold": weak}, "inversion": no}
    about = {**about, "findings": findings(about), "limits": limits(about)}
    jsonschema.validate(about, SCHEMA)
    page = check_page(render(about))
    assert "That says little" in page.words
    assert f"not tried: {no['reason']}" in page.words
    assert "Weak evidence: a stronger attack was not tried" in page.words
    assert "Shadow models learned" not in page.words
    shown = {**about, "membership": {"lira": no, "loss_threshold": {**weak, "shown": True}}}
    assert headline(shown).startswith("An attacker could tell training patients")


def test_claims_are_found_wherever_they_stand_and_other_sites_are_passed_over():
    told = {
        "dp-sgd": {"sites": {"north": {"epsilon": 2.5, "delta": 1e-5}, "south": {"epsilon": 9.0}}},
        "all": [{"name": "x", "epsilon": 4, "secret": 1}],
        "broken": {"epsilon": "much"},
    }
    found = list(claimed(told, "north", ("north", "south")))
    assert found == [{"epsilon": 2.5, "delta": 1e-5}, {"name": "x", "epsilon": 4}]
    assert list(claimed(None, "north", ("north",))) == []
    spent = {"unit": "patient", "epsilon": 1.5, "delta": 1e-5, "entries": 30}
    listed = {"spent": [{"site": "north", **spent}, {"site": "south", **spent}], "elsewhere": []}
    kept = {name: spent[name] for name in ("unit", "epsilon", "delta")}
    assert list(claimed(listed, "north", ("north", "south"))) == [kept]


@pytest.mark.slow
def test_a_personal_model_is_looked_for_at_the_site(tmp_path):
    data = write_tables(tmp_path / "data", ("north", "south"), patients=60)
    out = run_here(
        tmp_path / "run", data, sites=("north", "south"), strategy="local-head", hidden=(4,),
        options="batch_size = 32", rounds=1,
    )  # fmt: skip
    about = report(out, site="south", out=tmp_path / "south.html").about
    assert about["model"] == "own"
    assert [step["what"] for step in about["inversion"]["steps"]][-1] == "update"
    assert "a model of its own" in check_page((tmp_path / "south.html").read_text()).words


@pytest.mark.slow
def test_a_strategy_with_batch_normalisation_is_judged_as_far_as_it_goes(tmp_path):
    data = write_tables(tmp_path / "data", patients=60)
    text = study_text(hidden=(4,), options="batch_size = 32", rounds=1)
    from medfed.core.study_file import parse_study
    from medfed.services import runs

    text = text.replace("hidden = [4]", 'hidden = [4]\nnorm = "batch"')
    options = runs.RunOptions(tmp_path / "run", data=data, report=False)
    runs.start(parse_study(text), options, text)
    steps = report(tmp_path / "run").about["inversion"]["steps"]
    assert [step["what"] for step in steps] == ["gradient", "update", "model"]


# --- 3D -------------------------------------------------------------------------------------------


def test_nodule_models_are_asked_by_their_loss_only_and_that_is_called_weak():
    task = NoduleSegmentation(filters=(4, 8, 8), patch=8, patches=2, roi=16, crop=False)
    data = site_of([scan(f"p{i}", seed=i) for i in range(5)], test=2)
    job = task.job(data, {}, 1, ONE_THREAD)
    run = SimpleNamespace(task=task, model=task.initial(1, {}))
    assert Table.of(job) is None
    found = loss_threshold(run, job, None)
    assert found["done"]
    assert found["weak"]
    assert (found["members"], found["others"]) == (3, 2)
    assert not found["shown"]
    assert not lira(run, None, 8, silent)["done"]
    assert "fully connected" in inversion(run, None)["reason"]


def test_patients_without_a_loss_are_left_out():
    losses = {"train": [0.5, None, 0.25], "test": [1.0, float("nan")]}

    class Job:
        def evaluate_each(self, model, on):
            return [{"loss": value} for value in losses[on]]

    def summarise(stats):
        return {} if stats["loss"] is None else {"loss": Interval(stats["loss"])}

    run = SimpleNamespace(task=SimpleNamespace(summarise=summarise), model={})
    found = loss_threshold(run, Job(), None)
    assert (found["members"], found["others"], found["auc"]["value"]) == (2, 1, 1.0)


# --- what cannot be done --------------------------------------------------------------------------


def copy_of(two, tmp_path):
    return Path(shutil.copytree(two / "run", tmp_path / "copy"))


def refusal(kind, *arguments, **options):
    with pytest.raises(kind) as caught:
        report(*arguments, **options)
    assert isinstance(caught.value, MedfedError)
    assert caught.value.remedy
    return str(caught.value)


def test_where_there_is_no_finished_run_it_says_so(two, tmp_path):
    assert "there is no run" in refusal(RunError, tmp_path / "nowhere")
    run = copy_of(two, tmp_path)
    (run / "result.json").unlink()
    assert "not finished" in refusal(RunError, run, site="north")


def test_the_site_must_be_said_where_there_are_several(two):
    assert "north, south" in refusal(SiteError, two / "run")
    assert "no site east" in refusal(SiteError, two / "run", site="east")


def test_data_that_are_not_here_or_not_those_of_the_run(two, tmp_path):
    message = refusal(DataError, two / "run", site="north", data=tmp_path)
    assert "patients of site north are not to be had here" in message
    assert "--data" in message
    fewer = write_tables(tmp_path / "fewer", ("north",), patients=50)
    assert "not those of the run" in refusal(DataError, two / "run", site="north", data=fewer)


def test_too_few_patients_are_said_before_any_work(two, tmp_path):
    run = copy_of(two, tmp_path)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "patients": {}}))
    few = write_tables(tmp_path / "few", ("north",), patients=12)
    assert "needs 10 of both" in refusal(DataError, run, site="north", data=few)


def test_where_to_write_is_known_before_the_work(two, tmp_path):
    assert "does not end in .html" in refusal(
        DataError, two / "run", site="north", out=tmp_path / "x.json"
    )
    assert "there is no folder" in refusal(
        DataError, two / "run", site="north", out=tmp_path / "no" / "x.html"
    )
    run = copy_of(two, tmp_path)
    shutil.rmtree(run / "sites")
    assert "--out FILE.html" in refusal(DataError, run, site="north")
    assert report(run, site="north", out=tmp_path / "x.html").page.exists()


def test_a_task_that_scores_no_single_patient_has_no_attack(two, monkeypatch):
    from medfed.services.evidence.opening import Finished

    monkeypatch.setattr(Finished, "job", lambda self: SimpleNamespace(patients=30))
    message = refusal(RunError, two / "run", site="north")
    assert "no attack is known here on the task tabular-classification" in message


# --- the command ----------------------------------------------------------------------------------


def test_the_command_prints_words_or_json(two, tmp_path, capsys):
    out = tmp_path / "north.html"
    words = ["privacy-report", str(two / "run"), "--site", "north", "--shadows", "8"]
    main([*words, "--out", str(out)])
    printed = capsys.readouterr()
    assert "Training 8 shadow models" in printed.err
    assert str(out) in printed.out
    assert "LiRA" in printed.out
    main([*words, "--out", str(out), "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found.pop("page"), found.pop("file")) == (str(out), str(out.with_suffix(".json")))
    jsonschema.validate(found, SCHEMA)


def test_the_command_says_what_is_missing(two, capsys):
    with pytest.raises(SystemExit) as end:
        main(["privacy-report", str(two / "run"), "--site", "east"])
    assert end.value.code == SiteError.exit_code
    assert "Its sites are north, south" in capsys.readouterr().err
