"""A console that listens, and Debian's Chromium to look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import databases
import pytest
from browser.shots import write_sheet
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


@pytest.fixture
def served(tmp_path: Path, sqlite_url: str) -> Iterator[Served]:
    """A coordinator's console in this process."""
    environment = {"OMP_NUM_THREADS": "1", "MEDFED_DATA": str(tmp_path)}
    server = Server(tmp_path / "console", sqlite_url, environment=environment, bcrypt_rounds=4)
    with serving(server) as address:
        yield Served(address, server.password or "")


@pytest.fixture(scope="session")
def pictures() -> Iterator[Path]:
    """Where screenshots go: a folder that git ignores, for people to look at, with a sheet."""
    folder = Path(os.environ.get("MEDFED_SCREENSHOTS") or ROOT / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    write_sheet(folder)


@pytest.fixture
def page(chromium: Browser, served: Served) -> Iterator[Page]:
    """A page whose every complaint fails the test."""
    with opened(chromium, served.url) as made:
        yield made
