"""What of the next round's secure sum rides on this round's exchanges, at the coordinator.

The sites' fresh keys come with their masked parts, and go out with the list of survivors; shares
come with the signatures, and go out with the request to unmask. All sites must still be there: else
the next round begins with keys, as the first one does.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.messages import coded, decoded, inner
from medfed.aggregators.secure.opening import readable
from medfed.aggregators.secure.rules import Advert, Roster
from medfed.core.aggregator import Spooled

KEPT, NEVER = "next round", "never"


class Ahead:
    """Carries the next round's keys and shares, and keeps what came of it.

    Args:
        drawer: Kept between rounds in memory; None where no round follows that could go on.
    """

    def __init__(self, drawer: dict[str, Any] | None) -> None:
        self._drawer = drawer
        self._roster: Roster | None = None
        self._sealed: dict[str, dict[str, str]] = {}

    def never(self) -> None:
        """From now on each round begins with keys."""
        if self._drawer is not None:
            self._drawer[NEVER] = True

    def adverts(self, roster: Roster, parts: Sequence[Spooled]) -> dict[str, Any]:
        """For the list of survivors: everybody's fresh keys, if everybody is there."""
        if self._drawer is None or NEVER in self._drawer or len(parts) < len(roster.sites):
            return {}
        adverts = readable(parts, _advert, {})
        upcoming = Roster(roster.next_root, roster.terms, roster.layout, adverts, roster.fewest)
        if not _alike(upcoming, roster) or upcoming.rare(upcoming.sites, roster.fewest):
            return {}
        self._roster = upcoming
        return {"adverts": {site: advert.to_json() for site, advert in adverts.items()}}

    def take_shares(self, replies: Iterable[Spooled]) -> None:
        """Keep the shares that came with the signatures."""
        self._sealed = readable(replies, _sealed, {}) if self._roster else {}

    def shares(self, site: str) -> dict[str, Any]:
        """For the request to unmask: what all others sealed for a site, if they did."""
        if not self._roster:
            return {}
        found = inbox(self._sealed, site)
        whole = set(found) == set(self._roster.sites) - {site} and all(found.values())
        return {"sealed": found} if whole else {}

    def confirm(self, replies: Sequence[Spooled]) -> None:
        """Keep what the next round goes on from, if everybody has all shares of it."""
        if self._drawer is None or self._roster is None:
            return
        sites = set(self._roster.sites)
        if all(map(self.shares, sites)) and sites <= {reply.site for reply in replies}:
            self._drawer[KEPT] = self._roster


def inbox(sealed: Mapping[str, Mapping[str, str]], site: str) -> dict[str, str]:
    """What the others sealed for a site."""
    return {by: box.get(site, "") for by, box in sealed.items() if by != site}


def _advert(table: Mapping[str, Any]) -> Advert:
    advert = Advert.from_json(inner(table, "advert"))
    for public in (advert.seal, advert.mask):
        keys.shared(keys.new_seed(), public)  # all peers would refuse a list with a bad key
    return advert


def _alike(upcoming: Roster, roster: Roster) -> bool:
    """Whether the same sites name as many parts as now: what they say goes out to all others."""
    parts, before = (
        {site: len(advert.parts) for site, advert in one.adverts.items()}
        for one in (upcoming, roster)
    )
    return parts == before


def _sealed(table: Mapping[str, Any]) -> dict[str, str]:
    found = inner(table, "sealed")
    return {site: coded(decoded(found, site, keys.SEALED)) for site in found}
