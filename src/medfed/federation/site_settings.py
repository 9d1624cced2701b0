"""What a site's own rules are: ``site.toml`` in its folder."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from medfed.core.errors import DataError, SiteError
from medfed.core.files import write_atomic
from medfed.core.options import check
from medfed.core.study import PLAIN, PLAIN_NAME, RESERVED
from medfed.federation.settings.own_rules import OwnFields, Rules
from medfed.federation.settings.site import own_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings(Rules):
    """What ``site.toml`` says."""

    name: str
    data: Path | None = None
    ledger: Path | None = None


def read_settings(folder: Path) -> SiteSettings:
    """Read the ``site.toml`` of a site's folder.

    Raises:
        SiteError: It is missing or wrong.
    """
    file = folder / "site.toml"
    try:
        given = own_fields(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        remedy = f"Make it with `medfed site init {folder}`"
        raise SiteError(f"{folder} is not a site's folder", remedy=remedy) from None
    except OSError as error:
        raise SiteError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"{file} is not valid TOML: {error}") from None
    given, problems = check(OwnFields, given, "site")
    if problems:
        raise SiteError(f"{file}: {problems[0]}")
    for name in ("data", "ledger"):
        place = given[name]
        given[name] = (folder / place).resolve() if place else None
    return SiteSettings(name=given.pop("id"), **given)


def init_site(
    path: Path,
    name: str,
    data: Path | None,
    min_patients: int = 1,
    encrypt_with: str | None = None,
    ledger: Path | None = None,
) -> None:
    """Write a new site's settings; keys are made beside them by the caller.

    Raises:
        SiteError: The folder is a site's already.
        DataError: The data folder does not exist.
    """
    if not PLAIN_NAME.fullmatch(name) or name in RESERVED:
        raise SiteError(f"{name!r} is not a site name", remedy=f"Give another with --name: {PLAIN}")
    if (path / "site.toml").exists():
        raise SiteError(f"{path} is a site's folder already", remedy="Choose another folder")
    if data is not None and not data.is_dir():
        raise DataError(f"there is no data folder {data}", remedy="Give a folder that exists")
    path.mkdir(parents=True, exist_ok=True)
    lines = [f'name = "{name}"', f"min_patients = {min_patients}"]
    if data is not None:
        lines.append(f"data = {json.dumps(str(data.resolve()))}")
    if encrypt_with is not None:
        lines.append(f"encrypt_with = {json.dumps(encrypt_with)}")
    if ledger is not None:
        lines.append(f"ledger = {json.dumps(str(ledger.resolve()))}")
    write_atomic(path / "site.toml", ("\n".join(lines) + "\n").encode())
    (path / "approved").mkdir(exist_ok=True)
