"""Private files: read where they lie, opened in memory where sealed, and nothing is left."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from medfed.core import private_files
from medfed.core.errors import DataError
from medfed.core.private_files import (
    PREFIX,
    binary,
    content,
    in_memory,
    private_memory,
    readable,
    remember,
    text,
    vault_over,
)
from medfed.core.vault import OPEN
from medfed.privacy.at_rest.vault import SealedVault


@pytest.fixture
def memory(tmp_path, monkeypatch):
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(private_files, "MEMORY", folder)
    monkeypatch.setattr(private_files, "_VAULTS", {})
    return folder


@pytest.fixture
def vault(tmp_path, memory):
    folder = tmp_path / "site"
    (folder / "ct").mkdir(parents=True)
    made = SealedVault(folder, bytes(32))
    remember(folder, made)
    return made


def test_a_file_is_opened_by_the_vault_of_the_nearest_folder(vault, tmp_path):
    sealed, plain, outside = vault.root / "ct" / "a", vault.root / "b", tmp_path / "c"
    vault.write(sealed, b"one\r\ntwo")
    plain.write_bytes(b"plain")
    outside.write_bytes(b"outside")
    assert [content(f) for f in (sealed, plain, outside)] == [b"one\r\ntwo", b"plain", b"outside"]
    assert vault_over(outside) is OPEN
    with text(sealed, "utf-8") as file:
        assert file.read() == "one\r\ntwo"
    with text(plain, "utf-8") as file:
        assert file.read() == "plain"
    assert binary(plain) == plain
    assert binary(sealed).read() == b"one\r\ntwo"


def test_a_scan_is_copied_with_what_is_called_alike_and_the_copy_goes(vault, memory):
    for name in ("ct.mhd", "ct.raw", "mask.mhd"):
        vault.write(vault.root / name, name.encode())
    with readable(vault.root / "ct.mhd") as path:
        assert path.is_relative_to(memory)
        assert path.read_bytes() == b"ct.mhd"
        assert sorted(f.name for f in path.parent.iterdir()) == ["ct.mhd", "ct.raw"]
        assert path.parent.stat().st_mode & 0o077 == 0
    vault.write(vault.root / "ct" / "deep.dcm", b"slice")
    with readable(vault.root / "ct") as path:
        assert (path / "deep.dcm").read_bytes() == b"slice"
    assert not list(memory.iterdir())


def test_what_lies_open_is_read_where_it_lies(vault, memory):
    (vault.root / "ct" / "1.dcm").write_bytes(b"x")
    with readable(vault.root / "ct") as path:
        assert path == vault.root / "ct"
    assert not list(memory.iterdir())


def test_a_changed_file_leaves_no_copy(vault, memory):
    file = vault.root / "ct.mhd"
    vault.write(file, b"x" * 100)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError), readable(file):
        pytest.fail("opened")
    assert not list(memory.iterdir())


def test_no_room_and_no_memory_are_said(vault, memory, monkeypatch):
    vault.write(vault.root / "ct.mhd", b"x")

    def full(self, blob):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(DataError, match="no room"), readable(vault.root / "ct.mhd"):
            pytest.fail("opened")
    monkeypatch.setattr(private_files, "MEMORY", memory / "none")
    with pytest.raises(DataError, match="lacks"), in_memory():
        pytest.fail("opened")


def test_copies_of_processes_that_are_gone_are_swept(vault, memory):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    (memory / f"{PREFIX}{gone.pid}-x").mkdir()
    (memory / f"{PREFIX}{gone.pid}-x" / "slice").write_bytes(b"x")
    with in_memory() as own:
        remember(vault.root, vault)
        assert own.is_dir()
        assert [f.name for f in memory.iterdir()] == [own.name]


def test_a_lasting_folder_is_its_owners_or_refused(memory):
    found = private_memory("views")
    assert private_memory("views") == found
    assert found != private_memory("others")
    found.chmod(0o755)
    with pytest.raises(DataError, match="somebody else's"):
        private_memory("views")
    found.rmdir()
    found.symlink_to(memory)
    with pytest.raises(DataError):
        private_memory("views")
