"""The examples in the README files and the docs run as they stand."""

from __future__ import annotations

import re

import docs_examples
import pytest
from docs_examples import MACHINES, ROOT, blocks, environment, has, run_page, to_run

from medfed.core.study_file import parse_study


def page_parameters() -> list:
    """One test a page; those that say they are slow carry the mark."""
    parameters = []
    for path in docs_examples.pages():
        slow = has(path.read_text("utf-8"), "slow")
        marks = [pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(1200)] if slow else []
        parameters.append(pytest.param(path, id=str(path.relative_to(ROOT)), marks=marks))
    return parameters


@pytest.mark.parametrize("page", page_parameters())
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch, request):
    text = page.read_text("utf-8")
    data = request.getfixturevalue("data_dir") if has(text, "needs data") else None
    monkeypatch.chdir(tmp_path)
    if data:
        monkeypatch.setenv("MEDFED_DATA", str(data))
    run_page(text, page.name, tmp_path, environment(tmp_path, data))


@pytest.mark.parametrize("page", docs_examples.pages(), ids=lambda path: path.name)
def test_a_page_shows_the_digest_of_its_own_study(page):
    text = page.read_text("utf-8")
    if not (shown := set(re.findall(r"[Dd]igest +([0-9a-f]{64})", text))):
        return
    tables = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    studies = [parse_study(table) for table in tables if table.startswith("title")]
    assert shown == {study.digest for study in studies}


PAGE = """\
<!-- not run: needs three hospitals -->
```console
$ false
```

A paragraph.

<!-- exits 3 -->
```console
$ echo one \\
>   two > out.txt
shown output
$ exit 3
```

1. In a list:

   ```python
   from pathlib import Path
   words = Path("out.txt").read_text().split()
   ```

```python
assert words == ["one", "two"]
```

```toml
[not.run]
```
"""


def test_blocks_are_found_with_their_comments():
    assert [block.language for block in blocks(PAGE)] == [
        "console", "console", "python", "python", "toml",
    ]  # fmt: skip
    assert [block.line for block in to_run(PAGE)] == [9, 18, 23]
    assert to_run(PAGE)[0].commands() == ["echo one two > out.txt", "exit 3"]
    assert to_run(PAGE)[1].text.startswith("from pathlib")


def test_blocks_of_a_page_share_a_folder_and_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(PAGE, "page.md", tmp_path, environment(tmp_path, None))
    assert (tmp_path / "out.txt").read_text() == "one two\n"


@pytest.mark.parametrize("page", ["```console\n$ exit 1\n```", "```console\nno command\n```"])
def test_a_failing_example_is_noticed(page, tmp_path):
    with pytest.raises(AssertionError, match="line 1"):
        run_page(page, "page.md", tmp_path, environment(tmp_path, None))


def test_leaving_out_needs_a_reason():
    with pytest.raises(AssertionError, match="needs a reason"):
        to_run("<!-- not run: -->\n```console\n$ true\n```")


def test_pages_for_several_machines_name_the_test_that_runs_them():
    """Such a block is passed over only where a test that exists reads the page."""
    text = "```console\nmedfed@north:~$ medfed site doctor site\n```\n"
    assert to_run(text)
    assert not to_run(f"<!-- machines: run by x.py -->\n{text}")
    found = {}
    for page in (ROOT / "docs").rglob("*.md"):
        if match := MACHINES.search(page.read_text("utf-8")):
            found[page.name] = (ROOT / match["test"]).read_text("utf-8")
    assert all(name in test for name, test in found.items())


def test_comments_about_a_page_are_found():
    assert has("Text\n<!-- slow -->\n", "slow")
    assert not has("Text <!-- slow --> in a line\n", "slow")
