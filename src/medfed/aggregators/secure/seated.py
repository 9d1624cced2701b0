"""What every conversation among seated sites begins with, and what each of them insists on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.layout import Layout
from medfed.aggregators.secure.messages import coded, inner, message
from medfed.aggregators.secure.phases import Phase
from medfed.aggregators.secure.rules import FEWEST, Advert, Roster, marks
from medfed.core.aggregator import Seat
from medfed.core.errors import Refused
from medfed.core.packing import unpack
from medfed.core.update import Tensors, Update

KEYS = "keys"
MORE = 1 << 22
"""Elements that other sites' statistics may add to a site's own layout."""
DRAWER = "secure sum"
NOTHING = Layout(())
NOWHERE = Phase("", "")


@dataclass
class Talk:
    """One conversation, as long as it lasts: secrets among it, so in memory only.

    Attributes:
        asked: The seat at the first phase, which knows what is asked: later ones only go on.
        next: The phase that may be answered now; none twice, none out of turn, none (empty) after
            one that failed.
        seeds: Of the keys for sealing, for common masks, and of the site's own mask.
        shares: For each peer its two shares, of the mask key's seed and the own mask's.
        sharers: Whose shares came: among them masks are made.
        survivors: Whose masked parts arrived; fixed once it was signed.
        mine: The parts of this site's update.
        upcoming: The conversation of the round after this one, as far as it is agreed already.
        known: The keys that its sites were pinned under when it was agreed.
        context: Of the encryption, where there is one.
        phase: The one that is answered.
        parts: Of its step, those that were answered.
        written: The update as it is encrypted.
        dealt: Hash of the sealed context that it is encrypted for.
    """

    name: str
    session: bytes
    update: Update
    asked: Seat
    next: str
    seeds: Mapping[str, bytes] = field(default_factory=dict)
    roster: Roster | None = None
    shares: dict[str, bytes] = field(default_factory=dict)
    sharers: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()
    mine: Layout = NOTHING
    upcoming: "Talk | None" = None
    known: list[bytes | None] = field(default_factory=list)
    context: Any = None
    phase: Phase = NOWHERE
    parts: set[int] = field(default_factory=set)
    written: Any = None
    dealt: str = ""

    def takes(self, asked: Phase) -> bool:
        """Whether a phase may be answered now."""
        fits = not self.parts or asked.of == self.phase.of
        return asked.step == self.next and fits and asked.number not in self.parts


@dataclass(frozen=True)
class SeatedSite(ABC):
    """A site in a conversation; see `medfed.core.aggregator.Aggregator.answer`.

    Attributes:
        seat: Who answers, and whom it knows.
        least: Sites that the study wants in a sum at least.
    """

    seat: Seat
    least: int

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Answer one phase.

        Raises:
            Refused: Whatever would let somebody see this site's update alone.
        """
        asked = Phase.read(phase) or NOWHERE
        if asked.step not in (KEYS, *self.steps) or (
            asked.of > 1 and asked.step not in self.parted
        ):
            raise Refused("malformed-order", "the order names a phase that its aggregator lacks")
        if asked.step == KEYS:
            return self._keys(asked.name, work), mine
        talk = self._talk(asked)
        try:
            reply = self.steps[asked.step](talk, received)
        except BaseException:  # whatever it was: the conversation is over, and held in vain
            talk.update, talk.written, talk.context = Update(), None, None
            raise
        self._go_on(talk)
        return reply, mine

    @property
    @abstractmethod
    def steps(self) -> Mapping[str, Callable[[Talk, Update], Update]]:
        """The steps after the keys, in their order, and what answers each."""

    @property
    def parted(self) -> Container[str]:
        """Those that may be answered in parts, in any order."""
        return ()

    @property
    @abstractmethod
    def terms(self) -> list[Any]:
        """What all sites must take for granted alike."""

    def _talk(self, asked: Phase) -> Talk:
        talk: Talk | None = self.seat.drawer.get(DRAWER)
        if talk is None or talk.name != asked.name:
            remedy = "The coordinator begins the round again, under fresh keys"
            raise Refused("lost-conversation", remedy=remedy)
        if not talk.takes(asked):
            message_ = f"the step {asked.step!r} was answered already, or comes too soon"
            raise Refused("unsafe-sum", message_)
        # Before the answer is made: should it fail, that was the conversation's end. It must not be
        # tried a second time, and what builds on it must not be answered.
        talk.next, talk.phase = "", asked
        return talk

    def _go_on(self, talk: Talk) -> None:
        """After an answer: to the other parts of its step, or to the step after it, if any."""
        step = talk.phase.step
        talk.parts.add(talk.phase.number)
        if len(talk.parts) < talk.phase.of:
            talk.next = step
            return
        talk.parts.clear()
        phases = (*self.steps, "")
        talk.next = phases[phases.index(step) + 1]

    def _keys(self, name: str, work: Callable[[], Update]) -> Update:
        known = [site for site in self.seat.sites if site in self.seat.peers]
        if len(known) < self._fewest or self.seat.site not in known:
            missing = ", ".join(site for site in self.seat.sites if site not in known)
            remedy = "Run `medfed site pin` there with the keys of the study's sites"
            raise Refused("unknown-peer", f"no pinned key of {missing}", remedy=remedy)
        self.seat.drawer.pop(DRAWER, None)
        update = unpacked(work())
        session = keys.derive(self.seat.session, "session", name)
        talk = Talk(name, session, update, self.seat, next(iter(self.steps)))
        talk.mine = Layout.of(update)
        advert = self._advert(talk)
        self.seat.drawer[DRAWER] = talk
        return message(
            {
                "session": coded(session),
                "terms": self.terms,
                "layout": talk.mine.to_json(),
                "fewest": self._fewest,
                "advert": advert.to_json(),
            }
        )

    def _advert(self, talk: Talk) -> Advert:
        """Fresh keys of a conversation, signed for it."""
        seeds = talk.seeds = {which: keys.new_seed() for which in ("seal", "mask", "self")}
        seal, mask = (keys.public_bytes(seeds[which]) for which in ("seal", "mask"))
        parts = tuple(sorted(marks(talk.session, talk.mine).values()))
        advert = Advert(seal, mask, keys.commitment(seeds["self"]), parts)
        return replace(
            advert, signature=self.seat.sign(advert.signed(talk.session, self.seat.site))
        )

    @property
    def _fewest(self) -> int:
        return max(FEWEST, self.least, self.seat.least)

    def _roster(self, talk: Talk, listed: Mapping[str, Any], layout: Layout) -> Roster:
        adverts = {site: Advert.from_json(inner(listed, site)) for site in listed}
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
        roster = Roster(talk.session, self.terms, layout, adverts)
        if talk.mine.clashes(layout) or layout.size > talk.mine.size + MORE:
            raise Refused("malformed-order", "what is to be summed is not what this site was asked")
        self._check_parts(roster, adverts)
        return roster

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

    def _check_parts(self, roster: Roster, among: Iterable[str]) -> None:
        """A part that few sites have is a sum over these few, whoever else adds zeros to it."""
        rare = roster.rare(among, self._fewest)
        if rare:
            message_ = f"fewer than {self._fewest} sites have {rare[0][2:][:80]!r}"
            raise Refused("unsafe-sum", f"{message_}: its sum would be over them alone")

    def _check_question(self, talk: Talk) -> None:
        """Sums of one question over different sites differ by what single sites said."""
        now = names_of(talk.survivors)
        for before in talk.asked.summed():
            if before in ("", now):
                continue
            message_ = f"this was summed already, over {before}; another sum would tell them apart"
            remedy = "Wait for the same sites, or begin the run anew"
            raise Refused("unsafe-sum", message_, remedy=remedy)


def agreed(talk: Talk) -> Roster:
    """The roster of a conversation in which a step was answered that fixes it."""
    assert talk.roster is not None  # noqa: S101  # else no later step is answered
    return talk.roster


def unpacked(update: Update) -> Update:
    """An update whose compressed tensors are whole again."""
    return Update(unpack(update.tensors), update.weights, update.stats)


def names_of(sites: Iterable[str]) -> str:
    """Sites in words, in one order always."""
    return ", ".join(sorted(sites))
