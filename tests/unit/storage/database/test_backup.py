"""Backups: everything comes back, on either database, and nothing that lets somebody in."""

from __future__ import annotations

import gzip
import json
import math

import databases
import pytest
from accounting import PASSWORD, identity
from consoles import stage_of
from sqlalchemy import func, select

from medfed.core.errors import DataError, RunError
from medfed.services.accounts import Accounts
from medfed.services.accounts.tokens import make_token
from medfed.storage.database import Database
from medfed.storage.database.backup import NEVER, back_up, read_manifest, restore
from medfed.storage.database.tables import AuditRow, Base, RoundRow


@pytest.fixture
def stage(database, tmp_path):
    made = stage_of(tmp_path / "console", database.url.render_as_string(hide_password=False))
    yield made
    made.console.close()


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request, tmp_path):
    """A database with its tables and nothing in them."""
    if request.param == "sqlite":
        with databases.opened(f"sqlite:///{tmp_path / 'empty.sqlite'}") as made:
            yield made
        return
    server = request.getfixturevalue("postgres")
    with databases.postgres_database(server) as url, databases.opened(url, upgrade=False) as made:
        yield made


def rows(database: Database) -> dict[str, list]:
    with database.read() as session:
        return {
            table.name: sorted(map(str, session.execute(select(table)).mappings()))
            for table in Base.metadata.sorted_tables
        }


def test_what_was_there_comes_back_but_sessions_and_tokens(stage, empty, tmp_path):
    accounts, database = stage.console.accounts, stage.console.database
    make_token(database, identity(accounts, "viewer"), "mine", ["read"], 3)
    with database.write() as session:
        session.get_one(RoundRow, (stage.run, 1)).loss = math.nan
    folder = tmp_path / "backup"
    manifest = back_up(database, folder)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert restore(empty, folder) == manifest
    there, here = rows(empty), rows(database)
    assert here["sessions"]
    assert here["tokens"]
    for name, found in there.items():
        if name == "rounds":
            continue  # what is no number came back as nothing
        assert found == ([] if name in NEVER else here[name]), name
        assert manifest["tables"].get(name, {"rows": 0})["rows"] == len(found)
    with empty.read() as session:
        assert session.get_one(RoundRow, (stage.run, 1)).loss is None
    again = Accounts(empty, accounts.passwords)
    who = identity(again, "viewer")
    assert again.identify(again.log_in("viewer", PASSWORD)).roles == ("viewer",)
    # New rows get numbers after the old ones.
    with empty.read() as session:
        assert session.scalar(select(func.max(AuditRow.id))) > len(here["audit"])
    assert who.name == "viewer"


def test_a_backup_is_of_one_moment(stage, tmp_path):
    database, seen = stage.console.database, []

    class Slow(Database):
        def revision(self, connection=None):
            if connection is not None:
                connection.execute(select(AuditRow)).all()  # from now on the moment is fixed
                with database.write() as session:
                    session.add(AuditRow(actor="late", action="comes"))
                seen.append(1)
            return super().revision(connection)

    slow = Slow(database.url.render_as_string(hide_password=False))
    back_up(slow, tmp_path / "backup")
    slow.close()
    assert seen
    text = gzip.decompress((tmp_path / "backup" / "audit.jsonl.gz").read_bytes())
    assert b'"late"' not in text


def test_only_an_empty_database_is_filled(stage, tmp_path):
    back_up(stage.console.database, tmp_path / "backup")
    before = rows(stage.console.database)
    with pytest.raises(RunError, match="not empty"):
        restore(stage.console.database, tmp_path / "backup")
    assert rows(stage.console.database) == before
    with pytest.raises(RunError, match="there is something"):
        back_up(stage.console.database, tmp_path / "backup")


def damage(folder, how: str) -> None:
    file = folder / "audit.jsonl.gz"
    manifest = json.loads((folder / "manifest.json").read_text())
    match how:
        case "a bit":
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
        case "a file":
            file.unlink()
        case "the manifest":
            (folder / "manifest.json").write_text("{")
        case "another revision":
            manifest["revision"] = "0001"
        case "a row":
            manifest["tables"]["audit"]["rows"] += 1
        case "a table":
            manifest["tables"]["../../etc/passwd"] = manifest["tables"]["audit"]
        case "later":
            manifest["format"] = 2
    if how in ("another revision", "a row", "a table", "later"):
        (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "how", ["a bit", "a file", "the manifest", "another revision", "a row", "a table", "later"]
)
def test_what_is_damaged_is_refused_whole(sqlite, how, tmp_path):
    with sqlite.write() as session:
        session.add(AuditRow(actor="li", action="look"))
    back_up(sqlite, tmp_path / "backup")
    damage(tmp_path / "backup", how)
    with databases.opened(f"sqlite:///{tmp_path / 'new.sqlite'}") as new:
        with pytest.raises(DataError) as caught:
            restore(new, tmp_path / "backup")
        assert caught.value.remedy
        assert not any(rows(new).values())


def test_a_full_disk_leaves_nothing_behind(sqlite, tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medfed.storage.database.backup.write_json", full)
    with pytest.raises(OSError, match="No space"):
        back_up(sqlite, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


def test_each_table_is_in_a_backup_or_left_out_on_purpose(sqlite, tmp_path):
    manifest = back_up(sqlite, tmp_path / "backup")
    assert set(manifest["tables"]) | NEVER == set(Base.metadata.tables)
    assert read_manifest(tmp_path / "backup") == manifest
