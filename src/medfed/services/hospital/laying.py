"""The sealed files of an import as a folder of files, whose readers open them where they lie.

What lies in the folder are names and lengths alone, in memory: a file in it takes no room. Readers
of private files are given the bytes from the sealed pieces, a stretch at a time; those that take
files apart by themselves are given a copy in memory, of a scan at a time.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from medfed.core.memory_folders import in_memory
from medfed.core.private_files import lent
from medfed.services.hospital.parts import FILES, PARTS, Pieces, folder_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from medfed.core.vault import Reader


@contextmanager
def laid_out(job: Path, names: Mapping[str, tuple[str, int]], vault: Reader) -> Iterator[Path]:
    """A folder in memory with the files of a job, each where its name says.

    Args:
        job: The job's folder.
        names: Name and length of each, by where it lies in parts.
        vault: What opens them.

    Raises:
        DataError: This system has no folder in memory.
    """
    with in_memory() as bench:
        files = bench.resolve() / "import" / FILES  # deep: readers look above for what lies beside
        files.mkdir(mode=0o700, parents=True)
        lying = {}
        for part, (name, length) in names.items():
            if files / name in lying:  # sealed from its place and from its row, by a stopped import
                continue
            (files / name).parent.mkdir(parents=True, exist_ok=True)
            with (files / name).open("xb") as file:
                file.truncate(length)
            lying[files / name] = folder_of(job / PARTS / part), length
        with lent(files, _LaidOut(lying, vault)):
            yield files


class _LaidOut:
    """Implements `medfed.core.vault.Reader` for such a folder."""

    sealed = True

    def __init__(self, lying: Mapping[Path, tuple[Path, int]], vault: Reader) -> None:
        self._lying, self._vault = lying, vault

    def seals(self, path: Path) -> bool:
        """Whether it is one of the files."""
        return path.parent.resolve() / path.name in self._lying

    def read(self, path: Path) -> bytes:
        """A whole file."""
        blob = self.blob(path)
        return blob.read(0, len(blob))

    def blob(self, path: Path) -> Pieces:
        """A file to be read in part."""
        folder, length = self._lying[path.parent.resolve() / path.name]
        return Pieces(folder, self._vault, length)
