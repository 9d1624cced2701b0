"""The site's half: five answers, each given once, each after its checks.

Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning" (CCS,
eprint 2017/281), figure 4 with the steps for active adversaries, on the full graph of sites.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.fixed_point import Narrow, Wide
from medfed.aggregators.secure.layout import arrays_of
from medfed.aggregators.secure.masks import Masks, Stream
from medfed.aggregators.secure.messages import coded, decoded, inner, message, table_of
from medfed.aggregators.secure.rules import Roster, sign_of
from medfed.aggregators.secure.seated import DRAWER, SeatedSite, Talk, agreed, names_of
from medfed.core.errors import Refused
from medfed.core.update import Array, Update

SHARES, MASKED, AGREE, UNMASK = "shares", "masked", "agree", "unmask"


@dataclass(frozen=True)
class SecureSite(SeatedSite):
    """The secure sum at a seat.

    Attributes:
        bits: Of a word.
        reach: The largest value.
    """

    bits: int
    reach: float

    @property
    def steps(self) -> Mapping[str, Callable[[Talk, Update], Update]]:
        """Four after the keys."""
        return {
            SHARES: self._shares,
            MASKED: self._masked,
            AGREE: self._agree,
            UNMASK: self._unmask,
        }

    @property
    def terms(self) -> list[Any]:
        """Bits, reach and number of sites: the modulus and its step follow from them."""
        return [self.bits, self.reach, len(self.seat.sites)]

    # --- 2: shares --------------------------------------------------------------------------------

    def _shares(self, talk: Talk, received: Update) -> Update:
        table = table_of(received)
        roster = self._roster(talk, table)
        me, seeds, sealed = self.seat.site, talk.seeds, {}
        divided = [
            keys.split(seeds[which], roster.threshold, len(roster.sites))
            for which in ("mask", "self")
        ]
        for place, peer in enumerate(roster.sites):
            shares = divided[0][place] + divided[1][place]
            if peer == me:
                talk.shares[me] = shares
                continue
            key = roster.share_key(keys.shared(seeds["seal"], roster.adverts[peer].seal), me, peer)
            sealed[peer] = coded(keys.seal_shares(key, shares, roster.bound(me, peer)))
        talk.roster = roster
        return message({"sealed": sealed})

    # --- 3: the masked part -----------------------------------------------------------------------

    def _masked(self, talk: Talk, received: Update) -> Update:
        table = table_of(received)
        roster, me = agreed(talk), self.seat.site
        sealed = inner(table, "sealed")
        others = tuple(site for site in roster.sites if site in sealed and site != me)
        if len(others) < len(sealed):
            raise Refused("unsafe-sum", "shares came from a site that is not on the list")
        self._check_enough((*others, me), roster.threshold)
        seal = talk.seeds["seal"]
        for peer in others:
            key = roster.share_key(keys.shared(seal, roster.adverts[peer].seal), peer, me)
            bound = roster.bound(peer, me)
            talk.shares[peer] = keys.open_shares(key, decoded(sealed, peer), bound)
        talk.sharers = tuple(sorted((*others, me)))
        return message({}, self._words(talk, roster))

    def _words(self, talk: Talk, roster: Roster) -> dict[str, Array]:
        masks = Masks(self._streams(talk, roster))
        arrays, layout = arrays_of(talk.update), roster.layout
        narrow = Narrow(*roster.terms)
        found: dict[str, Array] = {}
        for name, codec, region in (
            ("narrow", narrow, layout.narrow),
            ("wide", Wide(), layout.wide),
        ):
            found[name] = np.empty(codec.words * region.size, codec.word)
            masks.write(codec, region.size, region.filler(arrays).fill, found[name])
        counted = np.array([narrow.clipped], np.float64)
        found["clipped"] = np.empty(2, np.uint64)
        masks.write(Wide(), 1, lambda *given: np.copyto(given[-1], counted), found["clipped"])
        talk.update = Update()  # it is needed no more
        return found

    def _streams(self, talk: Talk, roster: Roster) -> list[Stream]:
        me, mask = self.seat.site, talk.seeds["mask"]
        streams = [Stream(roster.self_key(talk.seeds["self"], me), 1)]
        for peer in talk.sharers:
            if peer != me:
                secret = keys.shared(mask, roster.adverts[peer].mask)
                streams.append(Stream(roster.pair_key(secret, me, peer), sign_of(me, peer)))
        return streams

    # --- 4: whose parts are in the sum ------------------------------------------------------------

    def _agree(self, talk: Talk, received: Update) -> Update:
        table = table_of(received)
        roster = agreed(talk)
        survivors: Any = table.get("survivors")
        listed = isinstance(survivors, list) and all(isinstance(one, str) for one in survivors)
        if not listed or not set(survivors) <= set(talk.sharers):
            raise Refused("unsafe-sum", "the survivors are not among those who sent shares")
        if self.seat.site not in survivors:
            raise Refused("unsafe-sum", "this site sent its part, and is listed as lost")
        self._check_enough(survivors, roster.threshold)
        talk.survivors = tuple(sorted(set(survivors)))
        self._check_parts(roster, talk.survivors)
        self._check_question(talk)
        what = roster.survivors_signed(talk.sharers, talk.survivors)
        return message({"signature": coded(self.seat.sign(what))})

    # --- 5: what takes the masks off --------------------------------------------------------------

    def _unmask(self, talk: Talk, received: Update) -> Update:
        table = table_of(received)
        roster = agreed(talk)
        signatures = inner(table, "signatures")
        if not set(signatures) <= set(talk.survivors):
            raise Refused("unsafe-sum", "a site signed that is not among the survivors")
        self._check_enough(signatures, roster.threshold)
        what = roster.survivors_signed(talk.sharers, talk.survivors)
        for site in signatures:
            self._verify(site, decoded(signatures, site, 64), what)
        self._check_question(talk)
        talk.asked.record(names_of(talk.survivors))
        self.seat.drawer.pop(DRAWER)
        # Of each site one share or the other: both would give its part away.
        lost = [site for site in talk.sharers if site not in talk.survivors]
        return message(
            {
                "masks": {site: coded(talk.shares[site][: keys.SEED]) for site in lost},
                "selves": {site: coded(talk.shares[site][keys.SEED :]) for site in talk.survivors},
            }
        )
