"""Whatever code that pages load may complain of, and what the record says, is told in Chinese."""

# ruff: noqa: RUF001  # Chinese has commas of its own
from __future__ import annotations

import ast
import re
from html import escape

import grimp
import pytest
import said_sentences
import translate
from flask_babel import force_locale
from unit.web.test_reports import english_in
from unit.web.test_said import NOT_OURS

from medfed.services.accounts.roles import ACTIONS
from medfed.services.hospital.work import HANDLERS
from medfed.web import audit_words, data_words, words
from medfed.web.said import JOINS, PLACE, said

CHINESE = "zh_Hans_CN"
HAN = re.compile(r"[一-鿿]")
NOT_SHOWN = (*said_sentences.NOT, *said_sentences.ELSEWHERE)


@pytest.fixture
def chinese(stage):
    with stage.app.test_request_context(), force_locale(CHINESE):
        yield


@pytest.fixture(scope="module")
def catalogue() -> dict[str, str]:
    """The translation of each sentence, whichever its context."""
    (path,) = translate.catalogues()
    return {m.id: m.string for m in translate.read(path) if isinstance(m.id, str)}


def loaded_by_pages() -> list[str]:
    """Files of the package that the consoles import, near or far."""
    graph = grimp.build_graph("medfed")
    pages = {module for module in graph.modules if module.startswith("medfed.web")}
    files = []
    for module in pages.union(*map(graph.find_upstream_modules, pages)):
        path = said_sentences.PACKAGE.joinpath(*module.split(".")[1:])
        file = path.with_suffix(".py")
        file = file if file.is_file() else path / "__init__.py"
        files.append(file.relative_to(said_sentences.PACKAGE).as_posix())
    return sorted(files)


def english(told: str, *known: str) -> set[str]:
    """English words that a page would show."""
    return english_in(f"<p>{escape(told, quote=False)}</p>", *known)


def of_pages(sentence: str) -> str:
    """The translation of what pages have words of their own for."""
    return str(words.SENTENCES.get(sentence) or data_words.SENTENCES.get(sentence, ""))


def test_every_complaint_of_what_pages_load_is_whole_in_chinese(chinese, catalogue):
    files, found = loaded_by_pages(), 0
    assert "services/console/releases.py" in files
    for name in (each for each in files if not each.startswith(NOT_SHOWN)):
        for template in set(said_sentences.said_in(said_sentences.PACKAGE / name)) - JOINS:
            told = words.said(PLACE.sub("7", template))
            kept = catalogue.get(template) or of_pages(template)  # and what it names in English
            assert not english(told, kept), (name, template, told)
            assert HAN.search(told), (name, template, told)
            found += 1
    assert found > 800


def test_a_sentence_with_an_or_in_it_is_never_translated_by_halves(chinese):
    unknown = "a b c of no catalogue or another such thing"
    assert said(unknown) == unknown
    assert (
        said("Give this unheard of thing or that one") == "Give this unheard of thing or that one"
    )
    assert said("Give a number or a whole number") == "请给出数字或整数"
    assert audit_words.told("wrong name or password") == "用户名或密码错误"


def test_every_act_and_reason_of_the_record_is_told_in_chinese(chinese, catalogue):
    told = {template for template, _file in said_sentences.gather_audited()}
    assert {"created", "new password", "asked for: {0}", "user {0}", "import {0}"} <= told
    for template in told:
        shown = audit_words.told(PLACE.sub("7", template))
        assert not english(shown, "admin" if template == "user admin" else ""), (template, shown)
    assert audit_words.told("asked for: inference 7f") == "已请求：推理 7f"
    assert audit_words.told("roles: auditor, viewer; barred") == "角色：审计员和访客；已禁用"
    assert audit_words.told("user created") == "用户 created"
    for act in recorded_acts():
        assert HAN.search(audit_words.act(act)), act
        assert not english(audit_words.act(act), "PACS"), act


def recorded_acts() -> set[str]:
    """The names under which acts are recorded, anywhere."""
    found = {f"{kind}.{deed}" for kind in HANDLERS for deed in ("begin", "drop")} | set(ACTIONS)
    for file in said_sentences.PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "record":
                found |= {
                    each.value for each in node.args[2:3] if isinstance(each, ast.Constant)
                }  # fmt: skip
    return found


def test_the_record_is_searched_by_what_is_read(stage):
    client = stage.client("administrator")
    stage.post(client, "/language", "/", language=CHINESE)
    wrong = stage.app.test_client()
    stage.post(wrong, "/login", name="viewer", password="wrong")
    page = client.get("/audit/?q=登录").text
    assert "session.begin" in page
    assert "用户名或密码错误" in page
    assert "study.approve" not in page
    assert english_in(page, "administrator Administrator viewer", NAMES) == set()


NAMES = "medfed English UTC CSV"


def test_what_forms_refuse_is_told_in_chinese(stage):
    client = stage.client("coordinator")
    stage.post(client, "/language", "/", language=CHINESE)
    refused = stage.post(client, "/models/1/release", site="a/b")
    silent = stage.post(client, "/models/1/withdraw", reason=" ")
    assert "请使用最多 64 个字母" in refused.text
    assert "请说明原因" in silent.text
    study = stage.console.studies.find(1)
    for page in (refused.text, silent.text):
        left = NOT_OURS.sub(" ", page)
        assert english_in(left, "coordinator Coordinator north", study.title, NAMES) == set()
