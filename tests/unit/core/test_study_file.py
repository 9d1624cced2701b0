"""Study files: every problem by line, field and remedy; a digest for what is meant."""

import dataclasses
import itertools
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integration.federated import text_of

from medfed.core.errors import StudyError
from medfed.core.guideline import Guideline, guideline_of
from medfed.core.registry import Part
from medfed.core.study import Criteria, Sampling, Stop, Study
from medfed.core.study_file import parse_study, read_comparison, read_study
from medfed.services.reports.toml_text import study_toml

ROOT = Path(__file__).resolve().parents[3]
GOOD = text_of()
STUDY = parse_study(GOOD)
APPROVED = "03ab6430c57d098c840acf9c09d6cff7a63e15a58a69dd393bbd3a2464b67f15"
"""Its digest before tasks knew units."""


def line(text, start):
    return next(i for i, row in enumerate(text.splitlines(), 1) if row.startswith(start))


def put(old, new, text=GOOD):
    assert text.count(old) == 1, old
    return text.replace(old, new)


def guideline(url, title="Nodules"):
    return text_of(tables=f'[guideline]\ntitle = "{title}"\nurl = "{url}"')


STRATEGY = 'name = "fedavg"'
BAD = {
    "unknown part": (put(STRATEGY, 'name = "fedvag"'), "strategy.name", 'Did you mean "fedavg"?'),
    "unknown option": (put("lr = 0.1", "lrr = 0.1"), "strategy.lrr", 'Did you mean "lr"?'),
    "unknown field": (put("rounds =", "round ="), "round", 'Did you mean "rounds"?'),
    "unknown table": (GOOD + "\n[stopp]\nx = 1\n", "stopp", 'Did you mean "stop"?'),
    "wrong type": (put("lr = 0.1", 'lr = "fast"'), "strategy.lr", "Give a number"),
    "out of bounds": (put("lr = 0.1", "lr = 0"), "strategy.lr", "Give more than 0"),
    "zero rounds": (put("rounds = 3", "rounds = 0"), "rounds", "Give 1 or more"),
    "a boolean": (put("rounds = 3", "rounds = true"), "rounds", "Give a whole number"),
    "duplicate site": (put('"centre"', '"north"'), "sites", "Name each site once"),
    "odd site": (put('"centre"', '"../etc"'), "sites", "Use up to 64 letters"),
    "a number for a site": (put('"centre"', "5"), "sites", "Give a list, each text"),
    "no sites": (
        put('sites = ["north", "centre", "south"]', "sites = []"), "sites", "Name at least one",
    ),
    "too high a quorum": (put("min_sites = 1", "min_sites = 4"), "min_sites", "Give 3 or less"),
    "endless deadline": (text_of(top="deadline = inf"), "deadline", "Give a finite number"),
    "no deadline": (text_of(top="deadline = 0"), "deadline", "Give more than 0"),
    "blank title": (put(f'title = "{STUDY.title}"', 'title = "  "'), "title", "a name"),
    "nobody": (
        text_of(tables='[cohort]\nwhere = ["age > 60", "age < 40"]'), "cohort.where", "one of",
    ),
    "a source of something else": (
        put('name = "breast-cancer"\nskew = 0.7', 'name = "volumes"'), "source", "csv",
    ),
    "negative seed": (put("seed = 3", "seed = -3"), "seed", "Give 0 or more"),
    "report": (text_of(top='report = "site"'), "report", "Choose one of: sites, overall"),
    "not a table": (put("seed = 3", "seed = 3\nstop = 5"), "stop", "Write [stop]"),
    "part is no table": (put("seed = 3", 'seed = 3\ncompression = "fp16"'), "compression",
                         "Write name"),
    "nameless part": (put(STRATEGY, "lr_gamma = 0.5"), "strategy", "known: ditto"),
    "split": (put("test = 0.2", "test = 0.9"), "split", "sum to less than 1"),
    "no inputs": (
        put('numeric = ["mean texture", "mean smoothness"]', ""), "task.numeric", "Name columns",
    ),
    "outcome among the inputs": (
        put('"mean texture"', '"diagnosis"'), "task.target", "Remove diagnosis",
    ),
    "condition": (text_of(tables='[cohort]\nwhere = ["age"]'), "cohort.where", "age >= 40"),
    "metric": (text_of(tables='[stop]\nmetric = "acu"'), "stop.metric", 'Did you mean "auc"?'),
    "needs validation": (
        text_of(tables='[stop]\nmetric = "auc"').replace("valid = 0.2", ""), "stop", "valid = 0.2",
    ),
    "scaffold and median": (text_of("scaffold", aggregator="median"), "aggregator", "mean"),
    "ditto and best": (text_of("ditto", top='keep = "best"'), "keep", "last"),
    "nothing to normalise": (text_of("local-norm"), "strategy.local", "normalisation layers"),
    "nothing but a head": (text_of("local-head"), "strategy.local", "head.bias"),
    "buffer": (text_of("fedbuff", options="buffer = 9"), "strategy.buffer", "Give 3 or less"),
    "top-k and median": (text_of(aggregator="median", compression="top-k"), "compression", "fp16"),
    "guideline without address": (
        text_of(tables='[guideline]\ntitle = "Nodules"'), "guideline.url", "Address of its page",
    ),
    "guideline over http": (guideline("http://x.example/"), "guideline.url", "https://"),
    "guideline that is a script": (guideline("javascript:alert(1)"), "guideline.url", "https://"),
    "guideline behind a name": (guideline("https://a@x.example/"), "guideline.url", "https://"),
    "guideline too long": (
        guideline("https://x.example/" + "a" * 483), "guideline.url", "500 characters at most",
    ),
    "guideline without title": (
        guideline("https://x.example/", ""), "guideline.title", "200 characters at most",
    ),
    "guideline in two lines": (
        guideline("https://x.example/", r"a\nb"), "guideline.title", "in one line",
    ),
    "huge number": (put("lr = 0.1", f"lr = 1{'0' * 400}"), "strategy.lr", "finite"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_problem_is_named_by_line_field_and_remedy(what):
    text, field, remedy = BAD[what]
    with pytest.raises(StudyError) as caught:
        parse_study(text, "s.toml")
    assert caught.value.exit_code == 2
    problem = next(p for p in caught.value.problems if p.field == field)
    assert remedy in problem.remedy
    row = text.splitlines()[problem.line - 1]
    assert row.startswith((field.rpartition(".")[2], f"[{field.partition('.')[0]}")), row
    assert f"line {problem.line}, {field}: " in str(caught.value)


@pytest.mark.parametrize("part", ["task", "source", "strategy"])
def test_a_missing_part_is_asked_for(part):
    document = tomllib.loads(GOOD)
    start = GOOD.index(f"[{part}]")
    stop = GOOD.find("\n[", start + 1)
    del document
    with pytest.raises(StudyError) as caught:
        parse_study(GOOD[:start] + GOOD[stop:])
    assert [p.field for p in caught.value.problems] == [part]
    assert f"Add [{part}] with a name; known: " in caught.value.problems[0].remedy


def test_all_problems_are_told_at_once():
    text = put("rounds = 3", "rounds = 0")
    text = put("lr = 0.1", "lr = -1\nmomentun = 1", text)
    with pytest.raises(StudyError, match="3 problems") as caught:
        parse_study(text)
    assert [p.field for p in caught.value.problems] == [
        "rounds", "strategy.momentun", "strategy.lr",
    ]  # fmt: skip


def test_what_is_no_study_file(tmp_path):
    with pytest.raises(StudyError, match=r"there is no file .*medfed study new"):
        read_study(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_text('title = "x\nrounds = 1')
    with pytest.raises(StudyError, match=r"a\.toml is not valid TOML: .*line 1"):
        read_study(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_bytes("title = 'Klinik für'".encode("latin-1"))
    with pytest.raises(StudyError, match="is not UTF-8 text"):
        read_study(tmp_path / "b.toml")
    with pytest.raises(StudyError, match="is a folder"):
        read_study(tmp_path)
    (tmp_path / "c.toml").write_text("title = \u201cx\u201d", "utf-8")
    with pytest.raises(StudyError, match="straight quotes"):
        read_study(tmp_path / "c.toml")


def test_a_mark_of_the_byte_order_is_no_fault(tmp_path):
    (tmp_path / "a.toml").write_text(text_of(), "utf-8-sig")
    assert read_study(tmp_path / "a.toml") == parse_study(text_of())
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(StudyError, match="problems") as caught:
        read_study(tmp_path / "empty.toml")
    assert {"title", "sites", "rounds", "task", "source", "strategy"} == {
        p.field for p in caught.value.problems
    }


@given(st.text(max_size=60))
def test_any_text_is_a_study_or_a_study_error(text):
    try:
        parse_study(text)
    except StudyError as error:
        assert str(error)  # noqa: PT017  # either way is good


VALUES = st.sampled_from(["1", "-1", "0.5", "nan", '""', "[]", "[1]", "{}", "true", "1979-05-27"])
NAMES = st.sampled_from([*(f.name for f in dataclasses.fields(Study)), "x"])


@given(NAMES, VALUES)
def test_any_value_for_any_field_is_a_study_or_a_study_error(name, value):
    rows = [r for r in GOOD.splitlines() if not r.startswith(f"{name} = ")]
    text = f"{name} = {value}\n" + "\n".join(rows).replace(f"[{name}]", "[other]")
    try:
        parse_study(text)
    except StudyError as error:
        assert str(error)  # noqa: PT017  # either way is good


# --- the digest -----------------------------------------------------------------------------------


def test_the_digest_does_not_see_how_the_file_is_written():
    top, *tables = GOOD.split("\n[")
    rows = top.strip().splitlines()
    for order in itertools.islice(itertools.permutations(tables), 0, 120, 13):
        text = "# note\n" + "\n\n".join(reversed(rows)) + "\n[" + "\n [".join(order)
        assert parse_study(text.replace(" = ", "=")).digest == STUDY.digest
    explicit = put("lr = 0.1", "lr = 1e-1\nlocal_epochs = 1")
    assert parse_study(explicit).digest == STUDY.digest


COMPARED = GOOD + '\n[compare]\nrecipes = ["federated", "other.toml"]\nstrategies = ["fedprox"]\n'


def test_what_is_to_be_compared_is_no_part_of_a_study(tmp_path):
    assert parse_study(COMPARED).digest == STUDY.digest
    (tmp_path / "study.toml").write_text(COMPARED)
    told = read_comparison(tmp_path / "study.toml")
    assert told.recipes == ("federated", str(tmp_path / "other.toml"))
    assert told.strategies == ("fedprox",)
    (tmp_path / "study.toml").write_text(GOOD)
    assert read_comparison(tmp_path / "study.toml").recipes[-1] == "pooled"
    with pytest.raises(StudyError) as caught:
        parse_study(COMPARED.replace("strategies", "strategy"))
    (problem,) = caught.value.problems
    assert (problem.field, problem.line) == ("compare.strategy", COMPARED.count("\n"))


def test_a_study_without_units_keeps_the_digest_that_it_was_approved_under():
    assert "units" not in STUDY.task.options
    assert STUDY.digest == APPROVED
    with_units = put("numeric =", 'units = { "mean texture" = "grey levels" }\nnumeric =')
    found = parse_study(with_units)
    assert found.digest != STUDY.digest
    assert parse_study(study_toml(found)).digest == found.digest
    assert Study.from_json(json.loads(json.dumps(found.to_json()))).digest == found.digest


def test_a_guideline_is_approved_with_the_study_and_found_in_its_models_file():
    url = "https://x.example/" + "a" * 482
    found = parse_study(guideline(url))
    assert found.guideline == Guideline("Nodules", url)
    assert found.digest != STUDY.digest, "nobody can change it after a hospital said yes"
    assert parse_study(study_toml(found)).digest == found.digest
    assert guideline_of({"guideline": found.guideline.to_json()}) == found.guideline


@pytest.mark.parametrize(
    "given", [None, "text", [], {}, {"title": "x"}, {"title": "x", "url": "javascript:alert(1)"}]
)
def test_what_a_foreign_file_calls_a_guideline_is_shown_only_if_it_can_be_linked_to(given):
    assert guideline_of({"guideline": given}) is None


CHANGES = {
    "title": "Another", "question": "Why?", "sites": ("north", "south", "centre"), "rounds": 4,
    "min_sites": 2, "deadline": 5.0, "report": "overall", "keep": "best", "seed": 4,
    "task": Part("tabular-classification", {"target": "x"}), "source": Part("breast-cancer"),
    "split": Part("hash", {"test": 0.3}), "strategy": Part("fedprox"),
    "aggregator": Part("median"), "compression": Part("fp16"), "privacy": (Part("x"),),
    "cohort": Criteria(("age > 1",)), "sampling": Sampling(0.5), "stop": Stop("auc"),
    "statistics": (Part("dp-count", {"epsilon": 1.0}),),
    "guideline": Guideline("Read so", "https://x.example/"),
}  # fmt: skip


def test_every_change_gives_another_digest():
    assert CHANGES.keys() == {field.name for field in dataclasses.fields(Study)}
    digests = {STUDY.evolve(**{name: value}).digest for name, value in CHANGES.items()}
    assert len(digests | {STUDY.digest}) == len(CHANGES) + 1


@pytest.mark.parametrize("name", CHANGES)
def test_a_study_comes_back_from_json(name):
    study = STUDY.evolve(**{name: CHANGES[name]})
    again = Study.from_json(json.loads(json.dumps(study.to_json())))
    assert again == study
    assert again.digest == study.digest


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.toml")), ids=lambda f: f.name)
def test_the_examples_are_in_order(file):
    study = read_study(file)
    assert Study.from_json(study.to_json()) == study
