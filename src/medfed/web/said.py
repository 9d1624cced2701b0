"""What other layers say in English, in the reader's language.

Those layers know no languages: they say whole sentences, which also lie in databases and logs. The
catalogue holds them as templates, ``asks for {0} replies, a round has {1} sites``, gathered from
the source by ``scripts/translate.py``; a sentence is recognised by its template, and what stands in
its places is recognised in turn, since a sentence may hold another. What is unknown stays English.

The record of acts has words of its own, such as ``created``, which are looked for only there.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

from babel.support import Translations
from flask_babel import get_locale
from flask_babel import get_translations as translations

CONTEXT = "said"
"""Sets these sentences apart from those of the pages."""
AUDITED = "audited"
"""Sets apart what the record of acts says."""
JOINS = frozenset({"{0} or {1}", "{0}; {1}", "{0}: {1}, {2}"})
"""What only joins others: a sentence that merely holds an "or" would come out half translated."""
LOOSE = frozenset(
    {*JOINS, "Give {0}", "Use {0}", "{0} is not {1}", "Known: {0}", "a list, each {0}"}
)
"""What says so little that its places must be known too, or be no prose."""
PROSE = re.compile(r"[A-Za-z]{2,},? [a-z]{2,}")
PLACE = re.compile(r"\{(\d)\}")
FIRST_WORD = re.compile(r"[a-z]+(?:’[a-z]+)?(?=[ ,:]|$)")
COMMANDS = frozenset({"medfed"})
ENDS = tuple(".!?:…。！？：")  # noqa: RUF001  # Chinese has its own
HAN = re.compile(r"[\u4e00-\u9fff]")
DEEPEST = 6

Known = tuple[Mapping[str, str], tuple[tuple[re.Pattern[str], str, str], ...]]


def said(text: str) -> str:
    """A sentence of another layer, in the reader's language."""
    return _of(text, CONTEXT)


def audited(text: str) -> str:
    """What the record says of an act, in the reader's language."""
    return _of(text, AUDITED)


def sentence(text: str) -> str:
    """A complaint or remedy that stands by itself: with a capital letter and a full stop.

    Names stay as they are: only words that our own sentences begin with get a capital letter.
    """
    text = text.strip()
    first = FIRST_WORD.match(text)
    if first and first[0] in _openings():
        text = text[0].upper() + text[1:]
    if not text or text.endswith(ENDS):
        return text
    return text + ("。" if HAN.search(text[-8:]) else ".")


@lru_cache
def _openings() -> frozenset[str]:
    """The words with which sentences of other layers begin, as the catalogue knows them."""
    catalogue = Translations.load(Path(__file__).with_name("translations"), ["zh_Hans_CN"])
    known = catalogue._catalog  # noqa: SLF001  # no public way
    head = f"{CONTEXT}\4"
    own = (str(key).removeprefix(head) for key in known if _is_own(key, head))
    return frozenset(found[0] for found in map(FIRST_WORD.match, own) if found) - COMMANDS


def _of(text: str, context: str) -> str:
    locale = get_locale()
    if not text or locale is None or locale.language == "en":
        return text
    return _translated(text, str(locale), context, 0)


@lru_cache(maxsize=4096)
def _translated(text: str, locale: str, context: str, depth: int) -> str:
    exact, templates = _known(locale, context)
    for end in ("", "."):
        plain = text.removesuffix(end) if end else text
        if plain in exact:
            return exact[plain] + ("。" if end and text.endswith(end) else "")
    if depth == DEEPEST:
        return text
    for pattern, template, loose in templates:
        if depth == 0 and loose in JOINS:
            continue
        if match := pattern.fullmatch(text):
            given = match.groups()
            values = [_nested(value, locale, context, depth + 1) for value in given]
            if loose and any(
                a == b and PROSE.search(a) for a, b in zip(given, values, strict=True)
            ):
                continue
            return PLACE.sub(partial(_filled, values), template)
    return text


def _nested(value: str, locale: str, context: str, depth: int) -> str:
    """A value of another sentence; one word of the record's may be anybody's name as well."""
    found = _translated(value, locale, CONTEXT, depth)
    if found != value or context == CONTEXT or " " not in value:
        return found
    return _translated(value, locale, context, depth)


def _filled(values: Sequence[str], place: re.Match[str]) -> str:
    return values[int(place[1])]


@lru_cache
def _known(_locale: str, context: str) -> Known:
    """The sentences without places, and those with, the most telling first."""
    head = f"{context}\4"
    catalogue: Mapping[str, str] = translations()._catalog  # noqa: SLF001  # no public way
    own = {key.removeprefix(head): text for key, text in catalogue.items() if _is_own(key, head)}
    templates = sorted((k for k in own if PLACE.search(k)), key=lambda k: -len(PLACE.sub("", k)))
    exact = {sentence: text for sentence, text in own.items() if not PLACE.search(sentence)}
    loose = LOOSE.intersection
    return exact, tuple((_pattern(k), own[k], "".join(loose({k}))) for k in templates)


def _is_own(key: object, head: str) -> bool:
    return isinstance(key, str) and key.startswith(head)


def _pattern(template: str) -> re.Pattern[str]:
    """The places of a template are numbered from 0 in their order."""
    fixed = [re.escape(piece) for piece in PLACE.split(template)[::2]]
    return re.compile("(.+?)".join(fixed), re.DOTALL)
