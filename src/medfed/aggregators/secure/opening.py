"""Who of those who answered may sum together, and what; whoever does not fit is left out."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.layout import Layout, misfits
from medfed.aggregators.secure.messages import decoded, inner, table_in
from medfed.aggregators.secure.rules import FEWEST, Advert, Roster, marks
from medfed.core.aggregator import Spooled
from medfed.core.errors import WireError

T = TypeVar("T")


@dataclass(frozen=True)
class Opening:
    """What one site says at the beginning.

    Attributes:
        fewest: Sites that it wants in a sum at least.
    """

    session: bytes
    terms: tuple[Any, ...]
    layout: Layout
    advert: Advert
    fewest: int

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Opening":
        """Read one that came from outside.

        Raises:
            WireError: It is none, or its site signed something else.
        """
        terms, fewest = table.get("terms"), table.get("fewest")
        if not isinstance(terms, list) or not all(isinstance(t, int | float | str) for t in terms):
            raise WireError("the terms of a secure sum cannot be read")
        if type(fewest) is not int:
            raise WireError("'fewest' of a secure sum cannot be read")
        layout, session = Layout.from_json(table.get("layout")), decoded(table, "session", 32)
        advert = Advert.from_json(inner(table, "advert"))
        if set(marks(session, layout).values()) != set(advert.parts):
            raise WireError("it signed other parts than it names")
        for public in (advert.seal, advert.mask):
            keys.shared(keys.new_seed(), public)  # all peers would refuse a list with a bad key
        return cls(session, tuple(terms), layout, advert, fewest)


def readable(
    replies: Iterable[Spooled], read: Callable[[dict[str, Any]], T], left_out: dict[str, str]
) -> dict[str, T]:
    """What sites said; one that cannot be read is left out, and why is noted."""
    found = {}
    for reply in replies:
        try:
            found[reply.site] = read(table_in(reply))
        except WireError as error:
            left_out[reply.site] = error.message
    return found


def agreed_roster(openings: Mapping[str, Opening], left_out: dict[str, str]) -> Roster | None:
    """The largest roster of sites that fit together; None where they are too few.

    A part that fewer sites have than must be in a sum is not summed: the sum would be theirs alone,
    whoever else adds zeros to it.
    """
    said = Counter((one.session, one.terms) for one in openings.values())
    session, terms = said.most_common(1)[0][0] if said else (b"", ())
    fit: dict[str, Opening] = {}
    for site, one in openings.items():
        if (one.session, one.terms) == (session, terms):
            fit[site] = one
        else:
            left_out[site] = "it takes other things for granted than most sites, or was asked else"
    for site, complaint in misfits({site: one.layout for site, one in fit.items()}).items():
        left_out[site] = complaint
        del fit[site]
    if len(fit) < FEWEST:
        return None
    # A site that wants more than there are will say so itself.
    fewest = max([FEWEST, *(one.fewest for one in fit.values() if one.fewest <= len(fit))])
    has = Counter(part.key for one in fit.values() for part in one.layout.parts)
    common = {key for key, count in has.items() if count >= fewest}
    layout = Layout.union(one.layout for one in fit.values()).only(common)
    return Roster(session, list(terms), layout, {s: one.advert for s, one in fit.items()}, fewest)
