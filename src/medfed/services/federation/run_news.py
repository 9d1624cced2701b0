"""What a coordinator's log says of its runs: one sentence when each begins, and one at its end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medfed.services.federation.activity import Activity, activities


@dataclass
class RunNews:
    """Looks at the runs of a coordinator's folder from time to time.

    Runs that were over before the first look are no news.

    Attributes:
        home: The coordinator's folder.
    """

    home: Path
    _going: set[tuple[str, int]] = field(default_factory=set)
    """Runs that go on, each with its process: one that is resumed is told again."""
    _over: set[tuple[str, int]] | None = None

    def fresh(self) -> Iterator[str]:
        """What has happened since the last look."""
        runs = activities(self.home)
        if self._over is None:
            self._over = {_key(run) for run in runs if run.done or not run.alive}
        for run in runs:
            key = _key(run)
            if key in self._over or not run.title:
                continue
            if key not in self._going:
                self._going.add(key)
                yield _begun(run)
            if run.done or not run.alive:
                self._over.add(key)
                yield _ended(run)


def _key(run: Activity) -> tuple[str, int]:
    return run.run, run.process


def _name(run: Activity) -> str:
    return f'the run {Path(run.folder).name} of "{run.title}"'


def _begun(run: Activity) -> str:
    return f"{_name(run)} goes on from round {run.round}" if run.round else f"{_name(run)} begins"


def _ended(run: Activity) -> str:
    if not run.done:
        return f"{_name(run)} was killed in round {run.round}; go on with it by --resume"
    return f"{_name(run)} has ended in round {run.round}: {run.done}"
