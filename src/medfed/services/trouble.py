"""What the consoles' services complain about, whichever of them."""

from medfed.core.errors import DataError, RunError


class Missing(RunError):
    """There is no such thing."""


class Conflict(RunError):
    """It does not go with what is there by now."""


class Busy(RunError):
    """Too much is asked for at once."""


class Refused(DataError):
    """What was sent cannot be taken."""


class TooLarge(Refused):
    """It is larger than this console takes."""


class NoSpace(Refused):
    """The disk has no room for it."""
