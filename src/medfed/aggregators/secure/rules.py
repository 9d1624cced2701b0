"""What both halves of a secure sum must agree upon, and what the sites insist on."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from medfed.aggregators.secure.keys import derive
from medfed.aggregators.secure.layout import Layout
from medfed.aggregators.secure.messages import coded, decoded
from medfed.core.errors import WireError
from medfed.core.files import canonical_json

MARK = 32
"""Characters of a part's mark."""
MASK_KEY = 16
"""Bytes of a mask's AES key: as many as the seeds have that are shared."""
MOST_SITES = 256
"""Sites whose words add up without overflowing, and whose shares have places."""
FEWEST = 3
"""Sites below which a sum hides nothing: of two, each knows the other's part."""


def threshold(sites: int) -> int:
    """How many of so many sites must agree: more than two thirds (Bonawitz et al. 2017, §6.2)."""
    return 2 * sites // 3 + 1


def safe_colluders(sites: int, fewest: int) -> int:
    """How many sites may help a lying coordinator and still learn no single site's update.

    The coordinator chooses who takes part: ``m`` sites, of which ``t`` must agree. With ``c``
    colluders and ``m - c`` others, of whom each hears one story, both stories find ``t`` once
    ``2 (t - c) <= m - c``. And two honest sites must be left among whom to hide.

    Args:
        sites: Of the study.
        fewest: Sites below which no sum is made.
    """
    fewest = max(FEWEST, fewest)
    stories = [2 * threshold(m) - m - 1 for m in range(fewest, max(sites, fewest) + 1)]
    return min([fewest - 2, *stories])


@dataclass(frozen=True, slots=True)
class Advert:
    """What a site says at the beginning: its public keys, signed with its pinned key.

    Attributes:
        seal: X25519, for the shares that peers send it; 32 bytes.
        mask: X25519, for the masks it has in common with peers; 32 bytes.
        commitment: To the seed of its own mask; 32 bytes.
        parts: Marks of what it will add to the sum, by which peers count who has a part.
        signature: Ed25519 over all that and the session; 64 bytes.
    """

    seal: bytes
    mask: bytes
    commitment: bytes
    parts: tuple[str, ...]
    signature: bytes = b""

    def signed(self, session: bytes, site: str) -> bytes:
        """What the signature is over."""
        keys = [coded(one) for one in (self.seal, self.mask, self.commitment)]
        whole = ["medfed secure sum: keys", coded(session), site, *keys, list(self.parts)]
        return canonical_json(whole)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        keys = {name: coded(getattr(self, name)) for name in _RAW}
        return {**keys, "parts": list(self.parts)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Advert":
        """Read one that came from outside.

        Raises:
            WireError: It is none.
        """
        seal, mask, commitment, signature = (decoded(table, name, _RAW[name]) for name in _RAW)
        parts = table.get("parts")
        if not isinstance(parts, list) or not all(map(_is_mark, parts)):
            raise WireError("the parts of a secure sum cannot be read")
        return cls(seal, mask, commitment, tuple(parts), signature)


def _is_mark(one: Any) -> bool:
    return isinstance(one, str) and len(one) == MARK


_RAW = {"seal": 32, "mask": 32, "commitment": 32, "signature": 64}
"""What of an advert is bytes, and how many."""


def marks(session: bytes, layout: Layout) -> dict[str, str]:
    """A mark for each part of a layout, by key: a hash that means nothing elsewhere."""
    whole = {p.key: [coded(session), p.key, list(p.shape)] for p in layout.parts}
    return {
        key: hashlib.sha256(canonical_json(["medfed secure sum: part", *one])).hexdigest()[:MARK]
        for key, one in whole.items()
    }


@dataclass(frozen=True)
class Roster:
    """Who sums what with whom, under which keys: every label of a conversation is bound to it.

    Attributes:
        session: Hash of what the conversation is about, its own random name included.
        terms: Bits, reach and number of sites: what the modulus follows from.
        layout: What is summed.
        adverts: The sites' keys, by site.
        fewest: Sites that must have a part, at the coordinator: the most that any of them asks for.
        root: What the adverts are signed for, where that was before it was known what is asked;
            else the session.
    """

    session: bytes
    terms: Sequence[Any]
    layout: Layout
    adverts: Mapping[str, Advert]
    fewest: int = FEWEST
    root: bytes = b""

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The sites by name: a site's place among them is the place of its shares."""
        return tuple(sorted(self.adverts))

    def rare(self, among: Iterable[str], fewest: int) -> list[str]:
        """Keys of parts that fewer of some sites have than must be in a sum."""
        wanted = marks(self.root or self.session, self.layout)
        said = [set(self.adverts[site].parts) for site in set(among)]
        return [key for key, mark in wanted.items() if sum(mark in one for one in said) < fewest]

    @property
    def threshold(self) -> int:
        """How many of them must agree."""
        return threshold(len(self.sites))

    @cached_property
    def digest(self) -> str:
        """Hash of all of it."""
        adverts = [[site, self.adverts[site].to_json()] for site in self.sites]
        sessions = [coded(self.session), coded(self.root)]
        whole = [*sessions, list(self.terms), self.layout.to_json(), adverts]
        return hashlib.sha256(canonical_json(whole)).hexdigest()

    @property
    def next_root(self) -> bytes:
        """What the adverts of the round after this one are signed for: no other round has it."""
        return derive(bytes.fromhex(self.digest), "next")

    def over(self, session: bytes) -> "Roster":
        """The same keys, now that it is known what is asked: every mask is bound to it."""
        return replace(self, session=session, root=self.root or self.session)

    def pair_key(self, secret: bytes, one: str, other: str) -> bytes:
        """The AES key of the mask that two sites have in common."""
        return derive(secret, "pair", self.digest, *sorted((one, other)), size=MASK_KEY)

    def self_key(self, seed: bytes, site: str) -> bytes:
        """The AES key of a site's own mask."""
        return derive(seed, "self", self.digest, site, size=MASK_KEY)

    def share_key(self, secret: bytes, sender: str, receiver: str) -> bytes:
        """The key that seals what one site sends another."""
        return derive(secret, "shares", self.digest, sender, receiver)

    def bound(self, sender: str, receiver: str) -> list[object]:
        """What sealed shares are bound to."""
        return ["medfed secure sum: shares", self.digest, sender, receiver]

    def survivors_signed(self, sharers: Iterable[str], survivors: Iterable[str]) -> bytes:
        """What a site signs when it agrees on whose parts are in the sum."""
        what = ["medfed secure sum: survivors", self.digest, sorted(sharers), sorted(survivors)]
        return canonical_json(what)


def sign_of(site: str, peer: str) -> int:
    """How a site's part holds the mask it has in common with a peer: the two cancel."""
    return 1 if site < peer else -1
