"""Text that is put into words elsewhere, in a language that nobody knows yet.

`LATER` says sentences as marks: each holds the sentence and what stands in its places, so that a
text may be put together of them as of words. It is plain data, which travels; `retold` says it in
a reader's language. What it is given may come from another hospital: it is data and no program.
"""

import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from medfed.services.reports.speech import Speech

START, END = "\x02", "\x03"
MARK = re.compile(f"{START}([^{START}{END}]*){END}")
MARKS = str.maketrans(dict.fromkeys(START + END))
NUMBER = re.compile(r"\b(is|was|has|are|were|have|one)\b|\{many\}|(?<=\w)(ies|y|[es]+)\b")
"""What tells one thing from many in our own sentences."""
DEEPEST = 8
"""Sentences within sentences."""
LONGEST_SENTENCE = 2_000
LONGEST = 20_000
"""Characters of a text with what stands in its places."""


def _kept(**what: object) -> str:
    return f"{START}{json.dumps(what)}{END}"  # marks within it are escaped


def _places(places: Mapping[str, object]) -> dict[str, object]:
    return {name: v if isinstance(v, (int, float)) else str(v) for name, v in places.items()}


def _again(text: str) -> str:
    return _kept(again=text) if text else text


def _moment(text: str) -> str:
    return _kept(moment=text) if text else text


@dataclass(frozen=True)
class _Later(Speech):
    """Keeps sentences instead of saying them."""

    def __call__(self, sentence: str, /, **places: object) -> str:
        """A sentence and what stands in its places, as a mark."""
        return _kept(say=sentence, places=_places(places))

    def many(self, one: str, more: str, many: int, /, **places: object) -> str:
        """A sentence that counts, as a mark."""
        return _kept(one=one, more=more, many=many, places=_places(places))


LATER: Speech = _Later("later", again=_again, moment=_moment)


def retold(data: Any, say: Speech, *, deep: int = 0) -> Any:
    """Plain data with every mark in it said in a language.

    Args:
        data: Texts, and lists and tables of them.
        say: The language.
        deep: Within how many sentences.

    Raises:
        ValueError: It holds what `LATER` does not write.
    """
    if isinstance(data, str):
        text = MARK.sub(partial(_said, say=say, deep=deep), data)
        if len(text) > LONGEST:
            raise ValueError("a text is longer than any card's")
        return text.translate(MARKS)
    if isinstance(data, Mapping):
        return {key: retold(value, say, deep=deep) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [retold(value, say, deep=deep) for value in data]
    return data


def _said(mark: re.Match[str], say: Speech, deep: int) -> str:
    what = json.loads(mark[1])
    if not isinstance(what, dict) or deep == DEEPEST:
        raise ValueError("this is no sentence")
    if "again" in what:
        return say.again(str(what["again"]))
    if "moment" in what:
        return say.moment(str(what["moment"]))
    places = retold(dict(what.get("places") or {}), say, deep=deep + 1)
    if "one" in what:
        one, more, many = str(what["one"]), str(what["more"]), int(what["many"])
        named = {name: value for name, value in places.items() if name != "many"}
        _check(one, {"many", *named})
        _check(more, {"many", *named})
        if _singular(one) != _singular(more):  # languages find the two by the first
            raise ValueError("these are not one sentence")
        _check_length(more, named)
        count = say.many  # of what others wrote: nothing to be gathered for translation
        return count(one, more, many, **named)
    sentence = str(what.get("say", ""))
    _check(sentence, set(places))
    _check_length(sentence, places)
    return say(sentence, **places)


def _check_length(sentence: str, places: Mapping[str, object]) -> None:
    """Before anything is put together: many places of one long text would fill the memory."""
    named = [name for _, name, _, _ in string.Formatter().parse(sentence) if name]
    if sum(len(str(places.get(name, ""))) for name in named) > LONGEST:
        raise ValueError("a text is longer than any card's")


def _singular(sentence: str) -> str:
    """The same for a sentence of one thing and of many."""
    return NUMBER.sub("", sentence)


def _check(sentence: str, places: set[str]) -> None:
    """Let a sentence pass whose places are names of what is there, and nothing that computes."""
    if len(sentence) > LONGEST_SENTENCE:
        raise ValueError("a sentence is longer than any of ours")
    for _text, name, form, conversion in string.Formatter().parse(sentence):
        if name is None:
            continue
        if name not in places or not name.isidentifier() or form or conversion:
            raise ValueError("a sentence asks for what is not there")
