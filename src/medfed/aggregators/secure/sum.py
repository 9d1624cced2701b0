"""The secure sum: the plain sum of all updates, and nothing of any one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from medfed.aggregators.hidden import HiddenSum, retried
from medfed.aggregators.secure.rules import safe_colluders
from medfed.core.aggregator import Answering, Ask, Gathered, Seat
from medfed.core.options import option

if TYPE_CHECKING:
    from medfed.aggregators.secure.coordinator import Conversation

SAID = {
    "keys": "public keys for this round's masks, and the names and shapes of what it will add to "
    "the sum",
    "shares": "shares of its masks' secrets, each sealed for one other site",
    "masked": "its part of a secure sum, masked: words that say nothing without the others'; and "
    "public keys for the next round's masks",
    "next": "its part of a secure sum, masked: words that say nothing without the others'; and "
    "public keys for the next round's masks; or only that the round must begin with keys",
    "agree": "its signature under the list of the sites in the sum; and shares of the secrets of "
    "the next round's masks, each sealed for one other site",
    "unmask": "the shares that take the masks off the sum of all sites, and off nothing else",
}


@dataclass(frozen=True, slots=True)
class SecureSum(HiddenSum):
    """The weighted mean by masked sums: nobody sees a single site's update, weight or figures.

    Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning"
    (CCS; eprint 2017/281), the variant for active adversaries, on the full graph. Sites know one
    another by keys pinned beforehand (``medfed site pin``). More than two thirds of the sites that
    begin a round must end it.
    """

    words: ClassVar[Mapping[str, str]] = SAID

    bits: int = option(32, "Bits of a masked word; 64 doubles what is sent", choices=(32, 64))
    reach: float = option(
        131072.0,
        "Largest element of an update times its weight (patients); beyond, it is clipped",
        above=0.0,
        high=1e12,
    )

    def conversation(self, ask: Ask) -> "Conversation":
        """One attempt at the sum, from keys to unmasking."""
        from medfed.aggregators.secure.coordinator import Conversation

        return Conversation(ask)

    def gather_on(self, ask: Ask, sites: Sequence[str], drawer: dict[str, Any]) -> Gathered:
        """The same, going on from the round before where that had the same sites to its end."""
        from medfed.aggregators.secure.ahead import KEPT, Ahead
        from medfed.aggregators.secure.coordinator import Continued, Conversation

        kept = [drawer.pop(KEPT, None)]

        def begin() -> Conversation:
            roster = kept.pop() if kept else None
            if roster is not None and set(roster.sites) == set(sites):
                return Continued(ask, Ahead(drawer), roster)
            return Conversation(ask, Ahead(drawer))

        return retried(begin, self.least)

    def seated(self, seat: Seat) -> Answering:
        """The site's half."""
        from medfed.aggregators.secure.site import SecureSite

        return SecureSite(seat, self.least, self.bits, self.reach)

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """In words, for whoever approves a study of so many sites."""
        fewest = max(self.least, min_sites)
        count = safe_colluders(sites, fewest)
        safe = f"{count} of the {sites} sites" if count > 1 else "one of the sites"
        protection = (
            "Protects each site's update, weight and figures from the coordinator, also one that "
            "lies, and from the other sites: only sums over sites are seen."
        )
        no_protection = (
            f"Does not protect against the coordinator together with more than {safe}: the "
            f"coordinator may choose who takes part in a round, down to {fewest} sites. Nor does "
            "it hide what the sums themselves tell: those of other rounds or runs, over other "
            "sites, can be compared. Names and shapes of what is summed are seen."
        )
        cost_of_protection = (
            "Costs three exchanges a round instead of one (five where it begins, and where a site "
            "was lost in the round before), 32 bits a parameter (64 with bits = 64) and a rounding "
            "that each round reports. Each site must have pinned the others' keys (medfed site "
            "pin), and more than two thirds of the sites that begin a round must end it."
        )
        return protection, no_protection, cost_of_protection
