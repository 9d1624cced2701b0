"""Wrong passwords lock whoever gives them, and nobody else."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from accounting import PASSWORD, accounts_of, identity
from sqlalchemy import select, update

from medfed.core.errors import AccessError
from medfed.services import audit
from medfed.services.accounts import lockout, login
from medfed.services.preferences import DEFAULT
from medfed.storage.database.tables import LockoutRow
from medfed.storage.database.types import now

HERE, THERE = "192.0.2.7", "198.51.100.9"


@pytest.fixture
def accounts(sqlite):
    return accounts_of(sqlite)


def guess(accounts, name: str, times: int = DEFAULT.free_failures, address: str = HERE) -> None:
    for _ in range(times):
        with pytest.raises(login.WrongPassword):
            accounts.log_in(name, "wrong", address=address)


def rows(accounts) -> dict[str, LockoutRow]:
    with accounts.database.read() as session:
        return {row.place: row for row in session.scalars(select(LockoutRow))}


@pytest.mark.parametrize("name", ["viewer", "not-a-user"])
def test_too_many_wrong_passwords_lock_a_name_from_there(accounts, name):
    guess(accounts, name)
    with pytest.raises(lockout.Locked) as caught:
        accounts.log_in(name, PASSWORD, address=HERE)
    assert "seconds" not in str(caught.value)
    assert audit.entries(accounts.database)[0].action == "session.begin"


def test_strangers_lock_nobody_out(accounts):
    who = identity(accounts, "viewer")
    guess(accounts, "viewer")
    assert accounts.log_in("viewer", PASSWORD, address=THERE)
    assert accounts.confirm_password(who, PASSWORD)
    accounts.change_password(who, PASSWORD, "nine brown foxes run")


def test_one_session_does_not_spend_anothers_attempts(accounts):
    thief, owner = identity(accounts, "viewer"), identity(accounts, "viewer")
    for _ in range(DEFAULT.free_failures):
        with pytest.raises(login.WrongPassword):
            accounts.confirm_password(thief, "wrong")
    with pytest.raises(lockout.Locked):
        accounts.confirm_password(thief, PASSWORD)
    assert accounts.confirm_password(owner, PASSWORD)


def test_guessing_from_many_places_is_slowed_down_and_refused_to_nobody(accounts, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(login, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(lockout, "CEILING", 8)
    for number in range(8):
        guess(accounts, "viewer", 1, f"192.0.2.{number}")
    assert not any(pauses)
    assert accounts.log_in("viewer", PASSWORD, address=THERE)
    assert pauses[-1] == lockout.SLOW_SECONDS
    assert rows(accounts)[lockout.EVERYWHERE].failures == 8


def test_a_lock_opens_after_its_time_and_grows(accounts):
    guess(accounts, "viewer")
    for seconds in (60, 120, 240, 480, 900, 900):
        with accounts.database.write() as session:
            session.execute(update(LockoutRow).values(until=now() - timedelta(seconds=1)))
        guess(accounts, "viewer", 1)
        left = rows(accounts)[HERE].until - now()
        assert left == pytest.approx(timedelta(seconds=seconds), abs=timedelta(seconds=5))
    with accounts.database.write() as session:
        session.execute(update(LockoutRow).values(until=now()))
    assert accounts.log_in("viewer", PASSWORD, address=HERE)
    assert HERE not in rows(accounts)


def test_what_is_old_counts_no_more(accounts):
    guess(accounts, "viewer", 4)
    with accounts.database.write() as session:
        session.execute(update(LockoutRow).values(last=now() - 2 * lockout.FORGOTTEN))
    guess(accounts, "viewer", 1)
    assert rows(accounts)[HERE].failures == 1


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "unknown"),
    ],
)
def test_places(address, place):
    assert lockout.place_of(address) == place
    assert lockout.place_of(address, 7) == "session 7"


def test_a_burst_tries_no_more_than_a_slow_guesser(database):
    accounts = accounts_of(database)

    def attempt(number: int) -> str:
        try:
            accounts.log_in("viewer", f"wrong {number}", address=HERE)
        except AccessError as error:
            return type(error).__name__
        return "in"

    with ThreadPoolExecutor(16) as pool:
        found = Counter(pool.map(attempt, range(40)))
    assert found == {"WrongPassword": DEFAULT.free_failures, "Locked": 40 - DEFAULT.free_failures}
    assert rows(accounts)[HERE].failures == DEFAULT.free_failures
