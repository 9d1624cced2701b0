"""What a site writes once it belongs to a federation; and whether a folder may join at all."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medfed.core.errors import DataError, SiteError
from medfed.core.files import write_atomic
from medfed.federation.enrolment.code import InviteCode
from medfed.federation.keys import fingerprint, load_public, public_pem
from medfed.federation.settings.site import read_site
from medfed.federation.site_folder import TRUST
from medfed.federation.site_settings import init_site

SETTINGS = "site.toml"


def check_folder(folder: Path, code: InviteCode, data: Path | None) -> None:
    """Whether a folder may join with a code, before anything is asked or written.

    Raises:
        SiteError: It is another site's, or obeys another coordinator.
        DataError: The data folder does not exist.
    """
    if data is not None and not data.is_dir():
        raise DataError(f"there is no data folder {data}", remedy="Give a folder that exists")
    if folder.exists() and not folder.is_dir():
        raise SiteError(f"{folder} is a file", remedy="Give another with --folder")
    if not (folder / SETTINGS).exists():
        return
    settings = read_site(folder / SETTINGS)
    if settings.id != code.site:
        message = f"{folder} is the folder of site {settings.id}, and the code is for {code.site}"
        raise SiteError(message, remedy="Give another with --folder")
    if settings.coordinator not in (None, str(code.address)):
        message = f"{folder} has joined {settings.coordinator} already"
        raise SiteError(message, remedy="Give another folder with --folder: a site obeys one")


def check_obedience(folder: Path, coordinator: str) -> None:
    """Whether a folder may obey the coordinator whose key has this fingerprint.

    Raises:
        SiteError: It obeys another coordinator already.
    """
    trust = folder / TRUST
    if coordinator and trust.exists() and fingerprint(load_public(trust)) != coordinator:
        message = f"{folder} obeys another coordinator"
        raise SiteError(message, remedy="Give another folder with --folder: a site obeys one")


def settle(
    folder: Path,
    code: InviteCode,
    coordinator: Ed25519PublicKey,
    *,
    data: Path | None,
    min_patients: int | None,
    proxy: str | None,
) -> None:
    """Pin the coordinator and write the settings; these last, for they say "joined".

    Raises:
        SiteError: The folder obeys another coordinator already.
    """
    check_obedience(folder, fingerprint(coordinator))
    write_atomic(folder / TRUST, public_pem(coordinator))
    if not (folder / SETTINGS).exists():
        init_site(folder, code.site, data, min_patients or 1)
    given: dict[str, str | int | None] = {
        "data": str(data.resolve()) if data else None,
        "min_patients": min_patients,
        "coordinator": str(code.address),
        "proxy": proxy,
    }
    text = (folder / SETTINGS).read_text(encoding="utf-8")
    write_atomic(folder / SETTINGS, with_fields(text, given).encode())


def with_fields(text: str, fields: Mapping[str, str | int | None]) -> str:
    """TOML without tables, with some fields set and the rest of the text left as it is."""
    for name, value in fields.items():
        if value is None:
            continue
        line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
        found = re.compile(rf"^{name}\s*=.*$", re.MULTILINE)
        if found.search(text):
            text = found.sub(line.replace("\\", r"\\"), text, count=1)
        else:
            text = f"{text.rstrip()}\n{line}\n"
    return text
