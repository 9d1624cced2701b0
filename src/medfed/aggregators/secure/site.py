"""The site's half: five answers, each given once, each after its checks; three in a steady round.

Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning" (CCS,
eprint 2017/281), figure 4 with the steps for active adversaries, on the full graph of sites.

The keys and shares of a round may ride on the exchanges of the one before. What is asked is not
known then: the masks, and what is signed of the survivors, are bound to it when it is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.fixed_point import Narrow, Wide
from medfed.aggregators.secure.layout import Layout, arrays_of
from medfed.aggregators.secure.masks import Masks, Stream, aligned
from medfed.aggregators.secure.messages import coded, decoded, inner, message, table_of
from medfed.aggregators.secure.phases import Phase
from medfed.aggregators.secure.rules import Roster, sign_of
from medfed.aggregators.secure.seated import DRAWER, SeatedSite, Talk, agreed, names_of, unpacked
from medfed.core.errors import Refused
from medfed.core.update import Array, Tensors, Update

SHARES, MASKED, AGREE, UNMASK = "shares", "masked", "agree", "unmask"
NEXT = "next"
"""The first step of a round whose keys and shares rode on the one before."""
LOST, OTHER_PARTS = "lost", "parts"
"""Why a site cannot go on from the round before: it was restarted; it has other things to add."""


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

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Answer one phase; see `SeatedSite.answer`."""
        step, _, name = phase.partition("-")
        if step == NEXT:
            return self._next(name, work), mine
        return super().answer(phase, received, work, mine)

    # --- 2: shares --------------------------------------------------------------------------------

    def _shares(self, talk: Talk, received: Update) -> Update:
        table = table_of(received)
        layout = Layout.from_json(table.get("layout"))
        talk.roster = self._roster(talk, inner(table, "adverts"), layout)
        return message({"sealed": self._divided(talk, talk.roster)})

    def _divided(self, talk: Talk, roster: Roster) -> dict[str, str]:
        """Shares of a conversation's secrets, each sealed for one peer."""
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
        return sealed

    # --- 3: the masked part -----------------------------------------------------------------------

    def _masked(self, talk: Talk, received: Update) -> Update:
        roster = agreed(talk)
        self._receive(talk, roster, inner(table_of(received), "sealed"))
        return self._part(talk, roster)

    def _receive(self, talk: Talk, roster: Roster, sealed: Mapping[str, Any]) -> None:
        """Open the shares that peers sealed for this site: among these peers it will mask."""
        me = self.seat.site
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

    def _part(self, talk: Talk, roster: Roster) -> Update:
        """The masked update, and fresh keys for the round after this one."""
        root = roster.next_root
        talk.upcoming = Talk(root.hex()[:16], root, Update(), talk.asked, NEXT, mine=talk.mine)
        words = self._words(talk, roster)
        advert = self._advert(talk.upcoming)
        return message({"session": coded(roster.session), "advert": advert.to_json()}, words)

    def _words(self, talk: Talk, roster: Roster) -> dict[str, Array]:
        masks = Masks(self._streams(talk, roster))
        arrays, layout = arrays_of(talk.update), roster.layout
        narrow = Narrow(*roster.terms)
        found: dict[str, Array] = {}
        clipped = 0
        for name, codec, region in (
            ("narrow", narrow, layout.narrow),
            ("wide", Wide(), layout.wide),
        ):
            found[name] = aligned(codec.words * region.size, codec.word)
            clipped += masks.write(codec, region.size, region.filler(arrays).fill, found[name])
        found["clipped"] = np.empty(2, np.uint64)
        masks.write(Wide(), 1, lambda *given: given[-1].fill(clipped), found["clipped"])
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

    # --- the masked part of a round whose keys and shares are there already -----------------------

    def _next(self, name: str, work: Callable[[], Update]) -> Update:
        talk: Talk | None = self.seat.drawer.get(DRAWER)
        if talk is None or talk.name != name or self._known(talk) != talk.known:
            return message({"anew": LOST})  # it costs nobody a round, as a refusal would
        talk = self._talk(Phase(NEXT, name))
        roster = agreed(talk)
        self._check_enough(roster.sites, roster.threshold)
        talk.asked = self.seat
        talk.update = unpacked(work())
        if Layout.of(talk.update) != talk.mine:
            self.seat.drawer.pop(DRAWER)
            return message({"anew": OTHER_PARTS})
        talk.session = keys.derive(self.seat.session, "session", name)
        talk.roster = roster.over(talk.session)
        part = self._part(talk, talk.roster)
        talk.next = AGREE
        return part

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
        sealed = self._shares_ahead(talk, roster, table)
        what = roster.survivors_signed(talk.sharers, talk.survivors)
        return message({"signature": coded(self.seat.sign(what)), "sealed": sealed})

    def _shares_ahead(self, talk: Talk, roster: Roster, table: Mapping[str, Any]) -> dict[str, str]:
        """Shares of the next round's secrets, if everybody is still there."""
        upcoming = talk.upcoming
        if upcoming is None or "adverts" not in table:
            talk.upcoming = None
            return {}
        listed = inner(table, "adverts")
        self._check_same(talk, listed)
        upcoming.roster = self._roster(upcoming, listed, roster.layout)
        upcoming.known = self._known(upcoming)
        return self._divided(upcoming, upcoming.roster)

    def _check_same(self, talk: Talk, listed: Iterable[str]) -> None:
        """Keys are agreed ahead among the very same sites only, all of which got to the end."""
        if not set(listed) == set(agreed(talk).sites) == set(talk.survivors):
            raise Refused("unsafe-sum", "the next round is not among the sites of this one")

    def _known(self, talk: Talk) -> list[bytes | None]:
        """The keys pinned now of the sites of a conversation."""
        return [self.seat.peers.get(site) for site in agreed(talk).sites]

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
        upcoming = self._received_ahead(talk, table)
        talk.asked.record(names_of(talk.survivors))
        self.seat.drawer.pop(DRAWER)
        if upcoming is not None:
            self.seat.drawer[DRAWER] = upcoming
        # Of each site one share or the other: both would give its part away.
        lost = [site for site in talk.sharers if site not in talk.survivors]
        return message(
            {
                "masks": {site: coded(talk.shares[site][: keys.SEED]) for site in lost},
                "selves": {site: coded(talk.shares[site][keys.SEED :]) for site in talk.survivors},
            }
        )

    def _received_ahead(self, talk: Talk, table: Mapping[str, Any]) -> Talk | None:
        """The next round's conversation, where all shares of it came; else it begins with keys."""
        upcoming = talk.upcoming
        if upcoming is None or upcoming.roster is None or "sealed" not in table:
            return None
        self._receive(upcoming, upcoming.roster, inner(table, "sealed"))
        return upcoming if upcoming.sharers == upcoming.roster.sites else None
