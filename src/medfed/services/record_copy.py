"""A copy of a site's record for somebody without its key: opened, so that it can be verified."""

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from medfed.core.errors import SiteError
from medfed.core.files import write_atomic
from medfed.core.vault import Vault
from medfed.federation.audit.log import CHECKPOINT, ENTRIES, FOLDER, SALT, entries_of, salt_key_of
from medfed.federation.audit.verify import verify_folder
from medfed.federation.keys import PUBLIC, load_public
from medfed.federation.site_folder import RECEIPTS, SiteFolder, read_receipts
from medfed.services.sites import site_vault

READINGS, PAUSE_SECONDS = 5, 0.2


def copy_record(site: Path, to: Path) -> None:
    """Write a site's receipts and its log into a new folder, as anybody can verify them.

    A reply that leaves meanwhile would make the copy look tampered with: one with faults is read
    again. Those that stay are the record's own.

    Args:
        site: The site's folder.
        to: The folder to make.

    Raises:
        SiteError: It is no site's folder, nothing left it yet, or ``to`` is there already.
        DataError: The record is damaged.
    """
    name, vault = SiteFolder(site).settings().name, site_vault(site)
    if not (site / FOLDER / CHECKPOINT).exists():
        raise SiteError(f"{site} has logged nothing yet", remedy="It does with its first reply")
    if to.exists():
        raise SiteError(f"{to} is there already", remedy="Name a new folder")
    key = load_public(site / PUBLIC)
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    except OSError as error:
        raise SiteError(f"{to} cannot be made: {error.strerror}") from None
    try:
        for reading in range(READINGS):
            time.sleep(PAUSE_SECONDS if reading else 0)
            _write(site, vault, name, aside)
            if not verify_folder(aside, name, key).faults:
                break
        aside.rename(to)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(site: Path, vault: Vault, name: str, to: Path) -> None:
    files = {
        "site.toml": f"name = {json.dumps(name)}\n".encode(),
        PUBLIC: (site / PUBLIC).read_bytes(),
        f"{FOLDER}/{CHECKPOINT}": (site / FOLDER / CHECKPOINT).read_bytes(),
        f"{FOLDER}/{SALT}": json.dumps(salt_key_of(site, vault).hex()).encode(),
        f"{FOLDER}/{ENTRIES}": _lines(entries_of(site, vault)),
    }
    for file in (site / RECEIPTS).glob("*.jsonl"):
        files[f"{RECEIPTS}/{file.name}"] = _lines(read_receipts(file, vault))
    for place, content in files.items():
        (to / place).parent.mkdir(exist_ok=True)
        write_atomic(to / place, content)


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
