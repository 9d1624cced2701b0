"""Checks on this machine: folder, keys, data, disk, approvals."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from medfed.core.errors import SettingsError, SiteError
from medfed.federation.enrolment.certificates import CA
from medfed.federation.enrolment.node_key import NODE_KEY, load_node_key
from medfed.federation.keys import PRIVATE, fingerprint, load_key, load_public
from medfed.federation.settings.site import SiteFile, read_site
from medfed.federation.site_folder import TRUST, SiteFolder
from medfed.services.doctor.finding import Finding, failure, ok, warning

GB = 1_000_000_000
LOW, TOO_LOW = 10 * GB, GB
"""Free disk space: below the first a warning, below the second a failure."""
OTHERS = 0o077


def read_settings(folder: Path) -> tuple[SiteFile | None, Finding]:
    """The site's settings, and what was found about them."""
    file = folder / "site.toml"
    if not file.exists():
        remedy = "Give a site's folder; `medfed site join CODE` makes one"
        return None, failure("settings", f"{folder} is not a site's folder", remedy)
    try:
        settings = read_site(file)
    except SettingsError as error:
        first = error.problems[0] if error.problems else error.message
        return None, failure("settings", f"{error.message}: {first}", f"Correct {file}")
    return settings, ok("settings", f"site {settings.id}, {file}")


def examine(settings: SiteFile) -> Iterator[Finding]:
    """All checks on this machine."""
    yield _folder(settings.folder)
    yield _keys(settings)
    yield _data(settings.data)
    yield _disk(settings.folder)
    yield _approvals(settings.folder)


def _folder(folder: Path) -> Finding:
    """Who else may read the keys, and whether we may write."""
    if not os.access(folder, os.W_OK | os.X_OK):
        remedy = f"Run as the folder's owner, or: chown -R $(id -un) {folder}"
        return failure("folder", f"{folder} cannot be written by this user", remedy)
    private = [folder / PRIVATE, folder / NODE_KEY]
    wide = [file for file in private if file.exists() and file.stat().st_mode & OTHERS]
    if wide:
        names = " ".join(str(file) for file in wide)
        message = f"others on this machine can read {', '.join(file.name for file in wide)}"
        return failure("folder", message, f"chmod 600 {names}")
    if folder.stat().st_mode & 0o022:
        return warning("folder", f"others may write in {folder}", f"chmod 700 {folder}")
    return ok("folder", "keys are readable by this user only")


def _keys(settings: SiteFile) -> Finding:
    folder = settings.folder
    try:
        mark = fingerprint(load_key(folder).public_key())
        if settings.coordinator:
            load_node_key(folder)
            load_public(folder / TRUST)
    except SiteError as error:
        return failure("keys", error.message, error.remedy or "Restore it from a backup")
    if settings.coordinator and not (folder / CA).exists():
        return failure("keys", f"{folder / CA} is missing", "Restore it, or join again")
    return ok("keys", f"fingerprint {mark}")


def _data(data: Path | None) -> Finding:
    if data is None:
        remedy = "Set data in site.toml; studies on public data need none"
        return warning("data", "no data folder is set", remedy)
    if not data.is_dir():
        return failure(
            "data", f"there is no folder {data}", "Correct data in site.toml, or mount it"
        )
    if not os.access(data, os.R_OK | os.X_OK):
        remedy = "Give this user the right to read it"
        return failure("data", f"{data} cannot be read by this user", remedy)
    if next(data.iterdir(), None) is None:
        remedy = "Check that it is mounted and filled"
        return warning("data", f"{data} is empty", remedy)
    return ok("data", f"{data} can be read")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    message = f"{free / GB:.1f} GB free in {folder}"
    remedy = "Make room: replies and memories of runs need a few times the model's size"
    if free < TOO_LOW:
        return failure("disk", message, remedy)
    return warning("disk", message, remedy) if free < LOW else ok("disk", message)


def _approvals(folder: Path) -> Finding:
    files = list((folder / "approved").glob("*.json"))
    good = SiteFolder(folder).approvals()
    if len(files) > len(good):
        remedy = "Withdraw and approve again: a changed study is refused"
        return failure("approvals", f"{len(files) - len(good)} approved studies changed", remedy)
    if not good:
        remedy = f"When you agree with a study: medfed site approve {folder} STUDY"
        return warning("approvals", "no study is approved: every order is refused", remedy)
    return ok("approvals", f"{len(good)} approved: {', '.join(s.digest[:12] for s in good)}")
