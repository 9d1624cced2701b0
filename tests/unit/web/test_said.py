"""What other layers say reaches the reader in their language, whole and with its figures."""

# ruff: noqa: RUF001  # Chinese has commas and brackets of its own
from __future__ import annotations

import re

import pytest
import said_sentences
from flask_babel import force_locale

from medfed.core.errors import REFUSALS
from medfed.core.registry import names
from medfed.services.console.studies import check
from medfed.services.study_templates import TEMPLATES
from medfed.web import audit_words, wizard
from medfed.web.said import JOINS, PLACE, said
from medfed.web.said import sentence as as_sentence
from medfed.web.sentences import sentence

CHINESE = "zh_Hans_CN"
SOUND = TEMPLATES["tabular-classification"]
LATIN = re.compile(r"[A-Za-z]{2,}(?: [a-z]{2,}){2,}")
"""Three English words in a row: no name, option or command is written like that."""
MEAN, FP16 = 'name = "mean"', '\n[compression]\nname = "fp16"'
COLUMNS = '["mean radius", "mean texture", "mean smoothness", "mean concavity"]'
WRONG = {
    "no TOML": "title = ",
    "nothing": "",
    "nested": f"a = {'[' * 30}",
    "a name": SOUND.replace('"fedavg"', '"fedavgg"'),
    "a field": SOUND.replace("rounds", "round"),
    "a type": SOUND.replace("rounds = 15", 'rounds = "many"'),
    "a bound": SOUND.replace("rounds = 15", "rounds = 0"),
    "a choice": SOUND.replace('scaling = "federated"', 'scaling = "global"'),
    "too many replies": SOUND.replace("min_sites = 2", "min_sites = 9"),
    "no site": SOUND.replace('["north", "west", "south"]', "[]"),
    "twice": SOUND.replace('"west"', '"north"'),
    "reserved": SOUND.replace('"west"', '"overall"'),
    "a condition": SOUND + '\n[cohort]\nwhere = ["age"]\n',
    "no validation": SOUND.replace("valid = 0.15", "valid = 0.0"),
    "a metric": SOUND.replace('metric = "auc"', 'metric = "aucc"'),
    "shares": SOUND.replace("test = 0.25", "test = 0.95"),
    "unseen": SOUND.replace(MEAN, 'name = "secure-sum"') + FP16,
    "no sum": SOUND.replace('"fedavg"', '"scaffold"').replace(MEAN, 'name = "median"'),
    "privacy": SOUND + '\n[[privacy]]\nname = "dp-sgd"\npatients = { north = 9 }\n',
    "columns": SOUND.replace(COLUMNS, "[]"),
}  # fmt: skip


@pytest.fixture
def chinese(stage):
    with stage.app.test_request_context(), force_locale(CHINESE):
        yield


@pytest.mark.parametrize("case", WRONG)
def test_every_problem_of_a_study_is_told_in_chinese(chinese, case):
    checked = check(WRONG[case])
    assert checked.study is None
    told = [checked.message, *(t for p in checked.problems for t in (p.message, p.remedy))]
    for text in filter(None, told):
        assert not LATIN.search(outside_quotes(said(text))), (text, said(text))


def outside_quotes(text: str) -> str:
    """Without what stands as it is typed: names, and the parser's own words in brackets."""
    return re.sub(r"\"[^\"]*\"|'[^']*'|`[^`]*`|TOML：.*", "", text)


def test_the_figures_of_a_sentence_stay(chinese):
    assert said("asks for 5 replies, a round has 3 sites") == "要求 5 份答复，而一轮只有 3 家医院"
    assert said("the study cannot be used: 2 problems") == "研究无法使用：2 个问题"
    nested = "scaffold would take what topk leaves out for zeros"
    assert said(nested) == "scaffold 会采用 topk 所省略的内容（当作零）"
    assert said("of a later program, unknown") == "of a later program, unknown"
    assert said("") == ""
    late = {"round": 2, "site": "north", "reason": "late", "message": "no reply within 600 s"}
    assert sentence("SiteMissing", late).endswith("600 秒内没有答复")
    why = "south: late, no reply within 9 s; west: no-data, this site has no disk space left"
    few = f"round 3 has 1 usable replies and the study asks for 2 ({why})"
    assert said(few) == (
        "第 3 轮有 1 份可用答复，而研究要求 2 份（south：late，9 秒内没有答复；"
        "west：no-data，本院磁盘空间已用尽）"
    )


def test_english_stays_as_it_was_said(stage):
    with stage.app.test_request_context(), force_locale("en"):
        assert said("this run is over") == "this run is over"


def test_every_sentence_that_is_gathered_is_recognised(chinese):
    for template in {template for template, _file in said_sentences.gather()} - JOINS:
        text = PLACE.sub("7", template)
        assert said(text) != text, text


def test_all_parts_and_fields_are_explained_in_chinese(chinese):
    told = [part["summary"] for kind in wizard.parts().values() for part in kind.values()]
    told += [
        o["help"] for kind in wizard.parts().values() for p in kind.values() for o in p["options"]
    ]
    told += [option["help"] for option in wizard.fields().values()]
    assert len(told) > 300
    assert [text for text in told if not re.search(r"[一-鿿]", text)] == []
    assert set(wizard.parts()["strategy"]) == set(names("strategy"))


def test_refusals_in_the_log_of_a_run_are_told_in_chinese(chinese):
    for name, message in REFUSALS.items():
        body = {"round": 1, "site": "north", "reason": name, "message": message}
        assert message not in sentence("SiteMissing", body)


def test_pages_and_the_api_tell_problems_in_the_readers_language(stage):
    client = stage.client("coordinator")
    stage.post(client, "/language", "/", language=CHINESE)
    page = stage.post(client, "/studies/new", toml=WRONG["too many replies"])
    assert "要求 9 份答复，而一轮只有 3 家医院" in page.text
    checked = stage.post(client, "/studies/check", toml=WRONG["too many replies"]).json
    assert checked["message"] == "研究无法使用：一个问题。"


PATHS = (
    "/", "/studies/", "/studies/1", "/studies/new", "/studies/wizard", "/runs/", "/models/",
    "/models/1", "/sites/", "/settings/", "/comparisons/new/1", "/help/", "/profile/", "/confirm",
)  # fmt: skip
NOT_OURS = re.compile(
    r"<(pre|code|textarea|script|head)\b.*?</\1>|<section[^>]*lang=\"en\".*?</section>"
    r"|<ul lang=\"en\">.*?</ul>",
    re.DOTALL,
)


def test_no_page_shows_a_sentence_of_the_other_language(stage):
    """But for what people wrote themselves, and cards, which say that they are English."""
    client = stage.client("coordinator")
    study = stage.console.studies.find(1)
    assert LATIN.search(client.get("/help/").text)  # which finds one where there is one
    stage.post(client, "/language", "/", language=CHINESE)
    for path in (*PATHS, f"/runs/{stage.run}"):
        page = NOT_OURS.sub(" ", client.get(path).text)
        for own in (study.title, study.question):
            page = page.replace(own, "")
        seen = re.sub(r"<[^>]*>", " | ", page)
        assert not LATIN.search(seen), (path, LATIN.search(seen))
        script = client.get(path).text.partition('type="application/json" id="words">')[2]
        assert not LATIN.search(script.partition("</script>")[0]), path


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("the study cannot be used: 2 problems", "The study cannot be used: 2 problems."),
        ("north is not approved", "north is not approved."),  # a name stays as it is
        ("medfed site join joins", "medfed site join joins."),
        ("min_sites is too large", "min_sites is too large."),
        ("Say why", "Say why."),
        ("There is no such page.", "There is no such page."),
        ("研究无法使用", "研究无法使用。"),
        ("", ""),
    ],
)
def test_a_complaint_that_stands_by_itself_is_a_sentence(text, whole):
    assert as_sentence(text) == whole


@pytest.mark.parametrize(
    "text",
    [
        "from ε = 10 at δ = 1e-05 (rule proven, order 2) to ε = 5 at δ = 1e-06 (rule sum, order 3)",
        "from ε = 10 at δ = 1e-05 to ε = 5 at δ = 1e-06",  # as it was recorded once
        "ε = 10 at δ = 1e-05 became ε = 5 at δ = 1e-06",
    ],
)
def test_changes_of_limits_are_told_in_chinese_whenever_they_were_recorded(chinese, text):
    told = audit_words.told(text)
    assert not LATIN.search(told), told
    assert told.index("ε = 10") < told.index("ε = 5")
