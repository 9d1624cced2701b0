"""PostgreSQL is stopped under two processes, an open page and a run; then it returns."""

from __future__ import annotations

import re
from contextlib import closing

import databases
import pytest
from accounting import BREAST_CANCER
from browsing import log_in, opened
from playwright.sync_api import expect
from production import in_production

from medfed.services.accounts import Identity
from medfed.services.accounts.roles import ROLES
from medfed.services.console import Console
from medfed.storage.database import mirrored

pytestmark = [
    pytest.mark.needs_package("chromium"),
    pytest.mark.needs_package("nginx"),
    pytest.mark.needs_package("openssl"),
    pytest.mark.needs_package("postgresql"),
    pytest.mark.slow,
    pytest.mark.timeout(400),
]
WHO = Identity(id=1, name="admin", rights=frozenset(ROLES["coordinator"]))
OWN = "nine brown foxes run"
WAIT_MS = 120_000
ROUNDS = 60
AWAY = re.compile("The database is away")


def test_pages_stay_readable_and_the_run_loses_nothing(tmp_path, chromium, monkeypatch, pictures):
    with databases.postgres_of_its_own() as server:
        url = f"{server.url}/{databases.TEMPLATE}"
        with (
            in_production(tmp_path / "production", url) as production,
            closing(Console.open(production.console, production.database)) as console,
        ):
            watched(server, production, console, chromium, monkeypatch, pictures)


def watched(server, production, console, chromium, monkeypatch, pictures) -> None:
    password = production.first_password()
    who = console.accounts.identify(console.accounts.log_in("admin", password))
    console.accounts.change_password(who, password, OWN)
    study = console.studies.create(WHO, BREAST_CANCER.replace("= 15", f"= {ROUNDS}"))
    console.studies.approve(WHO, study.id, study.digest)
    with opened(chromium, production.url, strict=False) as page:
        log_in(page, "admin", OWN)
        run = console.runs.start(WHO, study.id).id
        page.goto(f"/runs/{run}")
        expect(page.get_by_text("Round 4 is finished")).to_be_visible(timeout=WAIT_MS)
        monkeypatch.setattr(mirrored, "MIRROR_SECONDS", 0.0)
        console.database.mirror()  # as every minute
        server.stop()
        expect(page.locator("[data-link]")).to_contain_text("database", timeout=WAIT_MS)
        # Still the same person, and pages of a minute ago; also from a process just started.
        production.kill_one(production.ports[0])
        production.start_one(production.ports[0])
        for path in ("/", f"/runs/{run}", "/studies/", "/users/", "/audit/"):
            page.goto(path)
            expect(page.get_by_text(AWAY)).to_be_visible()
        page.goto("/studies/1")
        page.screenshot(path=pictures / "study.png", full_page=True)
        page.get_by_role("button", name="Start a run").click()
        expect(page.get_by_text("Nothing can be changed while")).to_be_visible()
        page.screenshot(path=pictures / "refused.png", full_page=True)
        # Somebody else logs in meanwhile, with the password of before.
        with opened(chromium, production.url, strict=False) as other:
            log_in(other, "admin", OWN)
            expect(other.get_by_text(AWAY)).to_be_visible()
        page.goto(f"/runs/{run}")
        page.screenshot(path=pictures / "run.png", full_page=True)
        server.start()
        expect(page.locator("[data-link]")).to_have_text("live", timeout=WAIT_MS)
        expect(page.get_by_text(f"Finished after {ROUNDS} rounds.")).to_be_visible(timeout=WAIT_MS)
        page.goto("/")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.get_by_text(AWAY)).to_have_count(0)
    check(console, run)


def check(console: Console, run: str) -> None:
    console.database.look()
    row, events = console.runs.find(run), console.runs.events(run, limit=9999)
    assert (row.state, row.fence, row.round) == ("finished", 1, ROUNDS)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    finished = [event.body["round"] for event in events if event.kind == "RoundFinished"]
    assert finished == list(range(1, ROUNDS + 1))
    kept = console.place.run_folder(run)
    assert not kept.with_name(f"{run}.outbox.jsonl").exists()
    begun = [row for row in console.accounts.sessions() if row.user.name == "admin"]
    assert len(begun) == 2  # of this test and of the page; what began meanwhile is over
