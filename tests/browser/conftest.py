"""A console that listens, and Debian's Chromium to look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import databases
import pytest
from browsing import opened
from consoles import serving
from playwright.sync_api import Browser, Page, sync_playwright
from production import Production, in_production

from medfed.web.server import Server

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Served:
    """A console that has just been started for the first time: where, and admin's password."""

    url: str
    password: str


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser."""
    # WebGL without a graphics card, for the viewer.
    arguments = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def production(tmp_path: Path, postgres: str) -> Iterator[Production]:
    """Two processes on one PostgreSQL behind nginx."""
    with (
        databases.postgres_database(postgres) as url,
        in_production(tmp_path / "production", url) as made,
    ):
        yield made


@pytest.fixture(params=["alone"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A console: in one process, or as in production."""
    if request.param == "alone":
        folder, url = request.getfixturevalue("tmp_path"), request.getfixturevalue("sqlite_url")
        with _alone(folder, url) as made:
            yield made
    else:
        production = request.getfixturevalue("production")
        yield Served(production.url, production.first_password())


@contextmanager
def _alone(folder: Path, url: str) -> Iterator[Served]:
    environment = {"OMP_NUM_THREADS": "1", "MEDFED_DATA": str(folder)}
    server = Server(folder / "console", url, environment=environment, bcrypt_rounds=4)
    with serving(server) as address:
        yield Served(address, server.password or "")


@pytest.fixture
def pictures() -> Path:
    """Where screenshots go: a folder that git ignores, for people to look at."""
    folder = Path(os.environ.get("MEDFED_SCREENSHOTS") or ROOT / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(chromium: Browser, served: Served) -> Iterator[Page]:
    """A page whose every complaint fails the test."""
    with opened(chromium, served.url) as made:
        yield made
