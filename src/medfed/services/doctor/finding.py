"""What one check found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "failure", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: The check's name.
        level: ``ok``, ``warning``, ``failure``, or ``skipped`` where it builds on what failed.
        message: What was found.
        remedy: What to do about it.
    """

    check: str
    level: Level
    message: str
    remedy: str = ""


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """It works today."""
    return Finding(check, "warning", message, remedy)


def failure(check: str, message: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check, "failure", message, remedy)


def skipped(check: str, why: str) -> Finding:
    """It was not tried."""
    return Finding(check, "skipped", why)
