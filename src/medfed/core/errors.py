"""Every error medfed shows to a person.

The tree, with the exit code of the command line::

    MedfedError                  1   something went wrong that we foresaw
    ├── StudyError               2   the study file contradicts itself or names what is not there
    │   └── PartError            2   an unknown part, or an option that the part does not take
    ├── DataError                3   data are missing, unreadable or not what they claim to be
    ├── SiteError                4   a site's folder, key or approval is not in order
    │   └── SettingsError        4   a settings file contradicts itself
    ├── RunError                 5   a run cannot start or go on
    │   ├── QuorumError          5   fewer sites answered than the study asks for
    │   └── CheckpointError      5   no checkpoint of the run can be read
    ├── WireError                6   a message is malformed, forged, replayed or too large
    │   └── WireVersionError     6   a message is of a wire version this program does not speak
    ├── Refused                  7   a site says no, under a public name
    └── AccessError              8   a person may not do this, or is not who they say they are

A message says what is wrong; a remedy says what to do about it. Neither may hold patient data:
both may leave the hospital.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class MedfedError(Exception):
    """The root of the tree: a problem that a person can do something about.

    Args:
        message: What is wrong, in one sentence without a full stop.
        remedy: What to do about it, in one sentence.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__.copy())


def _rebuild(kind: type[MedfedError], fields: dict[str, object]) -> MedfedError:
    error = kind.__new__(kind)
    error.__dict__.update(fields)
    error.args = (fields["message"],)
    return error


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a study file: where, what, and what to do."""

    field: str
    message: str
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}, {self.field}" if self.line else self.field
        return f"{where}: {self.message}. {self.remedy}"


class StudyError(MedfedError):
    """A study cannot be used; carries every problem found, not just the first."""

    exit_code = 2

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [super().__str__(), *(f"  {problem}" for problem in self.problems)]
        return "\n".join(lines)


class PartError(StudyError):
    """A part is unknown, or was given an option it does not take."""


class DataError(MedfedError):
    """Data are missing, unreadable, or not what they claim to be."""

    exit_code = 3


class SiteError(MedfedError):
    """A site's folder, key or approval is not in order."""

    exit_code = 4


class SettingsError(SiteError):
    """A settings file cannot be used; carries every problem found, not just the first."""

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [super().__str__(), *(f"  {problem}" for problem in self.problems)]
        return "\n".join(lines)


class RunError(MedfedError):
    """A run cannot start or go on."""

    exit_code = 5


class QuorumError(RunError):
    """Fewer sites answered in time than the study asks for."""


class CheckpointError(RunError):
    """No checkpoint of the run can be read."""


class WireError(MedfedError):
    """A message is malformed, forged, replayed or too large."""

    exit_code = 6


class WireVersionError(WireError):
    """A message is of a wire version this program does not speak."""


class AccessError(MedfedError):
    """A person may not do this, or has not shown who they are."""

    exit_code = 8


class Refused(MedfedError):
    """A site's "no".

    Args:
        name: The public name of the reason, one of ``REFUSALS``.
        message: A sentence that is safe to show outside the hospital.
        remedy: What the asker can do about it.
        inside: What only the hospital's own log says besides: figures of its patients.
    """

    exit_code = 7

    def __init__(self, name: str, message: str = "", *, remedy: str = "", inside: str = "") -> None:
        super().__init__(message or REFUSALS[name], remedy=remedy)
        self.name = name
        self.inside = inside


REFUSALS = {
    "bad-signature": "the order is not signed by the coordinator this site trusts",
    "wire-version": "the order is of a wire version that this site does not speak",
    "not-approved": "this site has not approved the study",
    "not-for-this-site": "the order names another site",
    "stale-order": "the order belongs to a round that this site has left behind",
    "stale-memory": "the order builds on a round whose memory this site no longer keeps",
    "malformed-order": "the order cannot be read",
    "missing-part": "the study names a part that is not installed at this site",
    "no-data": "this site has no usable data for the study",
    "too-few-patients": "this site has fewer patients than its rules allow for an answer",
    "one-class": "every training patient of this site has the same label",
    "training-failed": "training failed at this site; its own log has the details",
    "not-finite": "training at this site did not give finite numbers",
    "out-of-space": "this site has no disk space left",
    "unknown-peer": "this site has not pinned the keys of the sites that the sum is to be among",
    "unsafe-sum": "the sum as it was asked for would not keep this site's update secret",
    "lost-conversation": "this site no longer holds the secrets of the conversation",
    "budget-spent": "this site's limit for its patients' privacy does not allow more answers",
    "not-private": "the order asks for more than the study's privacy lets out",
    "worker-lost": "the process that works for this site ended unexpectedly",
}
"""Public names of refusals; a site never sends a traceback, which could carry patient data."""
