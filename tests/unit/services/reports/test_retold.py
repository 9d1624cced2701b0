"""Sentences that are kept as data and said elsewhere, whatever somebody else wrote into them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.services.reports import retell
from medfed.services.reports.retold import LATER, LONGEST, retold
from medfed.services.reports.speech import ENGLISH

TEXT = st.text(max_size=40)


@given(TEXT, TEXT, st.integers(0, 9))
def test_what_is_kept_says_what_would_have_been_said(name, other, many):
    def talk(say):
        inner = say.many("{many} site of {who}", "{many} sites of {who}", many, who=name)
        whole = say("{rest} and {sites}", rest=say(", ").join([other, say("none")]), sites=inner)
        return [whole, {"said": say.again(other), "count": many}, (name,)]

    kept = json.loads(json.dumps(talk(LATER)))
    drop = str.maketrans("", "", "\x02\x03")  # marks of others' are no marks
    plain = json.loads(json.dumps(talk(ENGLISH)))
    assert retold(kept, ENGLISH) == [
        plain[0].translate(drop),
        {"said": other.translate(drop), "count": many},
        [name.translate(drop)],
    ]


def mark(**what: object) -> str:
    return f"\x02{json.dumps(what)}\x03"


def nested(deep: int) -> str:
    text = "x"
    for _ in range(deep):
        text = mark(say="{it}", places={"it": text})
    return text


@pytest.mark.parametrize(
    "text",
    [
        mark(say="{it.__class__}", places={"it": "x"}),
        mark(say="{it[0]}", places={"it": "x"}),
        mark(say="{it:>999999999}", places={"it": "x"}),
        mark(say="{it!r}", places={"it": "x"}),
        mark(say="{x.__class__}", places={"x": 1, "x.__class__": 1}),
        mark(one="{x} of {many} site", more="of {many} sites", many=2, places={"x": "another"}),
        mark(say="{gone}", places={}),
        mark(say="{", places={}),
        mark(one="{many:>99999999}", more="{many}", many=3, places={}),
        mark(say="x" * 5000, places={}),
        mark(say="{it}{it}", places={"it": "x" * LONGEST}),
        "\x02[]\x03",
        "\x02nothing\x03",
        nested(20),
    ],
)
def test_what_is_no_sentence_of_ours_is_not_said(text):
    with pytest.raises(ValueError):  # noqa: PT011  # whichever way it is wrong
        retold(text, ENGLISH)
    assert retell({"title": text}) == ""


@pytest.mark.parametrize("data", [{}, [], "text", 3, None, {"title": []}])
def test_data_of_no_card_give_no_card(data):
    assert retell(data) == ""
