"""The site's half: five answers, each given once, each after its checks.

Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning" (CCS,
eprint 2017/281), figure 4 with the steps for active adversaries, on the full graph of sites.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.fixed_point import Narrow, Wide
from medfed.aggregators.secure.layout import Layout, arrays_of
from medfed.aggregators.secure.masks import Masks, Stream
from medfed.aggregators.secure.messages import coded, decoded, inner, message, table_of
from medfed.aggregators.secure.rules import FEWEST, Advert, Roster, sign_of
from medfed.core.aggregator import Seat
from medfed.core.errors import Refused
from medfed.core.packing import unpack
from medfed.core.update import Array, Tensors, Update

KEYS, SHARES, MASKED, AGREE, UNMASK = "keys", "shares", "masked", "agree", "unmask"
PHASES = (KEYS, SHARES, MASKED, AGREE, UNMASK)
PHASE = re.compile(rf"({'|'.join(PHASES)})-([0-9a-f]{{16}})")
MORE = 1 << 22
"""Elements that other sites' statistics may add to a site's own layout."""
DRAWER = "secure sum"


@dataclass
class Talk:
    """One conversation, as long as it lasts: secrets among it, so in memory only.

    Attributes:
        next: The phase that may be answered now; none twice, none out of turn.
        seeds: Of the keys for sealing, for common masks, and of the site's own mask.
        shares: For each peer its two shares, of the mask key's seed and the own mask's.
        sharers: Whose shares came: among them masks are made.
        survivors: Whose masked parts arrived; fixed once it was signed.
    """

    name: str
    session: bytes
    update: Update
    clipped: int = 0
    next: str = SHARES
    seeds: Mapping[str, bytes] = field(default_factory=dict)
    roster: Roster | None = None
    shares: dict[str, bytes] = field(default_factory=dict)
    sharers: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecureSite:
    """The secure sum at a seat; see `medfed.core.aggregator.Aggregator.answer`.

    Attributes:
        seat: Who answers, and whom it knows.
        bits: Of a word.
        reach: The largest value.
        least: Sites that the study wants in a sum at least.
    """

    seat: Seat
    bits: int
    reach: float
    least: int

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Answer one phase.

        Raises:
            Refused: Whatever would let somebody see this site's update alone.
        """
        found = PHASE.fullmatch(phase)
        if found is None:
            raise Refused("malformed-order", "the order names a phase that its aggregator lacks")
        step, name = found.groups()
        if step == KEYS:
            return self._keys(name, work), mine
        talk = self._talk(step, name)
        answers = {
            SHARES: self._shares,
            MASKED: self._masked,
            AGREE: self._agree,
            UNMASK: self._unmask,
        }
        return answers[step](talk, table_of(received)), mine

    def _talk(self, step: str, name: str) -> Talk:
        talk: Talk | None = self.seat.drawer.get(DRAWER)
        if talk is None or talk.name != name:
            remedy = "The coordinator begins the round again, under fresh keys"
            raise Refused("lost-conversation", remedy=remedy)
        if step != talk.next:
            raise Refused(
                "unsafe-sum", f"the step {step!r} was answered already, or comes too soon"
            )
        following = PHASES.index(step) + 1
        # Before the answer is made: should it fail, it must not be tried a second time.
        talk.next = PHASES[following] if following < len(PHASES) else ""
        return talk

    # --- 1: keys ----------------------------------------------------------------------------------

    def _keys(self, name: str, work: Callable[[], Update]) -> Update:
        known = [site for site in self.seat.sites if site in self.seat.peers]
        if len(known) < self._fewest or self.seat.site not in known:
            missing = ", ".join(site for site in self.seat.sites if site not in known)
            remedy = "Run `medfed site pin` there with the keys of the study's sites"
            raise Refused("unknown-peer", f"no pinned key of {missing}", remedy=remedy)
        self.seat.drawer.pop(DRAWER, None)
        update = work()
        update = Update(unpack(update.tensors), update.weights, update.stats)
        seeds = {which: keys.new_seed() for which in ("seal", "mask", "self")}
        session = keys.derive(self.seat.session, "session", name)
        talk = Talk(name, session, update, seeds=seeds)
        seal, mask = (keys.public_bytes(seeds[which]) for which in ("seal", "mask"))
        advert = Advert(seal, mask, keys.commitment(seeds["self"]))
        advert = Advert(seal, mask, advert.commitment, self.seat.sign(self._signed(talk, advert)))
        self.seat.drawer[DRAWER] = talk
        return message(
            {
                "session": coded(session),
                "terms": self._terms,
                "layout": Layout.of(update).to_json(),
                "advert": advert.to_json(),
            }
        )

    def _signed(self, talk: Talk, advert: Advert) -> bytes:
        return advert.signed(talk.session, self.seat.site)

    @property
    def _terms(self) -> list[Any]:
        return [self.bits, self.reach, len(self.seat.sites)]

    @property
    def _fewest(self) -> int:
        return max(FEWEST, self.least, self.seat.least)

    # --- 2: shares --------------------------------------------------------------------------------

    def _shares(self, talk: Talk, table: Mapping[str, Any]) -> Update:
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

    def _roster(self, talk: Talk, table: Mapping[str, Any]) -> Roster:
        listed = inner(table, "adverts")
        adverts = {site: Advert.from_json(inner(listed, site)) for site in listed}
        layout = Layout.from_json(table.get("layout"))
        self._check_enough(adverts, 0)
        strangers = sorted(set(adverts) - set(self.seat.peers))
        if strangers:
            message_ = f"no pinned key of {', '.join(one[:64] for one in strangers[:5])}"
            raise Refused("unknown-peer", message_)
        for site, advert in adverts.items():
            self._verify(site, advert.signature, advert.signed(talk.session, site))
        public = [key for advert in adverts.values() for key in (advert.seal, advert.mask)]
        own = adverts.get(self.seat.site)
        if own is None or own.mask != keys.public_bytes(talk.seeds["mask"]):
            raise Refused(
                "unsafe-sum", "the list of sites lacks this one, or holds other keys of it"
            )
        if len(set(public)) < len(public):
            raise Refused("unsafe-sum", "two sites are listed with the same key")
        mine = Layout.of(talk.update)
        if not layout.holds(mine) or layout.size > mine.size + MORE:
            raise Refused("malformed-order", "what is to be summed is not what this site was asked")
        return Roster(talk.session, self._terms, layout, adverts)

    def _verify(self, site: str, signature: bytes, what: bytes) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self.seat.peers[site]).verify(signature, what)
        except InvalidSignature:
            message_ = f"what is said to come from {site} is not signed with its pinned key"
            raise Refused("unsafe-sum", message_) from None

    def _check_enough(self, sites: Iterable[str], threshold: int) -> None:
        count, needed = len(set(sites)), max(self._fewest, threshold)
        if count < needed:
            raise Refused(
                "unsafe-sum", f"the sum is among {count} sites, and must be among {needed}"
            )

    # --- 3: the masked part -----------------------------------------------------------------------

    def _masked(self, talk: Talk, table: Mapping[str, Any]) -> Update:
        roster, me = _agreed(talk), self.seat.site
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

    def _agree(self, talk: Talk, table: Mapping[str, Any]) -> Update:
        roster = _agreed(talk)
        survivors: Any = table.get("survivors")
        listed = isinstance(survivors, list) and all(isinstance(one, str) for one in survivors)
        if not listed or not set(survivors) <= set(talk.sharers):
            raise Refused("unsafe-sum", "the survivors are not among those who sent shares")
        if self.seat.site not in survivors:
            raise Refused("unsafe-sum", "this site sent its part, and is listed as lost")
        self._check_enough(survivors, roster.threshold)
        talk.survivors = tuple(sorted(set(survivors)))
        self._check_question(talk)
        what = roster.survivors_signed(talk.sharers, talk.survivors)
        return message({"signature": coded(self.seat.sign(what))})

    def _check_question(self, talk: Talk) -> None:
        """Sums of one question over different sites differ by what single sites said."""
        before = self.seat.summed()
        if before and before != _names(talk.survivors):
            message_ = f"this was summed already, over {before}; another sum would tell them apart"
            remedy = "Wait for the same sites, or begin the run anew"
            raise Refused("unsafe-sum", message_, remedy=remedy)

    # --- 5: what takes the masks off --------------------------------------------------------------

    def _unmask(self, talk: Talk, table: Mapping[str, Any]) -> Update:
        roster = _agreed(talk)
        signatures = inner(table, "signatures")
        if not set(signatures) <= set(talk.survivors):
            raise Refused("unsafe-sum", "a site signed that is not among the survivors")
        self._check_enough(signatures, roster.threshold)
        what = roster.survivors_signed(talk.sharers, talk.survivors)
        for site in signatures:
            self._verify(site, decoded(signatures, site, 64), what)
        self._check_question(talk)
        self.seat.record(_names(talk.survivors))
        self.seat.drawer.pop(DRAWER)
        # Of each site one share or the other: both would give its part away.
        lost = [site for site in talk.sharers if site not in talk.survivors]
        return message(
            {
                "masks": {site: coded(talk.shares[site][: keys.SEED]) for site in lost},
                "selves": {site: coded(talk.shares[site][keys.SEED :]) for site in talk.survivors},
            }
        )


def _agreed(talk: Talk) -> Roster:
    if talk.roster is None:  # the phase before ended in a refusal
        raise Refused("lost-conversation")
    return talk.roster


def _names(sites: Iterable[str]) -> str:
    return ", ".join(sorted(sites))
