"""A statistic over sites: a round without a model."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from medfed.core.data import SiteData
from medfed.core.update import Update

Table = Mapping[str, Any]
"""The finished statistic: plain data that fits into JSON."""


class Query(Protocol):
    """A statistic fitted from sums and counts only; registered by name like every part.

    A query is a frozen dataclass whose options cross the wire. One that needs several steps
    (Newton, IRLS) carries its step's parameters among its options.
    """

    fact: ClassVar[str]
    """The name under which the finished table is kept among the facts."""

    def local(self, data: SiteData, facts: Mapping[str, Any]) -> Update:
        """This site's additive contribution, from its training patients only."""

    def next(self, total: Update) -> "Query | Table":
        """The next step, or the finished table."""
