"""The database behaves alike on SQLite and on PostgreSQL."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import column, insert, select, table, text
from sqlalchemy.exc import StatementError

from medfed.core.errors import RunError
from medfed.storage.database import Database
from medfed.storage.database.engine import Unstorable, _alembic
from medfed.storage.database.tables import AuditRow, Base, RoleRow
from medfed.storage.database.types import Json, finite


def test_the_migrations_make_the_tables_that_the_code_describes(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []


def test_roles_that_are_there_learn_what_is_new_and_keep_what_they_have(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'old.sqlite'}")
    config = _alembic(database.engine)
    command.upgrade(config, "0002")
    with database.write() as session:
        had = {"data-steward": ["own.right"], "viewer": [], "administrator": ["*.read"]}
        for name, rights in had.items():
            # As that revision has it: the code's own table has columns that came later.
            old = table("roles", column("name"), column("rights", Json))
            session.execute(insert(old).values(name=name, rights=rights))
    database.upgrade()
    with database.read() as session:
        own, *learnt = session.get(RoleRow, "data-steward").rights
        assert own == "own.right"
        first = ["data.*", "model.read", "model.admit", "inference.read", "model.withdraw"]
        assert learnt == [*first, "participation.*", "receipt.read"]
        assert session.get(RoleRow, "viewer").rights == ["participation.read"]
        assert session.get(RoleRow, "administrator").rights == ["*.read", "settings.change"]
    database.close()


def test_bringing_up_to_date_twice_changes_nothing(database):
    with database.write() as session:
        session.add(RoleRow(name="auditor", rights=["audit.read"]))
    database.upgrade()
    with database.read() as session:
        assert session.get(RoleRow, "auditor").rights == ["audit.read"]


def test_moments_come_back_in_utc(database):
    there = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=8)))
    with database.write() as session:
        session.add(AuditRow(at=there, actor="li", action="look"))
    with database.read() as session:
        row = session.scalars(select(AuditRow)).one()
    assert row.at == there
    assert row.at.tzinfo is UTC


def test_a_moment_without_a_time_zone_is_refused(database):
    naive = datetime(2026, 1, 2)  # noqa: DTZ001  # what is tested
    with pytest.raises(StatementError, match="without a time zone"), database.write() as session:
        session.add(AuditRow(at=naive, actor="li", action="look"))


def test_a_failed_session_leaves_nothing(database):
    def half() -> None:
        with database.write() as session:
            session.add(RoleRow(name="half", rights=[]))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        half()
    with database.read() as session:
        assert session.get(RoleRow, "half") is None


def test_writers_wait_for_each_other(database):
    def write(who: int) -> None:
        for number in range(15):
            with database.write() as session:
                session.add(AuditRow(actor=f"{who}", action=f"{number}"))

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert len(session.scalars(select(AuditRow)).all()) == 60


def test_text_that_cannot_be_stored_is_an_error_in_words(database):
    texts = ["\ud800", "\0"] if database.on_postgres else ["\ud800"]
    for text_ in texts:
        with pytest.raises(Unstorable, match="cannot take"), database.read() as session:
            session.get(RoleRow, text_)


def test_tables_of_a_later_program_are_left_alone(database):
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RunError, match="later medfed"):
        database.upgrade()


def test_what_is_no_number_becomes_null():
    given = {"auc": math.nan, "rows": [1.5, math.inf, (-math.inf, "x")], 3: True}
    assert finite(given) == {"auc": None, "rows": [1.5, None, [None, "x"]], "3": True}


@pytest.mark.parametrize(
    ("url", "words"), [("mysql://x/y", "no database that medfed knows"), ("%%", "cannot be read")]
)
def test_a_url_that_cannot_be_used_is_refused(url, words):
    with pytest.raises(RunError, match=words):
        Database(url)


def test_a_database_that_is_away_is_said_without_its_password():
    database = Database("postgresql://medfed:hush@127.0.0.1:1/none")
    assert not database.alive()
    with pytest.raises(RunError, match="cannot be used") as caught:
        database.upgrade()
    assert "hush" not in str(caught.value)
