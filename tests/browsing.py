"""Pages in a browser, for the tests that look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from accounting import PASSWORD
from playwright.sync_api import Browser, Page, expect


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Log in as a person does, and be let in."""
    page.goto("/login")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_label("Password").press("Enter")
    expect(page).not_to_have_url(re.compile("/login"), timeout=30_000)


@contextmanager
def opened(chromium: Browser, url: str, *, strict: bool = True) -> Iterator[Page]:
    """A page of a browser of its own; with ``strict`` every complaint of its fails the test."""
    context = chromium.new_context(
        base_url=url,
        locale="en-GB",
        viewport={"width": 1280, "height": 860},
        ignore_https_errors=True,
        reduced_motion="reduce",  # each frame is drawn without a graphics card
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    try:
        yield page
    finally:
        context.close()
    if strict and complaints:
        pytest.fail("the browser complained: " + "; ".join(complaints))


def until(page: Page, condition: str, seconds: float = 60.0) -> None:
    """Ask the page until it says yes; its policy forbids Playwright to ask from within."""
    for _ in range(int(seconds * 10)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    pytest.fail(condition)
