"""How pages that services write say their sentences: in English, or in a reader's language."""

from collections.abc import Callable
from dataclasses import dataclass, field
from gettext import NullTranslations, translation
from pathlib import Path

import medfed

CONTEXT = "report"
"""Sets these sentences apart from those of the consoles."""


def later(sentence: str) -> str:
    """Mark a sentence that is said elsewhere, so that it is gathered for translation."""
    return sentence


def plain_moment(moment: str) -> str:
    """A moment kept as ISO 8601 in UTC, as it is kept but for the letters."""
    return moment.replace("T", " ").replace("Z", " UTC")


@dataclass(frozen=True)
class Speech:
    """Says sentences in one language: services know English, and their caller the others.

    Sentences are gathered from calls with plain strings. What stands in their places is named,
    since languages order it differently.

    Attributes:
        language: How HTML names it.
        translations: Pages' own sentences, by their English.
        again: What another layer said in English, in this language as far as it is known.
        moment: A moment kept as ISO 8601 in UTC, as people write it.
    """

    language: str = "en"
    translations: NullTranslations = field(default_factory=NullTranslations)
    again: Callable[[str], str] = str
    moment: Callable[[str], str] = plain_moment

    def __call__(self, sentence: str, /, **places: object) -> str:
        """A sentence with what stands in its places."""
        return self.translations.pgettext(CONTEXT, sentence).format(**places)

    def many(self, one: str, more: str, many: int, /, **places: object) -> str:
        """A sentence that counts: of one thing, or of as many as its place ``many`` says."""
        found = self.translations.npgettext(CONTEXT, one, more, many)
        return found.format(many=many, **places)


ENGLISH = Speech()
LANGUAGES = {"en": "en", "zh-CN": "zh_Hans_CN"}
"""By how HTML names them: their catalogues."""
CATALOGUES = Path(medfed.__file__).parent / "web" / "translations"


def speech_in(language: str) -> Speech:
    """For who asks on a command line: pages' own sentences; what other layers say stays English.

    Args:
        language: Among `LANGUAGES`.
    """
    if language == ENGLISH.language:
        return ENGLISH
    name = LANGUAGES[language]
    return Speech(language, translation("messages", localedir=str(CATALOGUES), languages=[name]))
