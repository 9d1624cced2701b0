"""Every page, light and dark, on a desk and a phone: axe finds nothing serious; keys suffice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.axe import faults, go, paths
from browser.shots import DESK, PHONE
from browsing import log_in, opened
from consoles import PASSWORD, WANG, Stage, finish, serving, stage_of
from playwright.sync_api import Page, expect

from medfed.services.accounts import Identity
from medfed.services.accounts.own_roles import make_role
from medfed.web.server import Server

pytestmark = [
    pytest.mark.needs_package("chromium"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]
ROOT = Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
FOCUSABLE = """() => [...document.querySelectorAll(
  'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'
)].filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled).length"""
FOCUSED = """() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  e.dataset.visited = "yes";
  const style = getComputedStyle(e);
  const shown = style.outlineStyle !== "none" || style.boxShadow !== "none";
  return { what: e.outerHTML.slice(0, 80), shown };
}"""


@pytest.fixture
def stage(tmp_path, sqlite_url) -> Stage:
    """A console with people, a study and two finished runs; everything is open to `all`."""
    made = stage_of(tmp_path / "console", sqlite_url)
    finish(made.console, made.console.runs.start(WANG, made.study))
    accounts = made.console.accounts
    roles = ["administrator", "coordinator"]
    user, _ = accounts.create(ROOT, "all", "All Rights", roles)
    accounts._set_password(ROOT, user, PASSWORD, must_change=False)
    make_role(made.console.database, ROOT, "Night watch", "stops runs", {})
    return made


@pytest.fixture
def page(stage, tmp_path, sqlite_url, chromium) -> Iterator[Page]:
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url, strict=False) as made:
        yield made


def test_no_page_shuts_anybody_out(page, stage):
    runs = [row.id for row in stage.console.runs.list()[0]]
    fill = {
        "number": stage.study, "name": "viewer", "run": stage.run, "path": "none",
        "guide.page": {"name": "how-to/serve-the-console"}, "comparisons.index": {"run": runs},
        "roles.edit": {"name": "Night watch"}, "roles.new": {"like": "viewer"},
    }  # fmt: skip
    page.goto("/login")
    found = faults(page, "/login")
    log_in(page, "all")
    for path in paths(stage.app, fill):
        go(page, path)
        found += faults(page, path)
    assert not found, "\n".join(found)


def test_the_dark_of_the_system_is_that_of_the_button(page):
    """So what holds in one holds in both."""
    colours = """() => [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
      .flatMap((rule) => [...(rule.style ?? [])]).filter((name) => name.startsWith("--"))
      .map((name) => name + getComputedStyle(document.documentElement).getPropertyValue(name))"""
    seen = {}
    for theme, system in (("light", "light"), ("dark", "light"), ("auto", "dark")):
        page.emulate_media(color_scheme=system)
        page.goto("/login")
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        seen[theme] = page.evaluate(colours)
    assert seen["auto"] == seen["dark"] != seen["light"]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_everything_is_reached_by_keys_and_shows_where_one_is(page, stage, size):
    log_in(page, "all")
    page.set_viewport_size(size)
    for path in ("/", "/studies/new", f"/runs/{stage.run}", "/users/viewer", "/profile/"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        wanted, seen = page.evaluate(FOCUSABLE), []
        page.evaluate("document.activeElement.blur()")
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            if (where := page.evaluate(FOCUSED)) is None:
                break
            seen.append(where)
        assert "skip" in seen[0]["what"], path
        assert [each["what"] for each in seen if not each["shown"]] == [], path
        unvisited = "[...document.querySelectorAll('[data-visited]')].length"
        assert page.evaluate(unvisited) >= wanted, (path, [each["what"] for each in seen])


def test_the_menu_of_a_phone_opens_by_keys(page):
    log_in(page, "all")
    page.set_viewport_size(PHONE)
    page.goto("/")
    link = page.get_by_role("link", name="Studies", exact=True)
    expect(link).not_to_be_visible()
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(link).to_be_visible()
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
