"""Files of JSON objects that grow by lines, each sealed by itself where their folder is encrypted.

What holds of all lines together, such as their order, is not promised here: receipts are signed,
and a site's log says which there are.
"""

import json
from pathlib import Path
from typing import Any

from medfed.core.files import append_text, read_lines
from medfed.core.vault import Vault


def append_private(
    path: Path, value: Any, vault: Vault, what: str, *, durable: bool = True
) -> None:
    """Append an object, as `medfed.core.files.append_line` does.

    Args:
        path: The file.
        value: Plain data.
        vault: How lines lie there.
        what: What the file is; its lines open as nothing else.
        durable: Flush it to the disk.
    """
    append_text(path, vault.line(json.dumps(value, ensure_ascii=False), what), durable=durable)


def read_private(path: Path, vault: Vault, what: str) -> list[Any]:
    """The objects of a file, as `medfed.core.files.read_lines` gives them.

    Lines from before the folder was encrypted are read as they are.

    Raises:
        DataError: A line is damaged, or was changed.
    """

    def opened(line: str) -> str:
        return line if line.startswith("{") else vault.opened_line(line, what)

    return read_lines(path, opened)
