"""Progress bars on standard error; without a terminal there are none."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

QUIET_SECONDS = 5.0
"""Without a terminal, `EventBar.say_seldom` prints at most one line in this time."""


def bar(label: str, *columns: str | ProgressColumn) -> Progress:
    """A bar that is gone once it is done: its label, the bar itself, then the columns."""
    console = Console(stderr=True, highlight=False)
    whole = (TextColumn(label), BarColumn(bar_width=28), *columns)
    return Progress(*whole, console=console, transient=True, disable=not console.is_terminal)


class EventBar:
    """A bar for whoever listens to events: what is done, what goes on now, the time left.

    Args:
        label: What is counted.
    """

    def __init__(self, label: str) -> None:
        self._bar = bar(
            "[bold]{task.description}",
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task(label, total=None, now="", visible=False)
        self._said = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False, soft_wrap=True)

    def say_seldom(self, text: str, *, last: bool = False) -> None:
        """Print a line where no bar shows how it goes, unless the one before was just now."""
        terminal = self._bar.console.is_terminal
        if terminal or not (last or time.monotonic() - self._said > QUIET_SECONDS):
            return
        self._said = time.monotonic()
        self.say(text)

    def begin(self, total: int, done: int = 0) -> None:
        """Show the bar, now that it is known how much there is to do."""
        self._bar.reset(self._task, total=total, completed=done, visible=True)

    def at(self, now: str) -> None:
        """Say beside the bar what goes on."""
        self._bar.update(self._task, now=now)

    def done(self, done: int) -> None:
        """So much of the total is done."""
        self._bar.update(self._task, completed=done)
