"""Studies in the console."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.errors import AccessError, RunError, StudyError
from medfed.core.study_file import parse_study
from medfed.services.console.studies import LONGEST, Studies, check, compose, renamed
from medfed.services.study_templates import TEMPLATES


@pytest.fixture
def studies(database):
    return Studies(database)


def test_checking_says_every_problem_with_line_and_remedy(text):
    checked = check(text.replace('"fedavg"', '"fedavgg"').replace("rounds = 15", "rounds = 0"))
    assert checked.study is None
    assert {(p.field, p.line) for p in checked.problems} >= {("rounds", 9), ("strategy.name", 33)}
    assert all(p.remedy for p in checked.problems)
    assert check(text).study.title == "Breast cancer, three hospitals"


@pytest.mark.parametrize("text", ["title = ", "", "x" * (LONGEST + 1), "\x00"])
def test_checking_takes_any_text(text):
    assert check(text).message


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_studies_to_begin_with_are_in_order(name):
    assert check(TEMPLATES[name]).study


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_plan_that_is_written_again_is_the_same_study(name):
    again = compose(tomllib.loads(TEMPLATES[name]))
    assert parse_study(again).digest == parse_study(TEMPLATES[name]).digest


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_any_plan_can_be_written_and_is_checked(plan):
    assert check(compose(plan)).message


@given(st.text(min_size=1, max_size=40).filter(lambda t: t.strip() and "\0" not in t))
def test_a_new_title_changes_nothing_else(title):
    text = TEMPLATES["tabular-classification"]
    wanted = parse_study(text).evolve(title=title)
    changed = renamed(text, title)
    assert parse_study(changed).digest == wanted.digest
    assert changed.count("#") >= text.count("#")


def test_a_title_over_several_lines_is_renamed_too():
    text = TEMPLATES["nodule-segmentation"].replace(
        'title = "Lung nodules on CT"', 'title = """Lung\nnodules"""'
    )
    assert parse_study(renamed(text, "Other")).title == "Other"


def test_a_study_is_written_approved_and_a_draft_again_when_changed(
    studies, coordinator, researcher, text
):
    row = studies.create(researcher, text)
    assert (row.state, row.author, row.version) == ("draft", "li", 1)
    with pytest.raises(AccessError, match="approve"):
        studies.approve(researcher, row.id, row.digest)
    with pytest.raises(RunError, match="after you read"):
        studies.approve(coordinator, row.id, "another digest")
    assert studies.approve(coordinator, row.id, row.digest).approver == "wang"
    same = studies.edit(researcher, row.id, text + "# a remark\n", 1)
    assert (same.state, same.version) == ("approved", 2)
    changed = studies.edit(researcher, row.id, text.replace("rounds = 15", "rounds = 3"), 2)
    assert (changed.state, changed.approver) == ("draft", "")
    assert [row.id for row in studies.list()[0]] == [row.id]


def test_nobody_overwrites_anothers_change_unseen(studies, researcher, text):
    row = studies.create(researcher, text)
    studies.edit(researcher, row.id, text + "# first\n", 1)
    with pytest.raises(RunError, match="somebody else"):
        studies.edit(researcher, row.id, text + "# second\n", 1)
    assert studies.find(row.id).toml.endswith("# first\n")


def test_what_is_wrong_is_not_kept(studies, researcher):
    with pytest.raises(StudyError):
        studies.create(researcher, "title = 'x'")
    assert studies.list() == ([], 0)


def test_a_researcher_changes_only_what_is_theirs(studies, coordinator, researcher, text):
    row = studies.create(coordinator, text)
    with pytest.raises(AccessError, match="only where they are yours"):
        studies.edit(researcher, row.id, text, 1)
