"""Gather what people read and compile its translations: `python scripts/translate.py`.

The consoles' sentences, those of the pages that services write, and those that other layers say.

Adds what is new to src/medfed/web/translations/*/LC_MESSAGES/messages.po, takes out what is gone,
and compiles. A test says which sentences are still without a translation.
"""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

sys.path.insert(0, str(Path(__file__).resolve().parent))
import said_sentences

from medfed.services.reports import speech

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "medfed"
WEB = PACKAGE / "web"
TEMPLATES = {"trimmed": "true", "silent": "false"}
METHODS = [
    ("**.py", "python"),
    ("templates/**.html", "jinja2"),
    ("templates/**.md", "jinja2"),
]
OPTIONS = {"templates/**.html": TEMPLATES, "templates/**.md": TEMPLATES}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
KEYWORDS = {"_": None, "_l": None, "gettext": None}
PAGES = ("services/reports", "services/comparison", "services/prediction", "services/evidence")
"""Whose pages speak through a `medfed.services.reports.speech.Speech`."""
SAYS = {"say": None, "later": None, "many": (1, 2)}


def gather() -> Catalog:
    """Every sentence, with where it stands."""
    catalog = Catalog(project="medfed", charset="utf-8")
    found = extract_from_dir(WEB, METHODS, OPTIONS, keywords=KEYWORDS)
    for file, _line, message, comments, context in found:
        place: list[Any] = [(file, None)]  # without its line, which every edit would move
        catalog.add(message, None, place, auto_comments=comments, context=context)
    for folder in PAGES:
        said = extract_from_dir(PACKAGE / folder, METHODS, OPTIONS, keywords=SAYS)
        for file, _line, message, _comments, _context in said:
            place = [(f"{folder}/{file}", None)]
            catalog.add(message, None, place, context=speech.CONTEXT)
    for sentence, file in said_sentences.gather():
        place = [(file, None)]
        catalog.add(sentence, None, place, context=said_sentences.CONTEXT)
    for sentence, file in said_sentences.gather_audited():
        place = [(file, None)]
        catalog.add(sentence, None, place, context=said_sentences.AUDITED)
    return catalog


def catalogues() -> list[Path]:
    """The catalogue of each language other than English, which is in the source."""
    return sorted(WEB.glob("translations/*/LC_MESSAGES/messages.po"))


def read(path: Path) -> Catalog:
    """One language's sentences."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def compiled(path: Path) -> bytes:
    """The catalogue as programs read it."""
    catalog = read(path)
    catalog.creation_date = catalog.revision_date = LONG_AGO  # the same sentences, the same bytes
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def main() -> int:
    """Bring all catalogues up to date; say what has no translation."""
    missing = 0
    for path in catalogues():
        catalog = read(path)
        catalog.update(gather(), no_fuzzy_matching=True)
        catalog.obsolete.clear()
        buffer = io.BytesIO()
        write_po(buffer, catalog, width=100, sort_by_file=True, omit_header=True)
        header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        path.write_text(header + buffer.getvalue().decode(), "utf-8")
        path.with_suffix(".mo").write_bytes(compiled(path))
        for message in catalog:
            if message.id and not "".join(message.string or ()):
                missing += 1
                print(f"{path.parent.parent.name}: {message.id}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
