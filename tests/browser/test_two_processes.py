"""Two processes of the console behind nginx: one after the other is killed under an open page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from accounting import BREAST_CANCER
from browsing import opened
from playwright.sync_api import expect

from medfed.services.accounts import Identity
from medfed.services.accounts.roles import ROLES
from medfed.services.console import Console

pytestmark = [
    pytest.mark.needs_package("chromium"),
    pytest.mark.needs_package("nginx"),
    pytest.mark.needs_package("openssl"),
    pytest.mark.slow,
    pytest.mark.timeout(400),
]
WHO = Identity(id=1, name="admin", rights=frozenset(ROLES["coordinator"]))
OWN = "nine brown foxes run"
WAIT_MS = 120_000
ROUNDS = 60


@pytest.fixture
def console(production) -> Iterator[Console]:
    """The same console in this process; a test that fails leaves no connection open either."""
    with closing(Console.open(production.console, production.database)) as made:
        yield made


def test_each_is_killed_and_nobody_notices_but_the_mark_of_the_connection(
    production, console, chromium
):
    password = production.first_password()
    who = console.accounts.identify(console.accounts.log_in("admin", password))
    console.accounts.change_password(who, password, OWN)
    study = console.studies.create(WHO, BREAST_CANCER.replace("= 15", f"= {ROUNDS}"))
    console.studies.approve(WHO, study.id, study.digest)
    with opened(chromium, production.url, strict=False) as page:
        page.goto("/login")
        page.get_by_label("User name").fill("admin")
        page.get_by_label("Password").fill(OWN)
        page.get_by_label("Password").press("Enter")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=WAIT_MS)
        run = console.runs.start(WHO, study.id).id
        page.goto(f"/runs/{run}")
        for port, number in zip(production.ports, (4, 25), strict=True):
            expect(page.get_by_text(re.compile(f"Round {number} is finished"))).to_be_visible(
                timeout=WAIT_MS
            )
            production.kill_one(port)
            # Every kind of request goes on at once through the other one, and as the same person.
            answer = page.request.get(f"{production.url}/api/v1/me")
            assert (answer.status, answer.json()["name"]) == (200, "admin")
            expect(page.get_by_text(re.compile(f"Round {number + 3} is finished"))).to_be_visible(
                timeout=WAIT_MS
            )
            expect(page.locator("[data-link]")).to_have_text("live")
            production.start_one(port)
        expect(page.get_by_text(f"Finished after {ROUNDS} rounds.")).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=WAIT_MS)
        page.goto(f"/runs/{run}")
        expect(page.get_by_text(re.compile("Round 1 is finished"))).to_have_count(1)
        shown = page.locator("[data-log] li").count()
    row, events = console.runs.find(run), console.runs.events(run, limit=9999)
    # One process of the run from beginning to end: killing consoles is none of its business.
    assert (row.state, row.fence, row.attempts, row.round) == ("finished", 1, 0, ROUNDS)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    finished = [event.body["round"] for event in events if event.kind == "RoundFinished"]
    assert finished == list(range(1, ROUNDS + 1))
    assert shown == min(len(events), 400)
    assert "lost its process" not in production.logs()
