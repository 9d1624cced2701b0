"""The coordinator's half: it relays, adds up words that mean nothing, and takes the masks off."""

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.fixed_point import Codec, Narrow, Wide
from medfed.aggregators.secure.layout import Layout, Region, misfits
from medfed.aggregators.secure.masks import Masks, Stream
from medfed.aggregators.secure.messages import GROUP, coded, decoded, inner, message, table_in
from medfed.aggregators.secure.rules import FEWEST, Advert, Roster, sign_of
from medfed.aggregators.secure.seated import KEYS
from medfed.aggregators.secure.site import AGREE, MASKED, SHARES, UNMASK
from medfed.core.aggregator import Ask, Gathered, Spooled
from medfed.core.errors import QuorumError, RunError
from medfed.core.update import Array, Update

log = logging.getLogger(__name__)


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


class Conversation:
    """One conversation, under a name of its own: nothing of an earlier one fits into it.

    Args:
        ask: Sends one phase to the participants and gives the replies.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._name = secrets.token_hex(8)

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
        return Gathered(total, survivors, notes=_notes(roster, total, len(survivors), clipped))

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
        tables = _readable(self._step(KEYS, {}))
        if len(tables) < FEWEST:
            raise TooFew(len(tables), FEWEST, len(tables))
        session = _common(tables, "session")
        terms = _common(tables, "terms")
        layouts: dict[str, Layout] = {}
        adverts: dict[str, Advert] = {}
        for site, table in tables.items():
            if (table.get("session"), table.get("terms")) == (session, terms):
                layouts[site] = Layout.from_json(table.get("layout"))
                adverts[site] = Advert.from_json(inner(table, "advert"))
        for site, complaint in misfits(layouts).items():
            log.warning("%s is left out: %s", site, complaint)
            del layouts[site], adverts[site]
        layout = Layout.union(layouts.values())
        return Roster(decoded({"session": session}, "session", 32), terms, layout, adverts)

    def _shares(self, roster: Roster) -> dict[str, dict[str, str]]:
        adverts = {site: advert.to_json() for site, advert in roster.adverts.items()}
        table = {"adverts": adverts, "layout": roster.layout.to_json()}
        found = _readable(self._step(SHARES, dict.fromkeys(roster.sites, table)))
        sealed = {site: inner(found[site], "sealed") for site in found if site in roster.adverts}
        return _enough(roster, sealed)

    def _masked(self, roster: Roster, sealed: Mapping[str, Mapping[str, str]]) -> list[Spooled]:
        tables = {
            site: {"sealed": {by: box[site] for by, box in sealed.items() if by != site}}
            for site in sealed
        }
        parts = {part.site: part for part in self._step(MASKED, tables) if part.site in sealed}
        fitting = {site: part for site, part in parts.items() if _fits(part, roster)}
        return list(_enough(roster, fitting).values())

    def _agree(self, roster: Roster, survivors: Sequence[str]) -> dict[str, str]:
        table = {"survivors": list(survivors)}
        found = _readable(self._step(AGREE, dict.fromkeys(survivors, table)))
        signatures = {site: coded(decoded(found[site], "signature", 64)) for site in found}
        return _enough(roster, signatures)

    def _unmask(
        self, roster: Roster, survivors: Sequence[str], signatures: Mapping[str, str]
    ) -> dict[str, dict[str, Any]]:
        # Those who did not sign may be there again; asking them costs nothing.
        table = {"signatures": dict(signatures)}
        return _enough(roster, _readable(self._step(UNMASK, dict.fromkeys(survivors, table))))

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


def _readable(replies: Sequence[Spooled]) -> dict[str, dict[str, Any]]:
    return {reply.site: table_in(reply) for reply in replies}


def _common(tables: Mapping[str, Mapping[str, Any]], name: str) -> Any:
    """What most of them say."""
    said = Counter(repr(table.get(name)) for table in tables.values())
    most = said.most_common(1)[0][0]
    return next(table.get(name) for table in tables.values() if repr(table.get(name)) == most)


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
        (roster.sites.index(holder), decoded(inner(table, which), site, keys.SEED))
        for holder, table in opened.items()
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
