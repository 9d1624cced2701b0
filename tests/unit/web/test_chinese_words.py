"""One Chinese word for each thing, as the table for translators has it."""

from __future__ import annotations

import re
from pathlib import Path

import translate

ROOT = Path(__file__).resolve().parents[3]
TABLE = ROOT / "docs" / "reference" / "chinese-words.md"
HAN = re.compile(r"[一-鿿]+")
COORDINATOR = re.compile(r"(?<![-.\w])(?<!medfed )[Cc]oordinator(?!\.toml)")
"""But for commands and files."""


def words(column: int) -> set[str]:
    """The Chinese words in a column of the table."""
    rows = [line.split("|") for line in TABLE.read_text("utf-8").splitlines() if line[:1] == "|"]
    return {word for row in rows for word in HAN.findall(row[column])}


def said() -> dict[str, str]:
    """What is said in Chinese, by its English."""
    (catalogue,) = map(translate.read, translate.catalogues())
    return {str(m.id): "".join(m.string) for m in catalogue if m.id}


def test_words_that_are_not_used_for_a_thing_are_not_used():
    wrong = words(4)
    assert {"协调器", "聚合器"} <= wrong
    assert {english for english, text in said().items() if any(w in text for w in wrong)} == set()


def test_the_words_of_the_table_are_those_that_are_said():
    text = "\n".join(said().values())
    assert {word for word in words(2) if word not in text} == set()


def test_a_coordinator_is_a_party_a_program_or_a_person():
    called = {english: text for english, text in said().items() if COORDINATOR.search(english)}
    assert len(called) > 50
    assert {each for each, text in called.items() if not re.search("协调[方端员]", text)} == set()
