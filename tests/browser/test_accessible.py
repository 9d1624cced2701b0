"""Every page, light and dark, on a desk and a phone: axe finds nothing serious; keys suffice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import log_in, opened
from consoles import PASSWORD, Stage, serving, stage_of
from playwright.sync_api import Page, expect

from medfed.services.accounts import Identity
from medfed.web.server import Server

pytestmark = [
    pytest.mark.needs_package("chromium"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]
ROOT = Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
GRAVE = {"serious", "critical"}
NO_PAGES = ("api.", "aliases.", "health.", "openapi.", "static", "runs.download", "runs.report")
"""Files, data for programs, and the report, which is a file too."""
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 860}
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
    """A console with people, a study and a finished run; everything is open to `all`."""
    made = stage_of(tmp_path / "console", sqlite_url)
    accounts = made.console.accounts
    roles = ["administrator", "coordinator"]
    user, _ = accounts.create(ROOT, "all", "All Rights", roles)
    accounts._set_password(ROOT, user, PASSWORD, must_change=False)
    return made


@pytest.fixture
def page(stage, tmp_path, sqlite_url, chromium) -> Iterator[Page]:
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url, strict=False) as made:
        yield made


def paths(stage: Stage) -> list[str]:
    """Every page that there is."""
    fill = {"number": stage.study, "name": "viewer", "run": stage.run, "path": "none"}
    found = ["/there-is-no-such-page"]
    with stage.app.test_request_context():
        for rule in stage.app.url_map.iter_rules():
            if "GET" in rule.methods and not rule.endpoint.startswith(NO_PAGES):
                assert rule.arguments <= set(fill), f"{rule.endpoint}: say which to look at"
                given = {name: fill[name] for name in rule.arguments}
                if rule.endpoint == "guide.page":
                    given["name"] = "how-to/serve-the-console"
                found.append(stage.app.url_for(rule.endpoint, **given))
    return sorted(set(found))


def faults(page: Page, where: str) -> list[str]:
    """What is grave on the page that is open."""
    page.wait_for_load_state("networkidle")
    return [
        f"{where}: {each['id']}: {node['html'][:160]} {node['failureSummary']}"
        for each in Axe().run(page).response["violations"]
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    ("theme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE)],
    ids=["light", "dark", "phone"],
)  # fmt: skip
def test_no_page_shuts_anybody_out(page, stage, theme, size):
    page.set_viewport_size(size)
    page.add_init_script(f"localStorage.setItem('medfed-theme', '{theme}')")
    page.goto("/login")
    found = faults(page, f"/login, {theme}")
    log_in(page, "all")
    for path in paths(stage):
        page.goto(path)
        found += faults(page, f"{path}, {theme}")
    assert not found, "\n".join(found)


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
