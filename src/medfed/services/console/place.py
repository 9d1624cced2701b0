"""The console's folder, readable by its owner only."""

import hmac
import json
import os
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from medfed.core.errors import RunError
from medfed.core.files import write_json
from medfed.services.console_database import EMBEDDED
from medfed.storage.database.engine import sqlite_url

SECRETS = "secrets.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a console keeps what is not in its database.

    ::

        secrets.json      the pepper of the passwords, the key of the cookies
        console.sqlite    the database, unless a URL names another
        studies/RUN.toml  what each run was started with
        runs/RUN/         the runs' folders; beside them events that wait for the database
        logs/RUN.log      what their processes said
        mirror/           what the database held a minute ago, where it is elsewhere

    Attributes:
        path: The folder.
        federation: Folder of a coordinator on this machine, whose hospitals studies may run at.
        pepper: Goes into each password's hash.
        key: Signs cookies and forms.
    """

    path: Path
    pepper: bytes = field(repr=False)
    key: bytes = field(repr=False)
    federation: Path | None = None

    @classmethod
    def open(cls, path: Path, federation: Path | None = None) -> "Place":
        """The folder, made where there is none.

        Raises:
            RunError: It cannot be made or read.
        """
        try:
            for each in (path, path / "studies", path / "runs", path / "logs"):
                each.mkdir(parents=True, exist_ok=True, mode=0o700)
                each.chmod(0o700)  # one that was there too: the database would be anybody's to read
            file = path / SECRETS
            if not file.exists():
                names = ("pepper", "key")
                _write_once(file, {name: secrets.token_hex(32) for name in names})
            kept = json.loads(file.read_bytes())
            pepper, key = (bytes.fromhex(kept[name]) for name in ("pepper", "key"))
            return cls(path.resolve(), pepper, key, federation.resolve() if federation else None)
        except (OSError, ValueError, LookupError) as error:
            raise RunError(
                f"the console's folder {path} cannot be used: {error}",
                remedy="Choose another with --data, or restore it from a backup",
            ) from error

    @property
    def mark(self) -> str:
        """Tells this console from others on the same machine; says nothing of its secrets."""
        return hmac.digest(self.key, b"which console", "sha256").hex()[:8]

    @property
    def database_url(self) -> str:
        """The embedded database."""
        return sqlite_url(self.path / EMBEDDED)

    @property
    def free(self) -> int:
        """Bytes that the disk under the folder has left."""
        return shutil.disk_usage(self.path).free

    def study_file(self, run: str) -> Path:
        """What a run was started with."""
        return self.path / "studies" / f"{run}.toml"

    def run_folder(self, run: str) -> Path:
        """A run's folder."""
        return self.path / "runs" / run

    def log_file(self, run: str) -> Path:
        """What a run's processes said."""
        return self.path / "logs" / f"{run}.log"


def _write_once(file: Path, value: dict[str, str]) -> None:
    """Write it unless another process was first: two peppers would lock everybody out."""
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    write_json(part, value)
    try:
        os.link(part, file)
    except FileExistsError:
        pass
    finally:
        part.unlink()
