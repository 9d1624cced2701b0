"""TOML that would exhaust its parser is refused before it is parsed."""

from __future__ import annotations

import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integration.federated import text_of

from medfed.core.errors import StudyError
from medfed.core.study_file import parse_study
from medfed.core.toml_guard import complaint

MANY = 50_000
BAD = {
    "dotted key": "a" + ".a" * MANY + "=1",
    "spaced and quoted": "a . \"b\" . 'c'" + " . d" * MANY + " = 1",
    "table header": "[a" + ".a" * MANY + "]",
    "inline table": "x = {a" + ".a" * MANY + " = 1}",
    "behind a string": '''x = """ \\""" "" ' # ""\"""\ny = '"'\na''' + ".a" * MANY + "=1",
    "arrays": "a=" + "[" * MANY,
    "inline tables": "a=" + "{a=" * MANY,
    "digits": "a=" + "9" * 90_000,
    "surrogate": 'title = "\ud800"',
    "escapes": 'title = """' + '\\"""' * 20_000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_exhausts_the_parser_is_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    assert time.process_time() - start < 2.0
    str(caught.value).encode()


def test_a_nul_is_refused_in_words():
    with pytest.raises(StudyError, match="title"):
        parse_study(text_of().replace('title = "', 'title = "\\u0000'))


@pytest.mark.parametrize(
    "text",
    [
        text_of(),
        'uid = "1.2.840.10008.5.1.4.1.1.2" # 1.2.3.4.5.6.7.8.9.10 [[[[[[[[[[[[[[[[[[[[[[',
        "a.b.c.d.e.f.g.h = 1.5",
        'x = \'\'\'[[[[[[[[[[[[[[[[[[[[[[[[\'\'\' \ny = """a.b.c.d.e.f.g.h.i.j"""""',
        "x = [\n" + "  1.5, {a.b = 2.5},\n" * 50 + "]",
    ],
)
def test_what_people_write_passes(text):
    tomllib.loads(text)
    assert complaint(text) == ""


@given(st.text(alphabet="a.=[]{}\"'\\#\n 1", max_size=200))
def test_what_the_guard_lets_through_the_parser_bears(text):
    if not complaint(text):
        try:
            given = tomllib.loads(text)
        except ValueError:
            return
        assert depth(given) <= 8 * 20


def depth(value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0)
