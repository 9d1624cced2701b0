"""What other layers say in English, in the reader's language.

Those layers know no languages: they say whole sentences, which also lie in databases and logs. The
catalogue holds them as templates, ``asks for {0} replies, a round has {1} sites``, gathered from
the source by ``scripts/translate.py``; a sentence is recognised by its template, and what stands in
its places is recognised in turn, since a sentence may hold another. What is unknown stays English.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from flask_babel import get_locale
from flask_babel import get_translations as translations

CONTEXT = "said"
"""Sets these sentences apart from those of the pages."""
PLACE = re.compile(r"\{(\d)\}")
DEEPEST = 6

Known = tuple[Mapping[str, str], tuple[tuple[re.Pattern[str], str], ...]]


def said(text: str) -> str:
    """A sentence of another layer, in the reader's language."""
    locale = get_locale()
    if not text or locale is None or locale.language == "en":
        return text
    return _translated(text, str(locale), DEEPEST)


@lru_cache(maxsize=4096)
def _translated(text: str, locale: str, depth: int) -> str:
    exact, templates = _known(locale)
    for end in ("", "."):
        plain = text.removesuffix(end) if end else text
        if plain in exact:
            return exact[plain] + ("。" if end and text.endswith(end) else "")
    if depth == 0:
        return text
    for pattern, template in templates:
        if match := pattern.fullmatch(text):
            values = [_translated(value, locale, depth - 1) for value in match.groups()]
            return PLACE.sub(partial(_filled, values), template)
    return text


def _filled(values: Sequence[str], place: re.Match[str]) -> str:
    return values[int(place[1])]


@lru_cache
def _known(_locale: str) -> Known:
    """The sentences without places, and those with, the most telling first."""
    head = f"{CONTEXT}\4"
    catalogue: Mapping[str, str] = translations()._catalog  # noqa: SLF001  # no public way
    own = {key.removeprefix(head): text for key, text in catalogue.items() if _is_own(key, head)}
    templates = sorted((k for k in own if PLACE.search(k)), key=lambda k: -len(PLACE.sub("", k)))
    exact = {sentence: text for sentence, text in own.items() if not PLACE.search(sentence)}
    return exact, tuple((_pattern(each), own[each]) for each in templates)


def _is_own(key: object, head: str) -> bool:
    return isinstance(key, str) and key.startswith(head)


def _pattern(template: str) -> re.Pattern[str]:
    """The places of a template are numbered from 0 in their order."""
    fixed = [re.escape(piece) for piece in PLACE.split(template)[::2]]
    return re.compile("(.+?)".join(fixed), re.DOTALL)
