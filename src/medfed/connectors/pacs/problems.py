"""What can go wrong with a PACS, under public names."""

from medfed.core.errors import DataError


class PacsError(DataError):
    """A PACS cannot be used as asked.

    Args:
        name: one of ``address``, ``unreachable``, ``certificate``, ``credentials``, ``titles``,
            ``refused``, ``unsupported``, ``timeout``, ``not-found``, ``incomplete``, ``failed``.
        message: what is wrong, in one sentence without a full stop.
        remedy: what to do about it.
    """

    def __init__(self, name: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.name = name
