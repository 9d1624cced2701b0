"""A copy of a site's record for somebody without its key: opened, so that it can be verified."""

import json
from pathlib import Path
from typing import Any

from medfed.core.errors import SiteError
from medfed.core.files import write_atomic
from medfed.federation.audit.log import CHECKPOINT, ENTRIES, FOLDER, SALT, entries_of, salt_key_of
from medfed.federation.keys import PUBLIC
from medfed.federation.site_folder import RECEIPTS, SiteFolder, read_receipts
from medfed.services.sites import site_vault


def copy_record(site: Path, to: Path) -> None:
    """Write a site's receipts and its log into a new folder, as anybody can verify them.

    Args:
        site: The site's folder.
        to: The folder to make.

    Raises:
        SiteError: It is no site's folder, nothing left it yet, or ``to`` is there already.
        DataError: The record is damaged.
    """
    name, vault = SiteFolder(site).settings().name, site_vault(site)
    checkpoint = site / FOLDER / CHECKPOINT
    if not checkpoint.exists():
        raise SiteError(f"{site} has logged nothing yet", remedy="It does with its first reply")
    files = {
        "site.toml": f"name = {json.dumps(name)}\n".encode(),
        PUBLIC: (site / PUBLIC).read_bytes(),
        f"{FOLDER}/{CHECKPOINT}": checkpoint.read_bytes(),
        f"{FOLDER}/{SALT}": json.dumps(salt_key_of(site, vault).hex()).encode(),
        f"{FOLDER}/{ENTRIES}": _lines(entries_of(site, vault)),
    }
    for file in (site / RECEIPTS).glob("*.jsonl"):
        files[f"{RECEIPTS}/{file.name}"] = _lines(read_receipts(file, vault))
    try:
        to.mkdir(mode=0o700)
    except FileExistsError:
        raise SiteError(f"{to} is there already", remedy="Name a new folder") from None
    except OSError as error:
        raise SiteError(f"{to} cannot be made: {error.strerror}") from None
    for place, content in files.items():
        (to / place).parent.mkdir(exist_ok=True)
        write_atomic(to / place, content)


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
