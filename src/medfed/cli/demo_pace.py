"""How long the demo takes, told plainly; only what is far too long is an error."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from medfed.core.errors import RunError

FIRST_SECONDS, REST_SECONDS = 15.0, 90.0
"""To the first page, and from there to the end, on two free cores."""
FAR = 5.0
"""So many times as long is no busy machine any more (one with four other users took twice as
long): something waits that should not."""


@dataclass
class Pace:
    """A clock from the command on; drawing patients, which set-up does beforehand, is left out.

    Attributes:
        first: Seconds to the first page.
        rest: Seconds from there to the end.
    """

    first: float = 0.0
    rest: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _left_out: float = 0.0

    @property
    def so_far(self) -> float:
        """Seconds since the command, whatever they went into."""
        return time.monotonic() - self._began

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is done within is not counted."""
        before = self.so_far
        yield
        self._left_out += self.so_far - before

    def first_page(self) -> None:
        """The console answered."""
        self.first = self.so_far

    def all_done(self) -> None:
        """The run is over, and its pages were looked at."""
        self.rest = self.so_far - self.first - self._left_out

    @property
    def words(self) -> str:
        """Both spans beside what they should be."""
        return (
            f"First page after {self.first:.1f} s (expected: {FIRST_SECONDS:.0f}); "
            f"all done {self.rest:.1f} s later (expected: {REST_SECONDS:.0f})"
        )

    def complain(self) -> None:
        """Refuse what is far too long.

        Raises:
            RunError: It is.
        """
        if self.first > FAR * FIRST_SECONDS or self.rest > FAR * REST_SECONDS:
            raise RunError(
                f"the demo is more than {FAR:.0f} times as slow as expected",
                remedy="Try it on a machine that does nothing else; if it stays so, report it",
            )
