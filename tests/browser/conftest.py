"""A console that listens, and Debian's Chromium to look at it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from medfed.web.server import Server

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[2]


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
def served(tmp_path: Path, sqlite_url: str) -> Iterator[Server]:
    """A console that has just been started for the first time."""
    environment = {"OMP_NUM_THREADS": "1", "MEDFED_DATA": str(tmp_path)}
    server = Server(tmp_path / "console", sqlite_url, environment=environment, bcrypt_rounds=4)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.stop()
    thread.join()


@pytest.fixture
def pictures() -> Path:
    """Where screenshots go: a folder that git ignores, for people to look at."""
    folder = Path(os.environ.get("MEDFED_SCREENSHOTS") or ROOT / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(chromium: Browser, served: Server) -> Iterator[Page]:
    """A page whose every complaint fails the test."""
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{served.port}",
        locale="en-GB",
        viewport={"width": 1280, "height": 860},
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    yield opened
    context.close()
    assert complaints == []
