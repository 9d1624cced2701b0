"""The docs in the console: all of them, presentable, linked, searched; also from a wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import zipfile
from html import unescape
from pathlib import Path
from urllib.parse import urldefrag

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.web.handbook import Page, book, render, search
from medfed.web.handbook.book import INSTALLED, SECTIONS, read_book
from medfed.web.handbook.plain import plain
from medfed.web.server import read_docs_soon

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
LINKS = re.compile(r'(?:href|src)="(/help/[^"]*|#[^"]*)"')
ODD = """a <script>x</script>

[out](../../secret.md) [in](install.md#a-b) [web](https://x.example)

<!-- hidden
```python
x
```
-->
Term
: What it
  means.

```text
<!-- kept -->
```
"""


@pytest.fixture
def client(stage):
    return stage.client("viewer")


def test_every_page_of_the_docs_is_there():
    files = {f.relative_to(DOCS).with_suffix("").as_posix() for f in DOCS.rglob("*.md")}
    built = {name for name in files if name.startswith("_")}
    assert set(book().pages) == files - built
    assert all(page.title for page in book().pages.values())
    assert book().section("how-to")[0].name == "how-to/install", "in the order of its front page"


def test_every_link_within_the_help_leads_somewhere(client):
    """A crawl: each page answers, and holds the anchors that it is asked for."""
    seen: dict[str, str] = {}
    asked: list[tuple[str, str, str]] = []
    waiting = ["/help/", *(f"/help/{name}" for name in book().pages)]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        with client.get(path) as answer:
            assert answer.status_code == 200, path
            seen[path] = answer.text if answer.mimetype == "text/html" else ""
        for link in LINKS.findall(seen[path].partition("<main")[2]):
            to, anchor = urldefrag(unescape(link))
            asked.append((path, to or path, anchor))
            waiting.append(to or path)
    assert len(asked) > 500, "this crawl would find nothing"
    for path, to, anchor in asked:
        assert not anchor or f' id="{anchor}"' in seen[to], (path, to, anchor)


def test_nothing_that_only_sphinx_understands_is_left(client):
    for name in book().pages:
        shown = client.get(f"/help/{name}").text
        article = shown.partition('<article class="card prose" lang="en">')[2]
        assert article, name
        assert "style=" not in article, name
        prose = re.sub(r"<(code|pre)\b.*?</\1>", "", article, flags=re.DOTALL)
        for odd in ("&lt;!--", "```", ":::", "{eval-rst}", "{toctree}", ".. auto", ")=\n"):
            assert odd not in prose, (name, odd)


def test_links_have_words_and_wide_blocks_can_be_reached_by_keys(client):
    for name in book().pages:
        page = client.get(f"/help/{name}").text
        assert not re.search(r"<a [^>]*></a>", page), name
        assert "<pre>" not in page, name
    page = client.get("/help/how-to/serve-the-console").text
    assert ">Run the console in production</a>" in page


def test_lists_that_are_read_from_the_code_are_in_the_pages(client):
    page = client.get("/help/reference/parts").text
    assert '<h3 id="fedprox">' in page
    assert "<table>" in page
    assert "medfed --help" in client.get("/help/reference/command-line").text


def test_pictures_are_served_and_nothing_else(client):
    with client.get("/help/_static/round.svg") as answer:
        assert answer.mimetype == "image/svg+xml"
    for path in ("conf.py", "..%2fconf.py", "_static/medfed.css", "_ext/from_the_code.py", "none"):
        assert client.get(f"/help/{path}").status_code == 404, path


def test_words_are_found_marked_and_shown_where_they_stand(client):
    page = client.get("/help/", query_string={"q": "withdrawn coordinator.toml"}).text
    assert page.index("/help/how-to/serve-a-hospitals-console") < page.index("/help/decisions/")
    assert "<mark>coordinator.toml</mark>" in page
    nothing = client.get("/help/", query_string={"q": "xyzzy"}).text
    assert "No page holds all of these words" in nothing
    assert "English" in nothing
    evil = client.get("/help/", query_string={"q": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in evil
    assert "All pages" in client.get("/help/?q=%20").text


@given(st.text(max_size=120))
def test_any_question_is_answered(asked):
    for hit in search(book(), asked):
        assert hit.page.name in book().pages


def test_the_interface_is_translated_and_says_that_the_pages_are_english(stage, client):
    assert "written in English" not in client.get("/help/").text
    stage.post(client, "/language", language="zh_Hans_CN")
    for path in ("/help/", "/help/how-to/install", "/help/?q=xyzzy"):
        page = client.get(path).text
        assert "英文" in page
        assert "Search the help" not in page


def test_a_page_turns_into_no_markup_and_links_out_of_the_docs_stay_words():
    text = plain(ODD, DOCS / "how-to" / "x")
    html = render(Page("how-to/x", "X", text), book(), lambda name: f"/help/{name}", str)
    assert "<script>" not in html
    assert "hidden" not in html
    assert "<strong>Term</strong>: What it means." in " ".join(html.split())
    assert "&lt;!-- kept --&gt;" in html
    assert re.findall('href="(.*?)"', html) == ["/help/how-to/install#a-b", "https://x.example"]
    assert "<p>out <a" in html


def test_the_wheel_holds_the_docs(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    there = tmp_path / "medfed" / "web" / "docs"
    assert INSTALLED.relative_to(INSTALLED.parents[2]) == there.relative_to(tmp_path)
    found = read_book(there)
    assert found.pages.keys() == book().pages.keys()
    assert found.pictures.keys() == book().pictures.keys()
    assert all(found.section(name) for name in SECTIONS)


def test_an_installation_without_docs_says_so(tmp_path):
    assert not read_book(tmp_path).pages


def test_the_docs_are_read_once_before_somebody_asks(monkeypatch):
    module = sys.modules["medfed.web.handbook.book"]
    monkeypatch.setattr(module, "_read", [])
    real, times = module.read_book, []

    def counted(folder):
        times.append(folder)
        return real(folder)

    monkeypatch.setattr(module, "read_book", counted)
    timer = read_docs_soon(0.0)
    timer.join()
    assert len(module._read) == 1
    module._read.clear()
    threads = [threading.Thread(target=book) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(times) == 2
    assert book() is module._read[0]
