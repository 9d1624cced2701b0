"""What the docs say beside their examples: studies in them can be read, lists are complete."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest
from docs_examples import ROOT, blocks

from medfed.core.registry import KINDS, names
from medfed.core.study_file import parse_study

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import from_the_code  # Sphinx finds it in the same way

PAGES = [
    *sorted(ROOT.glob("README*.md")),
    *sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        if "_build" not in path.parts and path.name != "template.md"
    ),
]


def toml_blocks() -> list:
    return [
        pytest.param(block.text, id=f"{page.relative_to(ROOT)}:{block.line}")
        for page in PAGES
        for block in blocks(page.read_text("utf-8"))
        if block.language == "toml"
    ]


@pytest.mark.parametrize("text", toml_blocks())
def test_toml_in_the_docs_can_be_read(text):
    given = tomllib.loads(text)
    if "title" in given:
        parse_study(text)


def test_the_two_readmes_show_the_same_commands_and_studies():
    english, chinese = (
        [(block.language, block.text) for block in blocks((ROOT / name).read_text("utf-8"))]
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese


def test_the_lists_name_everything():
    parts = from_the_code.parts()
    for kind in KINDS:
        for name in names(kind):
            assert f"### {name}\n" in parts
    commands = from_the_code.commands()
    for command in ("run", "compare", "study check", "site receipts", "data fetch", "model export"):
        assert f"## medfed {command}\n" in commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_marks_on_a_page_are_known(page):
    for what in from_the_code.MARK.findall(page.read_text("utf-8")):
        assert from_the_code.LISTS[what]().strip()


def test_every_strategy_is_in_the_table_for_choosing():
    text = (ROOT / "docs" / "how-to" / "choose-a-strategy.md").read_text("utf-8")
    missing = [name for name in names("strategy") if f"`{name}`" not in text]
    assert not missing


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
