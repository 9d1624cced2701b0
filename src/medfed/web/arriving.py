"""Files that come in a form: in memory at an encrypted hospital, where others lie in a folder."""

import tempfile
from typing import IO

from flask import Flask, Request

from medfed.core.memory_folders import MEMORY
from medfed.services.console import Console
from medfed.services.sites import site_vault


class _InMemory(Request):
    """A request whose files never touch the disk."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=MEMORY)


def register(app: Flask, console: Console) -> None:
    """Have files of forms lie in memory where the hospital's site is encrypted."""
    if console.hospital and site_vault(console.hospital.site).sealed:
        app.request_class = _InMemory
