"""Sphinx extension: parts of the reference that are read from the code, so they cannot go stale.

A page holds a line such as ``<!-- from the code: commands -->``; the build puts the list there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from medfed.web.handbook import lists
from medfed.web.handbook.lists import MARK, parts

__all__ = ["LISTS", "MARK", "commands", "parts"]

WIDTH = 88


def commands() -> str:
    """Every command with its help, as the terminal shows it."""
    import click

    from medfed.cli import cli

    def walk(command: click.Command, name: str, parent: click.Context | None) -> Iterable[str]:
        widths = {"terminal_width": WIDTH, "max_content_width": WIDTH}
        context = click.Context(
            command, parent=parent, info_name=name, **{**command.context_settings, **widths}
        )
        yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                try:
                    found = command.get_command(context, inner)
                except ModuleNotFoundError:
                    yield f"## {context.command_path} {inner}\n\nNot part of this version yet.\n"
                    continue
                if found is not None:
                    yield from walk(found, inner, context)

    return "\n".join(walk(cli, "medfed", None))


LISTS = {"commands": commands, **lists.LISTS}


def _fill(app: object, docname: str, source: list[str]) -> None:
    del app, docname
    source[0] = MARK.sub(lambda found: LISTS[found["what"]](), source[0])


def _marked(app: Any, env: Any, *changes: set[str]) -> list[str]:
    """Pages with a mark are read anew each time: the code may have changed, and they have not."""
    del app, changes
    return [name for name in env.found_docs if MARK.search(env.doc2path(name).read_text("utf-8"))]


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("env-get-outdated", _marked)
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
