"""Which part of a list a page shows, whatever the address says."""

from flask import request

LAST_PAGE = 100_000
LARGEST = 2**31 - 1
"""What a column of the database takes."""


def page_number() -> int:
    """The page that is asked for; the first where that is no number."""
    return min(max(1, request.args.get("page", 1, int)), LAST_PAGE)


def before_number() -> int | None:
    """The row after which a list goes on; None for its beginning."""
    given = request.args.get("before", None, int)
    return None if given is None else min(max(1, given), LARGEST)
