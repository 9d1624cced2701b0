"""Pages in the reader's language, of files that were written in English."""

import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

from medfed.core.files import write_atomic
from medfed.services.greenlets import apart
from medfed.services.reports.speech import ENGLISH, Speech

_log = logging.getLogger(__name__)


def told(written: Path, say: Speech, render: Callable[[], str | bytes]) -> bytes:
    """A page, picture or card in a language: made once, then kept beside the English one.

    Args:
        written: The page in English.
        say: The language.
        render: Makes the page in it; where it cannot, the English one is better than none.
    """
    if say.language == ENGLISH.language:
        return written.read_bytes()
    kept = written.with_suffix(f".{say.language}{written.suffix}")
    if kept.is_file() and kept.stat().st_mtime_ns >= written.stat().st_mtime_ns:
        return kept.read_bytes()
    page = made(render)
    if page is None:
        return written.read_bytes()
    with suppress(OSError):  # a full disk keeps nobody from reading
        write_atomic(kept, page, durable=False)
    return page


def made(render: Callable[[], str | bytes]) -> bytes | None:
    """What comes of making a page; None where its folder is damaged, or its parts are not here."""
    try:
        page: str | bytes = apart(copy_context().run, render)
    except Exception:  # noqa: BLE001  # whatever lies in the folder, there is a page to show
        _log.warning("a page could not be made in another language", exc_info=True)
        return None
    return page if isinstance(page, bytes) else page.encode()
