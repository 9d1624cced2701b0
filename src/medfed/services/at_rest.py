"""Encrypting the folders of sites and runs, and changing what opens them."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from medfed.connectors.pseudonyms import KEY_FILE
from medfed.core.errors import DataError, RunError, SiteError
from medfed.core.files import write_atomic
from medfed.core.vault import Vault
from medfed.federation.audit.log import ENTRIES, SALT, SEALED_AS
from medfed.federation.audit.log import FOLDER as AUDIT
from medfed.federation.site_folder import RECEIPTS, SiteFolder, receipts_of
from medfed.privacy.at_rest.envelope import ENVELOPE, Secret, open_envelope, rotate
from medfed.privacy.at_rest.stream import is_sealed
from medfed.privacy.at_rest.vault import SealedVault, new_vault
from medfed.services.consoles_of import consoles_elsewhere
from medfed.services.federation.alone import alone
from medfed.services.imports.archive import FETCHED
from medfed.services.imports.archive import LOCK as FETCH_LOCK
from medfed.services.imports.place import ASIDE, LOCK, only_one
from medfed.services.sites import secret_place, site_vault
from medfed.storage.catalogue import CATALOGUE
from medfed.storage.ledger import LEDGER
from medfed.storage.ledger_head import HEAD
from medfed.storage.links import LINKS

PRIVATE = (
    HEAD,
    "runs/*/reply/*",
    "runs/*/memory-*.safetensors",
    "runs/*/model.safetensors",
    "imports/*.json",
    "line/order",
    "line/order-2",
    "console/inferences/*/*/*",
    "console/models/*.safetensors",
    "models/*.safetensors",
    f"{AUDIT}/{SALT}",
)
"""Files that a site's vault seals."""
PUBLIC = frozenset({"manifest.json"})
"""What lies beside scans and tells of nobody: that a program drew them."""
REMADE = ("console/views", "console/thumbnails")
"""Pictures that are made anew where they are wanted: they are removed."""
DATABASES = (LEDGER, CATALOGUE, "console/console.sqlite")
"""Databases that it encrypts."""
JOBS = "jobs"
SERVED = (("line", "site"), ("console", JOBS))
"""Where long-lived processes of a site hold a lock, and under what name."""
LOG = "site.log"
LINES: Mapping[str, str] = {LOG: "", LINKS: LINKS, KEY_FILE: KEY_FILE}
"""Files whose lines it seals one by one, and as what; the record of what left is beside them."""
_LINE = re.compile(r"^\s*encrypt_with\s*=.*\n?", re.MULTILINE)


def encrypt_site(path: Path, encrypt_with: str) -> int:
    """Encrypt a site's folder that lay open; begun again, it goes on where it was stopped.

    In a folder that is encrypted, what an earlier version left open there is sealed.

    The site must be at rest: nobody else may write there meanwhile. A site or a console that
    serves the folder, and an import, is noticed; a run that works with it as a folder is not.

    Args:
        path: The site's folder.
        encrypt_with: ``passphrase`` or the path of a key file.

    Returns:
        How many files were sealed.

    Raises:
        SiteError: Nothing lies open in it, by another secret it is encrypted already, somebody
            works with it, or there is no secret.
    """
    own = SiteFolder(path).settings().encrypt_with
    encrypted = SiteError(f"{path} is encrypted already", remedy="Use `medfed site rotate-key`")
    if own is not None and secret_place(path, own) != secret_place(path, encrypt_with):
        raise encrypted
    _check_data(path)
    with _at_rest(path):
        count = _encrypt(path, encrypt_with)
    if own is not None and not count:
        raise encrypted
    return count


def _encrypt(path: Path, encrypt_with: str) -> int:
    _remove_leftovers(path)
    vault = _own_vault(path, Secret.named(secret_place(path, encrypt_with)))
    count = sum(vault.encrypt_database(path / name) for name in DATABASES)
    for file in _lying_open(path):
        vault.write(file, file.read_bytes())
        count += 1
    for name in REMADE:
        shutil.rmtree(path / name, ignore_errors=True)
    from medfed.services.hospital.parts import seal_jobs  # a console's: slow to load

    count += seal_jobs(path / "console", vault)
    count += sum(_seal_lines(file, vault, what) for file, what in _files_of_lines(path))
    _say(path, encrypt_with)
    return count


def rotate_site(path: Path, new: Secret, encrypt_with: str) -> None:
    """Let another secret open a site's folder from now on; no file but the envelope is touched.

    Raises:
        SiteError: The folder is not encrypted, or what its settings name does not open it.
    """
    now = SiteFolder(path).settings().encrypt_with
    if now is None:
        raise SiteError(f"{path} is not encrypted", remedy=f"Run `medfed site encrypt {path}`")
    rotate(path, Secret.named(secret_place(path, now)), new)
    _say(path, encrypt_with)


def site_log(path: Path) -> list[str]:
    """The lines of a site's own log, opened.

    Raises:
        SiteError: What the settings name does not open the folder.
        DataError: A line was changed.
    """
    vault = site_vault(path)
    return [vault.opened_line(line) for line in _lines_of(path / LOG)]


def read_file(path: Path, name: str) -> bytes:
    """A file of a site's folder, opened where it is encrypted.

    Args:
        path: The site's folder.
        name: The file, from there.

    Raises:
        SiteError: There is no such file in it, or what the settings name does not open it.
        DataError: It was changed.
    """
    file = path / name
    if not file.is_file() or not file.resolve().is_relative_to(path.resolve()):
        raise SiteError(f"there is no file {name} in {path}", remedy="Name one from that folder")
    vault = site_vault(path)
    what = dict(_files_of_lines(path)).get(file)
    if what is not None and vault.sealed:
        return "".join(_opened_line(one, vault, what) + "\n" for one in _lines_of(file)).encode()
    return vault.read(file) if is_sealed(file) else file.read_bytes()


def _lying_open(path: Path) -> Iterator[Path]:
    """Private files of a site's folder that are not sealed, the hospital's data in it too."""
    for pattern in PRIVATE:
        yield from (file for file in sorted(path.glob(pattern)) if not is_sealed(file))
    data = SiteFolder(path).settings().data
    if data is None or not data.resolve().is_relative_to(path.resolve()):
        return
    for file in sorted(file for file in data.rglob("*") if file.is_file()):
        if not is_sealed(file) and file.name not in PUBLIC and file.stat().st_size:
            yield file


def _remove_leftovers(path: Path) -> None:
    """What writes that were killed left: parts of private files, and originals of a PACS."""
    for part in [file for file in path.rglob(".*.part") if file.is_file()]:
        part.unlink(missing_ok=True)
    for folder in [*path.glob(f"{FETCHED}*"), *path.rglob(f"{ASIDE}*")]:
        shutil.rmtree(folder, ignore_errors=True)


def _check_data(path: Path) -> None:
    """Patients' files among the site's own cannot be told from them."""
    data = SiteFolder(path).settings().data
    if data is not None and data.resolve() == path.resolve():
        message = f"{path} is the folder of its data too, which would stay open"
        remedy = "Move the data into a folder of their own, and name it by data in site.toml"
        raise SiteError(message, remedy=remedy)


@contextmanager
def _at_rest(path: Path) -> Iterator[None]:
    """Keep this site's own processes out: what they write meanwhile would be lost.

    Raises:
        SiteError: One is at work.
    """
    with ExitStack() as stack:
        try:
            for folder, what in SERVED:
                if (path / folder).is_dir():
                    stack.enter_context(alone(path / folder, what))
            for console in map(Path, consoles_elsewhere(path)):
                if console.is_dir():
                    stack.enter_context(alone(console, JOBS))
        except RunError as error:
            raise SiteError(error.message, remedy=error.remedy) from None
        stack.enter_context(only_one(path, LOCK))
        stack.enter_context(only_one(path, FETCH_LOCK))
        yield


def _own_vault(path: Path, secret: Secret) -> SealedVault:
    if not (path / ENVELOPE).exists():
        return new_vault(path, secret)
    return SealedVault(path, open_envelope(path, secret))  # it was stopped half-way


def _files_of_lines(path: Path) -> Iterator[tuple[Path, str]]:
    """Files of a site's folder whose lines are sealed, and as what."""
    yield from ((path / name, what) for name, what in LINES.items())
    yield path / AUDIT / ENTRIES, SEALED_AS
    yield from ((file, receipts_of(file)) for file in sorted((path / RECEIPTS).glob("*.jsonl")))


def _seal_lines(file: Path, vault: Vault, what: str) -> bool:
    """Seal those lines of a file that are not; whether there was one."""
    lines = _lines_of(file)
    sealed = [line if _opens(line, vault, what) else vault.line(line, what) for line in lines]
    if sealed != lines:
        write_atomic(file, "".join(f"{line}\n" for line in sealed).encode())
    return sealed != lines


def _opens(line: str, vault: Vault, what: str) -> bool:
    try:
        vault.opened_line(line, what)
    except DataError:
        return False
    return True


def _opened_line(line: str, vault: Vault, what: str) -> str:
    """A line, opened; the record's may lie open from before, for its signatures vouch for it."""
    signed = what not in LINES.values() and line.startswith("{")
    return line if signed else vault.opened_line(line, what)


def _lines_of(file: Path) -> list[str]:
    """Lines as their writers end them: other ends of a line, such as U+2028, may be within one.

    A last line that was cut off in the middle is none; but of the log each piece tells something,
    and the key may have been brought back by hand, without an end of its line.
    """
    text = file.read_bytes().decode("utf-8") if file.exists() else ""
    *lines, rest = text.split("\n")
    return [*lines, rest] if rest and file.name in (LOG, KEY_FILE) else lines


def _say(path: Path, encrypt_with: str) -> None:
    """Have site.toml name what opens the folder, in its first line: above any table."""
    file = path / "site.toml"
    rest = _LINE.sub("", file.read_text(encoding="utf-8"))
    write_atomic(file, f"encrypt_with = {json.dumps(encrypt_with)}\n{rest}".encode())
