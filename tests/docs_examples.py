"""Find and run the examples in the docs, so that none of them can go stale.

A page is Markdown. Its ```console and ```python blocks run from top to bottom in one fresh folder
that also holds examples/; the ```python blocks share their names. In a console block each line
that starts with `$ ` is run by bash; the other lines show output and are not compared.

Comments that a reader does not see steer it:

    <!-- not run: REASON -->     before a block: leave it out
    <!-- exits 2 -->             before a console block: its last command ends with this status
    <!-- slow -->                anywhere: the page belongs to `make test-slow`
    <!-- needs data -->          anywhere: the page reads MEDFED_DATA; skipped where that is absent
    <!-- machines: run by TEST -->  anywhere: blocks whose prompts name machines, such as
                                 `medfed@north:~$ `, are run by this test (integration/machines.py)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w{}+-]*)[^\n`]*$")
COMMENT = re.compile(r"^\s*<!--\s*(?P<text>.*?)\s*-->\s*$")
PROMPT = re.compile(r"^\w+@(?P<machine>\w+):~[$#] (?P<command>.*)$")
MACHINES = re.compile(r"^\s*<!--\s*machines: run by (?P<test>\S+)\s*-->\s*$", re.MULTILINE)
RUN = {"python", "console"}


@dataclass
class Block:
    """One fenced block of a page."""

    language: str
    line: int
    text: str
    comments: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> bool:
        """Whether a comment before it says so; a comment without a reason is an error."""
        for comment in self.comments:
            if comment.startswith("not run"):
                reason = comment.removeprefix("not run").lstrip(": ")
                assert reason, f"line {self.line}: `not run` needs a reason"
                return True
        return False

    @property
    def status(self) -> int:
        """The exit status its last command should have."""
        for comment in self.comments:
            if match := re.fullmatch(r"exits (\d+)", comment):
                return int(match[1])
        return 0

    def commands(self) -> list[str]:
        """The commands of a console block, continued lines joined."""
        found, lines = [], iter(self.text.splitlines())
        for line in lines:
            if not line.startswith("$ "):
                continue
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1] + next(lines).removeprefix("> ").strip()
            found.append(command)
        return found


def blocks(text: str) -> list[Block]:
    """Every fenced block of a page, with the comments that stand right before it."""
    found: list[Block] = []
    comments: list[str] = []
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        if match := FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner.strip() == match["ticks"]:
                    break
                body.append(inner.removeprefix(match["indent"]))
            found.append(Block(match["language"], number, "\n".join(body), comments))
            comments = []
        elif comment := COMMENT.match(line):
            comments.append(comment["text"])
        elif line.strip():
            comments = []
    return found


def pages() -> list[Path]:
    """The pages whose examples run: the README files and all of docs/."""
    readmes = sorted(ROOT.glob("README*.md"))
    docs = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
    return [path for path in readmes + docs if to_run(path.read_text("utf-8"))]


def to_run(text: str) -> list[Block]:
    """The blocks of a page that are to be run, in one folder of one machine."""
    found = [block for block in blocks(text) if block.language in RUN and not block.left_out]
    if not MACHINES.search(text):
        return found
    return [block for block in found if not PROMPT.match(block.text.partition("\n")[0])]


def has(text: str, comment: str) -> bool:
    """Whether a comment stands anywhere on a page."""
    return re.search(rf"^\s*<!--\s*{comment}\s*-->\s*$", text, re.MULTILINE) is not None


def environment(home: Path, data: Path | None) -> dict[str, str]:
    """What the commands of a page see: this environment's programs, and a home of their own."""
    env = dict(os.environ)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    env["HOME"] = str(home)
    env["COLUMNS"] = "100"
    if data:
        env["MEDFED_DATA"] = str(data)
    return env


def run_console(block: Block, folder: Path, env: dict[str, str]) -> None:
    """Run the commands of a block; the first unexpected status fails, with what was printed."""
    commands = block.commands()
    assert commands, f"line {block.line}: a console block needs a line that starts with `$ `"
    for number, command in enumerate(commands, 1):
        expected = block.status if number == len(commands) else 0
        answer = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert answer.returncode == expected, (
            f"line {block.line}: `{command}` ended with {answer.returncode}, "
            f"not {expected}:\n{answer.stdout}"
        )


def run_page(text: str, name: str, folder: Path, env: dict[str, str]) -> None:
    """Run all examples of a page in a folder (which is the current one already)."""
    if (ROOT / "examples").is_dir():
        shutil.copytree(ROOT / "examples", folder / "examples")
    names: dict[str, object] = {"__name__": "__docs__"}
    for block in to_run(text):
        if block.language == "console":
            run_console(block, folder, env)
        else:
            # Blank lines before it, so that a traceback shows the line of the page.
            source = "\n" * block.line + block.text
            exec(compile(source, name, "exec"), names)
