"""Who is who: a line for each scan in the site's own folder, where the hospital asked for it."""

import json
from collections.abc import Mapping
from pathlib import Path

from medfed.core.files import append_text, write_atomic
from medfed.core.vault import Vault

LINKS = "links.jsonl"


def add(site: Path, vault: Vault, link: Mapping[str, str]) -> None:
    """Write a link down, once.

    Args:
        site: the site's own folder.
        vault: how private files lie there.
        link: pseudonyms and what they stand for.

    Raises:
        OSError: the disk refuses.
        DataError: a line was changed.
    """
    line = json.dumps(link, ensure_ascii=False)
    if line not in known(site, vault):
        append_text(site / LINKS, vault.line(line, LINKS))


def known(site: Path, vault: Vault) -> list[str]:
    """All links, each as JSON; a last line that a crash cut off is left out.

    Raises:
        DataError: a line was changed.
    """
    file = site / LINKS
    *lines, _cut_off = file.read_text(encoding="utf-8").split("\n") if file.exists() else [""]
    return [vault.opened_line(line, LINKS) for line in lines]


def forget(site: Path, vault: Vault, scan: str) -> None:
    """Take the link of a scan out."""
    lines = known(site, vault)
    kept = [line for line in lines if json.loads(line).get("scan") != scan]
    if kept != lines:
        text = "".join(vault.line(line, LINKS) + "\n" for line in kept)
        write_atomic(site / LINKS, text.encode())
