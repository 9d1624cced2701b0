"""What the consoles' services complain about, whichever of them."""

from medfed.core.errors import RunError


class Missing(RunError):
    """There is no such thing."""


class Conflict(RunError):
    """It does not go with what is there by now."""
