"""Encrypted databases: the ledger and the catalogue say nothing to who takes the disk."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from limits import allow
from unit.storage.test_catalogue import SCAN
from unit.storage.test_ledger import Counting, spend

from medfed.core.errors import DataError, SiteError
from medfed.core.files import sync
from medfed.core.vault import OPEN
from medfed.privacy.at_rest import database
from medfed.privacy.at_rest.vault import SealedVault
from medfed.storage.catalogue import Catalogue
from medfed.storage.ledger import SqliteLedger
from medfed.storage.ledger_head import HEAD

KEY, OTHER = bytes(range(32)), bytes(32)


def ledger(folder, key=KEY):
    return SqliteLedger(folder / "ledger.sqlite", Counting(), SealedVault(folder, key))


def seal_head(vault):
    """As `medfed site encrypt` does with all private files."""
    file = vault.root / HEAD
    vault.write(file, file.read_bytes())


def contents(folder):
    """All bytes of a folder, those of SQLite's log too."""
    return b"".join(f.read_bytes() for f in folder.iterdir())


def test_nothing_of_the_ledger_can_be_read_also_while_it_is_in_use(tmp_path):
    for vault, seen in ((SealedVault(tmp_path / "a", KEY), False), (OPEN, True)):
        folder = tmp_path / ("b" if seen else "a")
        folder.mkdir()
        book = SqliteLedger(folder / "ledger.sqlite", Counting(), vault)
        book.spend(spend(study="digest-of-the-study"))
        with book.file.open():  # the last to leave would clear the log away
            book.spend(spend(source="a source of theirs"))
            found = contents(folder)
        assert (b"digest-of-the-study" in found) is seen
        assert (b"a source of theirs" in found) is seen
        assert (database.PLAIN in found) is seen
        assert book.balance().spent == 2


def test_nothing_of_the_catalogue_can_be_read(tmp_path):
    for vault, seen in ((SealedVault(tmp_path / "a", KEY), False), (OPEN, True)):
        folder = tmp_path / ("b" if seen else "a")
        folder.mkdir()
        with Catalogue(folder / "c.sqlite", "key", vault) as catalogue:
            catalogue.put(SCAN)
            assert catalogue.page(SCAN.patient)[1] == 1
            assert (SCAN.folder.encode() in contents(folder)) is seen


def test_another_key_opens_nothing_and_harms_nothing(tmp_path):
    ledger(tmp_path).spend(spend())
    with pytest.raises(SiteError, match="cannot be used"):
        ledger(tmp_path, OTHER).spend(spend())
    with pytest.raises(SiteError, match="cannot be used"):
        SqliteLedger(tmp_path / "ledger.sqlite", Counting()).spend(spend())
    assert ledger(tmp_path).balance().spent == 1
    with Catalogue(tmp_path / "c.sqlite", "key", SealedVault(tmp_path, KEY)):
        pass
    with pytest.raises(DataError, match="damaged"):
        Catalogue(tmp_path / "c.sqlite", "key", SealedVault(tmp_path, OTHER))


def test_an_emptied_ledger_in_the_open_is_not_taken_for_the_sealed_one(tmp_path):
    """Whoever can write to the disk cannot give patients a fresh budget by an open file."""
    ledger(tmp_path).spend(spend())
    for file in tmp_path.iterdir():
        file.unlink()
    allow(SqliteLedger(tmp_path / "ledger.sqlite", Counting()), 1e9, 1e-5)
    with pytest.raises(SiteError, match="cannot be used"):
        ledger(tmp_path).spend(spend())


def test_a_database_opens_in_its_own_place_only(tmp_path):
    ledger(tmp_path).spend(spend())
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "other.sqlite")
    moved = SqliteLedger(tmp_path / "other.sqlite", Counting(), SealedVault(tmp_path, KEY))
    with pytest.raises(SiteError, match="cannot be used"):
        moved.entries()


@pytest.mark.parametrize("at", [100, 1500, 4000])
def test_a_page_that_was_changed_is_noticed(at, tmp_path):
    book = ledger(tmp_path)
    book.spend(spend())
    raw = bytearray(book.path.read_bytes())
    raw[at] ^= 1
    book.path.write_bytes(raw)
    with pytest.raises(SiteError, match="cannot be used"):
        book.entries()


def test_it_is_encrypted_in_place_with_all_that_was_in_it(tmp_path):
    plain = SqliteLedger(tmp_path / "ledger.sqlite", Counting())
    allow(plain, 30, 1e-6)
    with plain.file.open():  # keeps a log beside the file
        for _ in range(3):
            plain.spend(spend())
        before = plain.entries()
    vault = SealedVault(tmp_path, KEY)
    assert vault.encrypt_database(plain.path)
    assert not vault.encrypt_database(plain.path), "once is enough"
    assert sorted(f.name for f in tmp_path.iterdir()) == [HEAD, "ledger.sqlite"]
    seal_head(vault)
    assert plain.path.stat().st_mode & 0o077 == 0
    found = ledger(tmp_path)
    assert found.entries() == before
    assert found.balance().limit == 30
    assert found.spend(spend()).spent == 4
    assert not vault.encrypt_database(tmp_path / "none.sqlite")


ENTER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None) as db:
    db.execute("BEGIN IMMEDIATE")
"""


def test_nobody_enters_anything_between_the_copy_and_its_taking_the_place(tmp_path, monkeypatch):
    plain = SqliteLedger(tmp_path / "ledger.sqlite", Counting())
    plain.spend(spend())
    tried = []

    def enter():
        command = [sys.executable, "-c", ENTER, str(plain.path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def watched(file):
        tried.append(enter())
        return sync(file)

    monkeypatch.setattr(database, "sync", watched)
    assert enter().returncode == 0
    assert SealedVault(tmp_path, KEY).encrypt_database(plain.path)
    assert "database is locked" in tried[0].stderr


def test_stopped_while_it_is_encrypted_it_is_the_old_one(tmp_path, monkeypatch):
    plain = SqliteLedger(tmp_path / "ledger.sqlite", Counting())
    plain.spend(spend())

    def killed(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            SealedVault(tmp_path, KEY).encrypt_database(plain.path)
    assert plain.balance().spent == 1
    assert sorted(f.name for f in tmp_path.iterdir()) == [HEAD, "ledger.sqlite"]
    assert SealedVault(tmp_path, KEY).encrypt_database(plain.path)
    seal_head(SealedVault(tmp_path, KEY))
    assert ledger(tmp_path).balance().spent == 1


def test_what_is_written_is_flushed_before_it_counts(tmp_path):
    with ledger(tmp_path).file.open() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        (cipher,) = db.execute("PRAGMA cipher_version").fetchone()
        assert cipher
        assert not isinstance(db, sqlite3.Connection)
