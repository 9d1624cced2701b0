"""A database that goes away and comes back: what is shown meanwhile, and what is told later."""

from __future__ import annotations

from datetime import timedelta

import databases
import pytest
from accounting import PASSWORD, accounts_of, identity
from databases import away
from sqlalchemy import select, text

from medfed.core.errors import AccessError
from medfed.services.accounts import Accounts, may, tokens
from medfed.storage.database import mirrored
from medfed.storage.database.engine import Away
from medfed.storage.database.mirrored import Mirrored
from medfed.storage.database.standby import Waiting
from medfed.storage.database.tables import AuditRow, RoleRow, SessionRow, UserRow
from medfed.storage.database.types import now


@pytest.fixture
def url(postgres):
    with databases.postgres_database(postgres) as made:
        yield made


@pytest.fixture
def primary(url, tmp_path):
    """A mirrored database with people in it."""
    database = Mirrored(url, tmp_path / "mirror")
    database.upgrade()
    yield database
    database.close()


@pytest.fixture
def accounts(primary):
    return accounts_of(primary)


def acts(database) -> list[tuple[str, str]]:
    with database.read() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id))
        return [(row.actor, row.action) for row in rows]


def test_people_go_on_reading_log_in_and_out_and_change_nothing(primary, accounts):
    stays, goes = (accounts.log_in(name, PASSWORD) for name in ("viewer", "auditor"))
    primary.mirror()
    before = acts(primary)
    with away(primary):
        assert accounts.identify(stays).name == "viewer"
        assert primary.as_of is not None
        assert [user.name for user in accounts.users()]
        accounts.end_session(accounts.identify(goes), accounts.identify(goes).session)
        assert accounts.identify(goes) is None
        assert accounts.identify(accounts.log_in("clinician", PASSWORD)).name == "clinician"
        for _ in range(2):
            with pytest.raises(AccessError):
                accounts.log_in("clinician", "wrong")
        for _ in range(2):
            with pytest.raises(Waiting):
                accounts.reset("viewer")
            with pytest.raises(Waiting), primary.write() as session:
                session.execute(text("DELETE FROM audit"))
            with pytest.raises(Waiting), primary.write() as session:
                session.add(RoleRow(name="own", rights=["*.read"]))
        primary.look()  # it is still away
        assert primary.as_of is not None
    primary.look()
    assert primary.as_of is None
    # Who logged out meanwhile stays out, who did not is in, and the record has all of it once.
    assert accounts.identify(stays).name == "viewer"
    assert accounts.identify(goes) is None
    meanwhile = [("auditor", "session.revoke"), ("clinician", "session.begin")]
    assert acts(primary) == [*before, *meanwhile, ("clinician", "session.begin")]
    with primary.read() as session:
        wrong = session.scalars(select(AuditRow).order_by(AuditRow.id.desc())).first()
        assert (wrong.allowed, wrong.times) == (False, 2), "counted while it was away"
    assert list(primary._folder.glob("standby-*")) == []
    with primary.read() as session:
        assert session.get(RoleRow, "own") is None


def test_two_processes_share_one_copy_and_tell_it_once(primary, accounts, url, tmp_path):
    other = Mirrored(url, tmp_path / "mirror")
    primary.mirror()
    before = acts(primary)
    theirs = Accounts(other, accounts.passwords)
    with away(primary, other):
        secret = accounts.log_in("viewer", PASSWORD)
        assert theirs.identify(secret).name == "viewer"
    primary.look()
    assert len(list(tmp_path.glob("mirror/standby-*.sqlite"))) == 1  # the other reads it still
    theirs.end_session(theirs.identify(secret), theirs.identify(secret).session)
    other.look()
    expected = [*before, ("viewer", "session.begin"), ("viewer", "session.revoke")]
    assert acts(primary) == expected
    for each in (primary, other):
        each._next = 0.0
        each.look()
    assert acts(primary) == expected
    other.close()


def test_what_a_killed_process_left_is_told_by_the_next(primary, accounts, url, tmp_path):
    primary.mirror()
    with away(primary):
        accounts.log_in("viewer", PASSWORD)
        primary._let_go()  # as its end does
    other = Mirrored(url, tmp_path / "mirror")
    other.look()
    assert acts(other)[-1] == ("viewer", "session.begin")
    other.close()


def test_without_a_young_mirror_it_is_an_error_in_words(primary, accounts, monkeypatch):
    with away(primary), pytest.raises(Away, match="no mirror"):
        accounts.users()
    primary.mirror()
    monkeypatch.setattr(mirrored, "OLDEST", timedelta(0))
    with away(primary), pytest.raises(Away, match="no mirror"):
        accounts.users()
    monkeypatch.undo()
    assert accounts.users()


def test_a_console_starts_while_the_database_is_away(primary, accounts, url, tmp_path):
    primary.mirror()
    other = Mirrored(url, tmp_path / "mirror")
    with away(primary, other):
        other.upgrade()
        assert other.as_of is not None
        assert identity(Accounts(other, accounts.passwords), "viewer").name == "viewer"
    other.look()
    assert other.as_of is None
    other.close()


def test_tokens_are_not_there_and_that_is_said(primary, accounts):
    secret = tokens.make_token(primary, identity(accounts, "viewer"), "t", ["read"], 1)
    primary.mirror()
    with away(primary):
        assert accounts.users()
        with pytest.raises(Away, match="tokens"):
            tokens.identify_token(primary, secret, "")


def test_the_mirror_is_kept_small_and_closed(primary, accounts, monkeypatch):
    monkeypatch.setattr(mirrored, "MIRROR_SECONDS", 0.0)
    with primary.write() as session:
        session.add(AuditRow(actor="old", action="act", at=now() - timedelta(days=31)))
    for _ in range(4):
        primary.mirror()
    kept = sorted(primary._folder.glob("mirror-*"))
    assert len(kept) == 2
    assert primary._folder.stat().st_mode & 0o777 == 0o700
    with away(primary):
        assert ("old", "act") not in acts(primary)
        with primary.read() as session:
            assert session.scalar(select(UserRow.name).where(UserRow.name == "viewer"))
            assert session.scalars(select(SessionRow)).all() == []


def test_who_read_figures_before_reads_them_still_and_nothing_else(primary, accounts):
    who = identity(accounts, "administrator")
    watcher, new, reader, all_of_it = (
        tokens.make_token(primary, who, name, scopes, 1)
        for name, scopes in (
            ("p", ["metrics"]), ("q", ["metrics"]), ("r", ["read"]), ("s", ["metrics", "users"])
        )
    )  # fmt: skip
    for each in (watcher, reader, all_of_it):
        assert tokens.identify_token(primary, each, "").name == "administrator"
    primary.mirror()
    with away(primary):
        for each in (watcher, all_of_it):
            known = tokens.identify_token(primary, each, "10.0.0.1")
            assert (known.name, known.address) == ("administrator", "10.0.0.1")
            assert may(known, "metrics.read")
            assert not may(known, "user.read")
        for each in (new, reader):
            with pytest.raises(Away):
                tokens.identify_token(primary, each, "")
    primary.look()
    revoked = next(row for row in tokens.tokens_of(primary, who) if row.name == "p")
    tokens.revoke_token(primary, who, revoked.id)
    assert tokens.identify_token(primary, watcher, "") is None
    with away(primary), pytest.raises(Away):
        tokens.identify_token(primary, watcher, "")
