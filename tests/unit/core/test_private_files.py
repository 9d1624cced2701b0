"""Private files: read where they lie, opened in memory where sealed, and nothing is left."""

import errno
import hashlib
import subprocess
import sys

import pytest

from medfed.core import memory_folders, private_files
from medfed.core.errors import DataError
from medfed.core.memory_folders import PREFIX, in_memory, kept_memory, private_memory, unpacking
from medfed.core.private_files import (
    binary,
    content,
    readable,
    remember,
    sealed,
    seekable,
    sha256,
    size,
    stretch,
    text,
    vault_over,
)
from medfed.core.vault import OPEN
from medfed.privacy.at_rest.vault import SealedVault


@pytest.fixture
def memory(tmp_path, monkeypatch):
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(memory_folders, "MEMORY", folder)
    monkeypatch.setattr(private_files, "_VAULTS", {})
    monkeypatch.setattr(private_files, "_STRICT", set())
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


def test_an_open_file_among_sealed_ones_is_not_read(vault, memory):
    """Somebody put it there: findings and signed reports must come from here."""
    found = vault.root / "found"
    remember(found, vault, strict=True)
    found.mkdir()
    vault.write(found / "mask.nii", b"ours")
    assert content(found / "mask.nii") == b"ours"
    (found / "mask.nii").write_bytes(b"theirs")
    readers = (content, binary, lambda p: text(p, "utf-8"), lambda p: readable(p).__enter__())
    for read in readers:
        with pytest.raises(DataError, match="lies open"):
            read(found / "mask.nii")
    with pytest.raises(FileNotFoundError):
        content(found / "none")
    (vault.root / "other").write_bytes(b"plain")
    assert content(vault.root / "other") == b"plain"


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
    *kept, end = file.read_bytes()
    file.write_bytes(bytes([*kept, end ^ 1]))
    with pytest.raises(DataError), readable(file):
        pytest.fail("opened")
    assert not list(memory.iterdir())


def test_no_room_and_no_memory_are_said(vault, memory, monkeypatch):
    vault.write(vault.root / "ct.mhd", b"x")

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(private_files, "_pieces", full)
        with pytest.raises(DataError, match="no room"), readable(vault.root / "ct.mhd"):
            pytest.fail("opened")
    monkeypatch.setattr(memory_folders, "MEMORY", memory / "none")
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


HOLDER = """
import os, sys
from pathlib import Path
from medfed.core import memory_folders, private_files
memory_folders.MEMORY = Path(sys.argv[1])
kept = memory_folders.private_memory("views")
(kept / "hu.npy").write_bytes(b"voxels")
with memory_folders.in_memory() as copy:
    (copy / "slice").write_bytes(b"voxels")
    print(kept.name, flush=True)
    sys.stdin.readline() or os._exit(1)
"""


@pytest.mark.parametrize("ends", [True, False])
def test_nothing_of_a_viewer_stays_when_its_last_process_is_gone(ends, vault, memory):
    """Whether it ended, or was killed: then it goes when an encrypted folder is next opened."""
    command = [sys.executable, "-c", HOLDER, str(memory)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        name = other.stdout.readline().strip()
        remember(vault.root, vault)  # which sweeps
        assert (memory / name / "hu.npy").exists(), "it is in use"
        assert len(list(memory.iterdir())) == 2
        if ends:
            other.communicate("go\n")
        else:
            other.kill()
            other.wait()
    if not ends:
        assert (memory / name / "hu.npy").exists()
        remember(vault.root, vault)
    assert not list(memory.iterdir())


def test_a_viewers_folder_that_another_process_takes_away_meanwhile_is_made_anew(
    memory, monkeypatch
):
    hold, away = memory_folders._hold, []

    def taken_away(folder):
        if away:
            return hold(folder)
        away.append(folder)
        folder.rmdir()  # between the two calls of this process
        folder.mkdir(mode=0o700)
        handle = hold(folder)
        folder.rmdir()
        return handle

    monkeypatch.setattr(memory_folders, "_hold", taken_away)
    found = private_memory("views meanwhile")
    assert found.is_dir()
    assert away == [found]
    memory_folders._remove_unheld(found)
    assert found.is_dir(), "it is held"


def test_an_archive_in_memory_is_unpacked_in_memory(memory, tmp_path):
    with in_memory() as copy, unpacking(copy / "ct.zip") as folder:
        assert folder.is_relative_to(memory)
    with unpacking(tmp_path / "ct.zip") as folder:
        assert not folder.is_relative_to(memory)
    assert not list(memory.iterdir())


def test_a_kept_folder_outlives_processes_and_is_not_swept(vault, memory):
    code = """
import sys
from pathlib import Path
from medfed.core import memory_folders, private_files
memory_folders.MEMORY = Path(sys.argv[1])
(memory_folders.kept_memory("store") / "db").write_bytes(b"kept")
"""
    subprocess.run([sys.executable, "-c", code, str(memory)], check=True)
    remember(vault.root, vault)  # which sweeps
    assert (kept_memory("store") / "db").read_bytes() == b"kept"
    assert kept_memory("store").stat().st_mode & 0o077 == 0
    assert kept_memory("other") != kept_memory("store")
    kept_memory("other").chmod(0o750)
    with pytest.raises(DataError, match="somebody else's"):
        kept_memory("other")


def test_content_is_the_same_however_it_is_asked_for(vault):
    blob = bytes(range(256)) * 1000
    vault.write(vault.root / "sealed", blob)
    (vault.root / "open").write_bytes(blob)
    for name in ("sealed", "open"):
        path = vault.root / name
        assert size(path) == len(blob)
        assert bytes(stretch(path, 70_000, 9)) == blob[70_000:70_009]
        assert bytes(stretch(path, len(blob) - 2, 9)) == blob[-2:]
        assert sha256(path) == hashlib.sha256(blob).hexdigest()
        assert sealed(path) is (name == "sealed")
        given = seekable(path)
        with given if name == "sealed" else path.open("rb") as file:
            file.seek(-3, 2)
            assert file.read() == blob[-3:]
            file.seek(100)
            assert file.tell() == 100
            assert file.read(5) == blob[100:105]
    assert not sealed(vault.root / "none")


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


def test_an_archive_in_memory_is_unpacked_there_by_whatever_path_it_is_known(tmp_path, monkeypatch):
    real, link = tmp_path / "real", tmp_path / "shm"
    real.mkdir()
    link.symlink_to(real)
    monkeypatch.setattr(memory_folders, "MEMORY", link)
    with memory_folders.unpacking(real / "a.zip") as folder:
        assert folder.resolve().is_relative_to(real)
