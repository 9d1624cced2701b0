"""The coordinator's half: it relays, adds up words that mean nothing, and takes the masks off."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.fixed_point import Codec, Narrow, Wide
from medfed.aggregators.secure.layout import Region
from medfed.aggregators.secure.masks import Masks, Stream
from medfed.aggregators.secure.messages import GROUP, coded, decoded, inner, message
from medfed.aggregators.secure.opening import Opening, agreed_roster, readable
from medfed.aggregators.secure.rules import FEWEST, Roster, sign_of
from medfed.aggregators.secure.seated import KEYS
from medfed.aggregators.secure.site import AGREE, MASKED, SHARES, UNMASK
from medfed.core.aggregator import Ask, Gathered, Spooled
from medfed.core.errors import QuorumError, RunError
from medfed.core.update import Array, Update

log = logging.getLogger(__name__)
T = TypeVar("T")


class TooFew(QuorumError):
    """Not enough sites are left for this conversation; perhaps for another among fewer.

    Args:
        left: How many are.
        needed: How many must be.
        begun: How many began it.
    """

    def __init__(self, left: int, needed: int, begun: int) -> None:
        message = f"{left} of {begun} sites are left in the secure sum, and {needed} must be"
        super().__init__(message, remedy="Mend the sites and go on with --resume")
        self.left = left

    def naming(self, left_out: Mapping[str, str]) -> "QuorumError":
        """The same, with the sites whose answers could not be used."""
        if not left_out:
            return self
        said = "; ".join(f"{site}: {complaint}" for site, complaint in left_out.items())
        return QuorumError(f"{self.message} ({said})", remedy=self.remedy)


class Conversation:
    """One conversation, under a name of its own: nothing of an earlier one fits into it.

    Args:
        ask: Sends one phase to the participants and gives the replies.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._name = secrets.token_hex(8)
        self.left_out: dict[str, str] = {}

    def hold(self) -> Gathered:
        """From keys to the sum.

        Raises:
            TooFew: A step had fewer answers than the sites insist on.
            QuorumError: Or than the study asks for.
            RunError: The masks did not come off.
        """
        roster = self.keys()
        sealed = self._shares(roster)
        parts = self._masked(roster, sealed)
        survivors = tuple(part.site for part in parts)
        signatures = self._agree(roster, survivors)
        opened = self._unmask(roster, survivors, signatures)
        masks = self._streams(roster, tuple(sealed), survivors, opened)
        total, clipped = _total(roster, parts, masks)
        notes = _notes(roster, total, len(survivors), clipped)
        return Gathered(total, survivors, notes={**notes, **self.omissions()})

    def omissions(self) -> dict[str, Any]:
        """Whose answers could not be used, and why, as a note; nothing where there is nobody."""
        for site, complaint in self.left_out.items():
            log.warning("%s is left out: %s", site, complaint)
        return {"left_out": dict(self.left_out)} if self.left_out else {}

    def step(self, step: str, each: Mapping[str, Update]) -> list[Spooled]:
        """Ask those who are still in it."""
        return list(self._ask(f"{step}-{self._name}", each))

    def _step(self, step: str, tables: Mapping[str, Mapping[str, Any]]) -> list[Spooled]:
        return self.step(step, {site: message(table) for site, table in tables.items()})

    def keys(self) -> Roster:
        """The first step: who takes part, under which keys, and what is summed.

        Raises:
            TooFew: Fewer than a sum hides anything among.
        """
        replies = self._step(KEYS, {})
        openings = readable(replies, Opening.from_json, self.left_out)
        roster = agreed_roster(openings, self.left_out)
        if roster is None:
            raise TooFew(len(replies) - len(self.left_out), FEWEST, len(replies))
        return roster

    def _shares(self, roster: Roster) -> dict[str, dict[str, str]]:
        adverts = {site: advert.to_json() for site, advert in roster.adverts.items()}
        table = {"adverts": adverts, "layout": roster.layout.to_json()}
        replies = self._step(SHARES, dict.fromkeys(roster.sites, table))

        def read(found: dict[str, Any]) -> dict[str, str]:
            return _coded_all(found, "sealed", roster.sites)

        return _enough(roster, self._among(roster.sites, replies, read))

    def _masked(self, roster: Roster, sealed: Mapping[str, Mapping[str, str]]) -> list[Spooled]:
        tables = {
            site: {"sealed": {by: box.get(site, "") for by, box in sealed.items() if by != site}}
            for site in sealed
        }
        fitting: dict[str, Spooled] = {}
        for part in self._step(MASKED, tables):
            if part.site in sealed and _fits(part, roster):
                fitting[part.site] = part
            elif part.site in sealed:
                self.left_out[part.site] = "its words are not those of what is summed"
        found = _enough(roster, fitting)
        if roster.rare(found, roster.fewest):  # the sites would refuse it; fewer parts will do
            raise TooFew(len(found), len(roster.sites), len(roster.sites))
        return list(found.values())

    def _agree(self, roster: Roster, survivors: Sequence[str]) -> dict[str, str]:
        table = {"survivors": list(survivors)}
        replies = self._step(AGREE, dict.fromkeys(survivors, table))

        def read(found: dict[str, Any]) -> str:
            return coded(decoded(found, "signature", 64))

        return _enough(roster, self._among(survivors, replies, read))

    def _unmask(
        self, roster: Roster, survivors: Sequence[str], signatures: Mapping[str, str]
    ) -> dict[str, dict[str, Any]]:
        # Those who did not sign may be there again; asking them costs nothing.
        table = {"signatures": dict(signatures)}
        replies = self._step(UNMASK, dict.fromkeys(survivors, table))

        def read(found: dict[str, Any]) -> dict[str, Any]:
            return {which: _coded_all(found, which, roster.sites) for which in ("masks", "selves")}

        return _enough(roster, self._among(survivors, replies, read))

    def _among(
        self, sites: Sequence[str], replies: Sequence[Spooled], read: Callable[[dict[str, Any]], T]
    ) -> dict[str, T]:
        """What those said who were asked, of what can be read."""
        asked = [reply for reply in replies if reply.site in sites]
        return readable(asked, read, self.left_out)

    def _streams(
        self,
        roster: Roster,
        sharers: Sequence[str],
        survivors: Sequence[str],
        opened: Mapping[str, Mapping[str, Any]],
    ) -> list[Stream]:
        """All that is to be taken off the sum."""
        streams = [
            Stream(roster.self_key(_seed(roster, opened, "selves", site), site), -1)
            for site in survivors
        ]
        for lost in (site for site in sharers if site not in survivors):
            seed = _seed(roster, opened, "masks", lost)
            for site in survivors:
                secret = keys.shared(seed, roster.adverts[site].mask)
                streams.append(Stream(roster.pair_key(secret, site, lost), -sign_of(site, lost)))
        return streams


def _coded_all(table: Mapping[str, Any], name: str, sites: Sequence[str]) -> dict[str, str]:
    """The bytes for each of some sites, as text; those of others are left out."""
    found = inner(table, name)
    return {site: coded(decoded(found, site)) for site in sites if site in found}


def _enough(roster: Roster, found: Mapping[str, Any]) -> dict[str, Any]:
    if len(found) < roster.threshold:
        raise TooFew(len(found), roster.threshold, len(roster.sites))
    return dict(found)


def _fits(part: Spooled, roster: Roster) -> bool:
    """Whether a masked part has the words that the layout asks for."""
    codecs = _codecs(roster)
    for name, (codec, size) in codecs.items():
        full = f"{GROUP}/{name}"
        if full not in part.names() or part.shape(full) != (codec.words * size,):
            return False
        if part.chunk(full, 0, 0).dtype != codec.word:
            return False
    return True


def _codecs(roster: Roster) -> dict[str, tuple[Codec, int]]:
    """How each region of words is read, and its elements, in the order of the masks."""
    regions: tuple[tuple[str, Codec, Region], ...] = (
        ("narrow", Narrow(*roster.terms), roster.layout.narrow),
        ("wide", Wide(), roster.layout.wide),
    )
    found = {name: (codec, region.size) for name, codec, region in regions}
    return {**found, "clipped": (Wide(), 1)}


def _seed(roster: Roster, opened: Mapping[str, Mapping[str, Any]], which: str, site: str) -> bytes:
    """A seed from the peers' shares, checked against what its site committed itself to.

    Raises:
        RunError: Shares are wrong: some site did not keep to the rules.
    """
    shares = [
        (roster.sites.index(holder), bytes.fromhex(table[which][site]))
        for holder, table in opened.items()
        if len(table[which].get(site, "")) == 2 * keys.SEED
    ]
    advert = roster.adverts[site]
    for start in range(len(shares) - roster.threshold + 1):
        seed = keys.join(shares[start : start + roster.threshold])
        right = keys.public_bytes(seed) == advert.mask
        if right if which == "masks" else keys.commitment(seed) == advert.commitment:
            return seed
    raise RunError(
        f"the masks of {site} do not come off: a site sent a wrong share",
        remedy="Nothing was learnt; run the round again with --resume, and look into the sites",
    )


def _total(roster: Roster, parts: Sequence[Spooled], streams: list[Stream]) -> tuple[Update, int]:
    """The sum of all parts, unmasked chunk by chunk."""
    masks, flat = Masks(streams), {}
    for name, (codec, size) in _codecs(roster).items():
        flat[name] = np.empty(size, np.float32 if name == "narrow" else np.float64)
        masks.read(codec, size, _adder(f"{GROUP}/{name}", parts, codec), flat[name])
    return roster.layout.update(flat["narrow"], flat["wide"]), round(float(flat["clipped"][0]))


def _adder(name: str, parts: Sequence[Spooled], codec: Codec) -> Callable[[int, int], Array]:
    """Adds the words of all parts, modulo their size."""
    buffer: Array = np.empty(0, codec.word)

    def total(start: int, stop: int) -> Array:
        nonlocal buffer
        if buffer.size < stop - start:
            buffer = np.empty(stop - start, codec.word)
        words = buffer[: stop - start]
        first, *others = parts
        np.copyto(words, first.chunk(name, start, stop))
        for part in others:
            words += part.chunk(name, start, stop)
        return words

    return total


def _notes(roster: Roster, total: Update, count: int, clipped: int) -> dict[str, Any]:
    """What rounding may have done to the mean, and how much was clipped."""
    step = Narrow(*roster.terms).step
    groups = {part.key[2:].partition("/")[0] for part in roster.layout.narrow.parts}
    weights = [total.weights[group] for group in groups if total.weights.get(group, 0) > 0]
    notes: dict[str, Any] = {"clipped": clipped}
    if weights:
        notes["rounding"] = count * step / 2 / min(weights)
    return notes
