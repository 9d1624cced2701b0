"""Every sentence is there in both languages, and no page holds one that cannot be translated."""

from __future__ import annotations

import ast
import re
import string

import pytest
import translate
from jinja2 import Environment

from medfed.core import events
from medfed.services.accounts import tokens
from medfed.services.accounts.roles import ACTIONS, ROLES
from medfed.storage.database.tables import RoleRow
from medfed.tasks import detection_stats, metrics, segmentation_stats
from medfed.web import sentences, words

WEB = translate.WEB
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
PLAIN = {
    "medfed",
    "SHA-256",
    "API",
    "JSON",
    "Markdown",
    "PNG",
    "mm",
    "ε",
    "δ",
    "/api/v1/openapi.json",
}
"""Names, which are the same in every language."""
PLACE = re.compile(r"%\(\w+\)s|\{\w+\}")


@pytest.fixture(scope="module")
def wanted() -> set[tuple[object, str | None]]:
    """Every sentence with its context."""
    return {(message.id, message.context) for message in translate.gather() if message.id}


def test_every_sentence_has_a_translation(wanted):
    assert len(wanted) > 1000
    for path in translate.catalogues():
        found = [m for m in translate.read(path) if m.id and not m.fuzzy]
        catalog = {(m.id, m.context): m.string for m in found}
        assert {each for each in wanted if not "".join(catalog.get(each, ""))} == set()
        assert set(catalog) == wanted, "run python scripts/translate.py"
        for (sentence, _), text in catalog.items():
            one = sentence if isinstance(sentence, str) else sentence[-1]  # that of many
            told = text if isinstance(text, str) else text[0]
            assert sorted(PLACE.findall(one)) == sorted(PLACE.findall(told)), sentence


def test_what_pages_of_services_say_is_gathered_whole(wanted):
    """Babel takes a sentence that counts for a plain one where it meets another call within it."""
    files = [
        file for folder in translate.PAGES for file in (translate.PACKAGE / folder).rglob("*.py")
    ]
    calls = [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    said = set()
    for call in calls:
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "many":
            said.add(tuple(ast.literal_eval(sentence) for sentence in call.args[:2]))
    assert len(said) > 10
    assert said == {sentence for sentence, _ in wanted if isinstance(sentence, tuple)}


def test_what_programs_read_is_compiled_from_what_people_wrote():
    for path in translate.catalogues():
        assert path.with_suffix(".mo").read_bytes() == translate.compiled(path), (
            "run python scripts/translate.py"
        )


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_a_sentence_outside_gettext(path):
    text = path.read_text("utf-8")
    Environment(autoescape=True, extensions=["jinja2.ext.i18n"]).parse(text)
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", " ", text, flags=re.DOTALL)
    for attribute in ("alt", "title", "aria-label", "placeholder"):
        for value in re.findall(rf'{attribute}="([^"]*)"', text):
            assert not value.strip(string.punctuation + string.whitespace), value
    words_left = re.sub(r"<[^>]*>", " ", text).split()
    left = [w for w in words_left if any(c.isalpha() for c in w) and w.strip(".") not in PLAIN]
    assert left == []


def test_every_role_event_and_denial_has_words(stage):
    with stage.app.test_request_context():
        for role in ROLES:
            assert words.role(role) != ""
            assert words.role_about(RoleRow(name=role, rights=[]))
    runs = {"RunStarted", "RoundStarted", "ReplyCounted", "SiteMissing", "RoundFinished"}
    runs |= {"Scored", "Notice", "RunFinished", "ReplyComing"}
    runs |= {"ComparisonStarted", "ComparisonAt", "ComparedRun"}
    assert set(sentences.SENTENCES) == runs
    assert all(hasattr(events, kind) for kind in runs)
    assert len(ACTIONS) == len(set(ACTIONS.values()))


def test_sentences_take_what_a_run_may_say(stage):
    with stage.app.test_request_context():
        body = {"round": 3, "metrics": {"auc": None, "own": 0.5}, "sites": {}, "on": "test"}
        assert sentences.sentence("Scored", body) == "The model of round 3: own 0.500."
        assert sentences.sentence("OfALaterProgram", {}) == "OfALaterProgram"
        again = {"resumed_at": 4, "sites": [], "rounds": 9}
        assert sentences.sentence("RunStarted", again) == "Going on after round 4."
        for now, told in {
            "local-3-south-2": "Training: each alone, south-2, seed 3.",
            "scoring leave-one-out-1-north": "Scoring: without this hospital, north, seed 1.",
            "scoring pooled-2": "Scoring: pooled, seed 2.",
            "2 at a time": "Runs at a time: 2.",
            "something": "Training: something.",
        }.items():
            assert sentences.sentence("ComparisonAt", {"now": now}) == told
        done = sentences.sentence("ComparedRun", {"name": "fedprox-12"})
        assert done == "Finished: fedprox, seed 12."


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh_Hans_CN"),
        ("de,en;q=0.5", "en"),
        ("zh-TW", "zh_Hans_CN"),
        ("", "en"),
        ("*", "en"),
    ],
)
def test_a_browser_gets_the_language_that_it_asks_for(stage, asked, language):
    with stage.app.test_request_context(headers={"Accept-Language": asked}):
        from medfed.web.language import choose

        assert choose() == language


def test_every_scope_of_a_token_has_words():
    assert set(words.SCOPES) == set(tokens.SCOPES)


def test_every_metric_of_the_tasks_here_has_a_name():
    kinds = (metrics, segmentation_stats, detection_stats)
    measured = {name for each in kinds for name in each.HIGHER_IS_BETTER}
    assert measured <= set(words.METRICS)
