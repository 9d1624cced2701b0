"""Changing how much of patients' privacy may be spent: said first, then done."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from medfed.core.ledger import Limit
from medfed.core.mechanism import Unit
from medfed.storage.ledger import SqliteLedger

Recorded = Callable[[str, str], AbstractContextManager[None]]
"""Records upon what something is about to be done, and what; inside it is done, or fails."""


def change_limit(book: SqliteLedger, unit: Unit, new: Limit, recorded: Recorded) -> None:
    """Set a limit; wherever this is broken off, none was changed unrecorded.

    Args:
        book: The ledger.
        unit: Whose limit.
        new: The limit, as `SqliteLedger.limit_for` makes it.
        recorded: How it is recorded.

    Raises:
        SiteError: The ledger cannot be used.
    """
    old = book.limit(unit)
    change = (
        f"from ε = {old.epsilon:g} at δ = {old.delta:g} (rule {old.rule}, order {old.order}) "
        f"to ε = {new.epsilon:g} at δ = {new.delta:g} (rule {new.rule}, order {new.order})"
    )
    with recorded(f"privacy limit of a {unit}", change):
        book.set_limit(new, unit)
