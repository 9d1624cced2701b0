"""Pages that services write, in the reader's language: whole, of one structure, each their own."""

# Chinese has commas and brackets of its own
from __future__ import annotations

import json
import re
import shutil
from contextlib import ExitStack

import pytest
from consoles import csrf_of
from unit.services.pages import Page, check_page
from unit.services.reports.made_up_run import STUDY, new_run, put_pictures, result_of, row
from unit.services.test_comparison_page import answer

from medfed.core.guideline import Guideline
from medfed.core.study import Criteria
from medfed.core.study_file import parse_study
from medfed.services.comparison.page import page_in, picture_in, write_page
from medfed.services.reports import card
from medfed.services.reports.report import render
from medfed.services.reports.retold import LATER
from medfed.services.reports.toml_text import study_toml
from medfed.services.reports.view import RunView
from medfed.services.runs import RunOptions, start
from medfed.storage.run_folder import RunFolder
from medfed.web.filters import markdown
from medfed.web.speech import speech

CHINESE = "zh_Hans_CN"
WORD = re.compile(r"[A-Za-z]{2,}")
NAMES = {
    *("medfed", "AUC", "Dice", "IoU", "CPM", "Brier", "SHA", "TOML", "UTC", "json", "jsonl"),
    *("kB", "MB", "min", "ms", "mm", "HU", "CT", "DICOM", "TID", "LPS", "MONAI", "metrics"),
}
"""Acronyms and units, which are the same in every language."""
AS_TYPED = re.compile(r"<(pre|code|style)\b.*?</\1>|<span class=\"name\">.*?</span>", re.DOTALL)
SPOKEN = re.compile(r'(?:aria-label|alt|title)="([^"]*)"')


@pytest.fixture
def chinese(stage):
    with stage.app.test_request_context(headers={"Accept-Language": "zh-CN"}):
        yield speech()


def english_in(page: str, *known: object) -> set[str]:
    """Words that are neither names nor what people wrote themselves."""
    left = AS_TYPED.sub(" ", page)
    text = " ".join([*Page(left).text, *SPOKEN.findall(left)])
    named = NAMES.union(*(WORD.findall(str(each)) for each in known))
    return set(WORD.findall(text)) - named


def structure(page: str) -> tuple[object, ...]:
    """Elements and identifiers; of charts their number, for ticks follow the room they have."""
    found = Page(re.sub(r"(<svg).*?(</svg>)", r"\1>\2", page, flags=re.DOTALL))
    return found.tags, found.ids


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run as people start it, and its result."""
    study = parse_study(STUDY).evolve(rounds=2, compression=None)
    folder = tmp_path_factory.mktemp("runs") / "run"
    return RunFolder(folder), start(study, RunOptions(folder))


def test_a_report_of_a_real_run_is_all_chinese_and_of_the_same_structure(chinese, real):
    folder, result = real
    page = render(RunView(folder, result, chinese))
    check_page(page)
    english = (folder.path / "report.html").read_text("utf-8")
    assert english_in(english, study_toml(folder.study())) > {"Round", "held", "intervals"}
    assert english_in(page, study_toml(folder.study()), folder.record()) == set()
    assert structure(page) == structure(english)
    assert '<html lang="zh-CN">' in page
    assert "家医院的" in page


def test_what_only_some_runs_have_is_chinese_too(chinese, tmp_path):
    """Refusals, pictures, calibration, a comparison, privacy, a federation, figures kept back."""
    study = parse_study(STUDY)
    late = {"south": {"reason": "late", "message": "no reply within 30 s"}}
    rows = [row(r, study.sites, late if r == 2 else None, set="test") for r in range(50)]
    groups = [{"score": 0.5, "observed": 0.4, "candidates": 9}]
    calibration = {"hits": 9, "misses": 20, "patients": 7, "groups": groups}
    calibration |= {"scores": [0, 1], "observed": [0, 1]}
    spent = {"site": "north", "unit": "patient", "epsilon": 3.0, "delta": 1e-5, "entries": 4}
    result = result_of(study) | {"calibration": calibration, "privacy": {"spent": [spent]}}
    summary = [{"recipe": r, "metric": "auc", "value": 0.8} for r in ("federated", "alone")]
    privacy = parse_study(STUDY.replace("[strategy]", PUBLIC) + PRIVATE).privacy
    private = study.evolve(keep="last", report="overall", privacy=privacy)
    for number, one in enumerate((study, private)):
        record = {"engine": "flower", "coordinator": "/fed"} if one is private else {}
        folder = new_run(tmp_path / str(number), one, rows, **record)
        put_pictures(folder, "")
        compared = {"rows": [], "summary": summary, "statement": ""}
        (folder.path / "comparison.json").write_text(json.dumps(compared))
        page = render(RunView(folder, result, chinese))
        assert english_in(page, study_toml(one), folder.record(), "late") == set()
        assert structure(page) == structure(render(RunView(folder, result)))


PUBLIC = """one_class = "train"
[task.public_ranges]
"mean radius" = [5, 30]
"mean texture" = [5, 40]
[strategy]"""
PRIVATE = """
[[privacy]]
name = "dp-sgd"
noise = 1.1
clip = 1.0
scores = "public"
patients = { north = 99, south = 99 }
"""


def test_each_reader_has_a_report_of_their_own(stage, real):
    clients = {name: stage.client(name) for name in ("coordinator", "viewer")}
    stage.post(clients["viewer"], "/language", "/", language=CHINESE)
    path = f"/runs/{stage.run}/report"
    assert clients["viewer"].get(path).text == "<h1>Report</h1>"  # this folder holds nothing else
    folder = stage.console.place.run_folder(stage.run)
    shutil.copytree(real[0].path, folder, dirs_exist_ok=True)
    english, chinese = (clients[name].get(path) for name in ("coordinator", "viewer"))
    assert english.data == (folder / "report.html").read_bytes()
    assert 'lang="zh-CN"' in chinese.text
    assert "sandbox" in chinese.headers["Content-Security-Policy"]
    (folder / "report.zh-CN.html").write_text("kept")
    assert clients["viewer"].get(path).text == "kept"


def test_a_card_is_read_in_ones_own_language_and_filed_in_english(stage, real):
    folder = stage.console.place.run_folder(stage.run)
    shutil.copytree(real[0].path, folder, dirs_exist_ok=True)
    english = (folder / "model_card.md").read_text("utf-8")
    data = (folder / "model_card.json").read_bytes()
    client = stage.client("coordinator")
    assert "Intended use" in client.get("/models/1").text
    stage.post(client, "/language", "/", language=CHINESE)
    page = client.get("/models/1").text
    card = page[page.index('<section class="card prose" lang="zh-CN">') :].partition("</main>")[0]
    study = real[0].study()
    known = (study_toml(study), real[0].record(), "Markdown", "Mitchell et al Model Cards for")
    assert english_in(card, *known, "Reporting JSON", real[1]) == set()
    assert "不是医疗器械" in card
    assert card.count("<h2>") == english.count("\n## ")
    path = f"/runs/{stage.run}/files/model_card.md"
    for where in (path, f"{path}?lang=fr"):
        with client.get(where) as answer:  # a file, to be closed
            assert answer.text == english
    with stage.client("coordinator").get(f"{path}?lang=zh-CN") as told:
        assert "预期用途" in told.text
        assert "model_card.zh-CN.md" in told.headers["Content-Disposition"]
    with client.get("/api/v1/models/1/card") as answer:
        assert answer.data == data


def test_a_hospital_shows_the_card_of_an_approved_model_in_the_readers_language(
    make_clinic, real, tmp_path
):
    clinic, (folder, result) = make_clinic(), real
    client = clinic.stage.client("data-steward")
    clinic.stage.post(client, "/language", "/profile/", language=CHINESE)
    files = [folder.path / name for name in ("model_card.md", "model_card.json")]
    for sent, chinese_there in ((files, True), (files[:1], False), (files[1:], True)):
        bring_in(clinic, client, folder.path / "model.safetensors", sent)
        row = clinic.desk.models.list()[0]
        page = client.get(f"/released/{row.id}").text
        assert ("预期用途" in page) == chinese_there
        assert ("Intended use" in page) != chinese_there
        if chinese_there:
            shown = page[page.index('<section class="card prose" lang="zh-CN">') :]
            known = (study_toml(folder.study()), folder.record(), result)
            others = "Mitchell et al Model Cards for Reporting"
            assert english_in(shown.partition("</main>")[0], *known, others) == set()
        assert "Intended use" in clinic.stage.client("clinician").get(f"/released/{row.id}").text
    other = tmp_path / "model_card.md"  # whose text says something else than its data
    other.write_text(files[0].read_text("utf-8").replace("not a medical device", "fine"))
    bring_in(clinic, client, folder.path / "model.safetensors", [other, files[1]])
    page = client.get(f"/released/{row.id}").text
    assert "预期用途" not in page
    assert "fine" in page


def bring_in(clinic, client, model, cards) -> None:
    """Approve a model on the page, with what is sent of its card."""
    with ExitStack() as opened:
        form = {
            "csrf_token": csrf_of(client, "/profile/"),
            "model": (opened.enter_context(model.open("rb")), model.name),
            "card": [(opened.enter_context(each.open("rb")), each.name) for each in cards],
        }
        answer = client.post("/released/", data=form, content_type="multipart/form-data")
    assert answer.status_code == 302, answer.text


def test_a_card_with_every_line_is_all_chinese(chinese, tmp_path):
    study = parse_study(STUDY)
    link = Guideline("指南", "https://x.example/1")
    cohort = Criteria(("age >= 40",))
    whole = study.evolve(guideline=link, report="overall", cohort=cohort)
    rows = [row(r, study.sites, None, set="test") for r in range(3)]
    for number, one in enumerate((whole, study)):
        folder = new_run(tmp_path / str(number), one, rows)
        text = card.render(card.contents(RunView(folder, result_of(one), chinese)), chinese)
        told = card.contents(RunView(folder, result_of(one), LATER))
        assert card.retell(json.loads(json.dumps(told)), chinese) == text
        page = markdown(text)
        known = (
            study_toml(one),
            folder.record(),
            "cd" * 32,
            "Mitchell et al Model Cards for Reporting",
        )
        assert english_in(page, *known) == set()


def test_the_page_of_a_comparison_speaks_chinese_too(chinese, tmp_path):
    found = answer(("federated", "local", "pooled"))
    found |= {"notes": ["one seed only: how much chance in training matters is unknown"]}
    found["recipes"] |= {
        "federated": "the study as written: fedavg over all 2 hospitals",
        "local": "each hospital alone: trained, scaled and tested on its own patients only",
        "pooled": "all patients in one place: possible only because all data lie on this machine",
    }
    write_page(tmp_path, found)
    (tmp_path / "comparison.json").write_text(json.dumps(found))
    page = page_in(tmp_path / "comparison.html", chinese).decode()
    check_page(page)
    assert english_in(page, *found["test_patients"], found["title"], "fedavg seeds") == set()
    assert structure(page) == structure((tmp_path / "comparison.html").read_text("utf-8"))
    assert "对比各自训练" in page
    for name in ("sites", "differences"):
        picture = picture_in(tmp_path / f"{name}.svg", chinese).decode()
        assert english_in(picture, *found["test_patients"]) == set()
        assert (tmp_path / f"{name}.zh-CN.svg").read_text("utf-8") == picture
        assert english_in((tmp_path / f"{name}.svg").read_text("utf-8")) > {"interval"}
        drawn = picture_in(tmp_path / f"{name}.png", chinese)
        assert drawn[:4] == b"\x89PNG"
        assert drawn != (tmp_path / f"{name}.png").read_bytes()
        assert (tmp_path / f"{name}.zh-CN.png").read_bytes() == drawn
