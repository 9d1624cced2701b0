"""The site's half of an encrypted sum: one site deals the key, all encrypt, two decrypt."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medfed.aggregators.encrypted import context as ckks
from medfed.aggregators.secure import keys
from medfed.aggregators.secure.layout import Layout, arrays_of
from medfed.aggregators.secure.messages import GROUP, coded, decoded, inner, message, table_of
from medfed.aggregators.secure.rules import Roster
from medfed.aggregators.secure.seated import DRAWER, SeatedSite, Talk, agreed, names_of
from medfed.core.errors import Refused
from medfed.core.files import canonical_json
from medfed.core.update import Array, Update

CONTEXT, ENCRYPT, OPEN = "context", "encrypt", "open"
_NONCE = bytes(12)
"""Sound because a content key seals one context."""


@dataclass(frozen=True)
class EncryptingSite(SeatedSite):
    """The encrypted sum at a seat."""

    @property
    def steps(self) -> Mapping[str, Callable[[Talk, Update], Update]]:
        """Three after the keys."""
        return {CONTEXT: self._context, ENCRYPT: self._encrypt, OPEN: self._open}

    @property
    def terms(self) -> list[Any]:
        """The parameters."""
        return ["ckks", ckks.DEGREE, *ckks.PRIMES, ckks.SCALE]

    # --- 2: the key -------------------------------------------------------------------------------

    def _context(self, talk: Talk, received: Update) -> Update:
        table = table_of(received)
        layout = Layout.from_json(table.get("layout"))
        roster = talk.roster = self._roster(talk, inner(table, "adverts"), layout)
        me = self.seat.site
        if me != dealer_of(roster):
            return message({})
        made, content = ckks.make(), keys.derive(keys.new_seed() + keys.new_seed(), "content")
        talk.context = made
        sealed = ChaCha20Poly1305(content).encrypt(_NONCE, ckks.with_key(made), _bound(roster))
        boxes = {}
        for peer in roster.sites:
            if peer != me:
                secret = keys.shared(talk.seeds["seal"], roster.adverts[peer].seal)
                key = roster.share_key(secret, me, peer)
                boxes[peer] = coded(keys.seal_shares(key, content, roster.bound(me, peer)))
        table = {"sealed": boxes, "public": coded(ckks.without_keys(made))}
        return message(table, {"context": np.frombuffer(sealed, np.uint8)})

    # --- 3: the encrypted part --------------------------------------------------------------------

    def _encrypt(self, talk: Talk, received: Update) -> Update:
        roster = agreed(talk)
        sealed = received.tensors.get(f"{GROUP}/context")
        if sealed is None or sealed.dtype != np.uint8:
            raise Refused("malformed-order", "the order lacks the encryption context")
        if self.seat.site != dealer_of(roster):
            content = self._content(talk, roster, table_of(received))
            talk.context = _unsealed(content, sealed.tobytes(), roster)
        numbers = numbers_of(talk.update, roster.layout)
        talk.update = Update()  # it is needed no more
        ciphertexts = packed(encrypted(talk.context, numbers))
        talk.encrypted = True
        return message({"context": digest_of(sealed)}, ciphertexts)

    def _content(self, talk: Talk, roster: Roster, table: Mapping[str, Any]) -> bytes:
        me, dealer = self.seat.site, dealer_of(roster)
        secret = keys.shared(talk.seeds["seal"], roster.adverts[dealer].seal)
        key = roster.share_key(secret, dealer, me)
        return keys.open_shares(key, decoded(table, "sealed"), roster.bound(dealer, me))

    # --- 4: the sum, opened -----------------------------------------------------------------------

    def _open(self, talk: Talk, received: Update) -> Update:
        roster, table = agreed(talk), table_of(received)
        self.seat.drawer.pop(DRAWER)
        if not talk.encrypted:
            raise Refused("unsafe-sum", "this site has no part in the sum that it is to open")
        if "participants" not in table:
            return message({})
        summed: Any = table["participants"]
        named = isinstance(summed, list) and all(isinstance(one, str) for one in summed)
        if not named or not set(summed) <= set(roster.sites):
            raise Refused("unsafe-sum", "the sum is over sites that are not on the list")
        self._check_enough(summed, 0)
        talk.survivors = tuple(sorted(set(summed)))
        self._check_parts(roster, talk.survivors)
        self._check_question(talk)
        talk.asked.record(names_of(talk.survivors))
        counted = roster.layout.narrow.size
        values = ckks.decrypt(talk.context, unpacked(received), roster.layout.size + 1)
        if not abs(values[counted] - len(talk.survivors)) < 0.01:
            message_ = "the ciphertexts are not the sum of those sites' under this key"
            raise Refused("unsafe-sum", message_)
        return message({}, {"values": np.delete(values, counted)})


def dealer_of(roster: Roster) -> str:
    """The site that makes the key: the first by name."""
    return roster.sites[0]


@dataclass(frozen=True)
class Numbers:
    """All numbers of an update, in groups that never share a ciphertext.

    CKKS is good to so many digits of the largest number in a ciphertext: a large statistic would
    blur the model beside it.

    Attributes:
        narrow: What the model learns, and a one by which the sum tells of how many it is.
        figures: Statistics, buffers and whole numbers.
        weights: Of the groups: the means are divided by them.
    """

    narrow: Array
    figures: Array
    weights: Array


def numbers_of(update: Update, layout: Layout) -> Numbers:
    """The numbers of an update, float64; zeros where it lacks a part."""
    arrays, (first, second, _) = arrays_of(update), sizes_of(layout)
    narrow, wide = np.ones(first), np.empty(layout.wide.size)
    layout.narrow.filler(arrays).fill(0, first - 1, 1.0, narrow[:-1])
    layout.wide.filler(arrays).fill(0, wide.size, 1.0, wide)
    return Numbers(narrow, wide[:second], wide[second:])


def sizes_of(layout: Layout) -> tuple[int, int, int]:
    """How many numbers each group has. Weights come last among the parts, sorted as these are."""
    weights = sum(part.key.startswith("w:") for part in layout.parts)
    return layout.narrow.size + 1, layout.wide.size - weights, weights


def encrypted(context: Any, numbers: Numbers) -> Iterator[bytes]:
    """The ciphertexts of all groups, one after another.

    Raises:
        Refused: ``not-finite``, which a number beyond all reason is taken for too.
    """
    yield from ckks.encrypt(context, numbers.narrow, ckks.NARROW)
    yield from ckks.encrypt(context, numbers.figures)
    yield from ckks.encrypt(context, numbers.weights)


def digest_of(sealed: Array) -> str:
    """Which context a ciphertext is of."""
    return hashlib.sha256(sealed.tobytes()).hexdigest()


def packed(ciphertexts: Iterable[bytes]) -> dict[str, Array]:
    """Ciphertexts as arrays of a message; each is let go as soon as it is copied."""
    whole, sizes = bytearray(), []
    for one in ciphertexts:
        whole += one
        sizes.append(len(one))
    return {"ciphertexts": np.frombuffer(whole, np.uint8), "sizes": np.array(sizes, np.int64)}


def unpacked(received: Update) -> Any:
    """The ciphertexts of a message.

    Raises:
        Refused: ``malformed-order``.
    """
    blob = received.tensors.get(f"{GROUP}/ciphertexts")
    sizes = received.tensors.get(f"{GROUP}/sizes")
    if blob is None or sizes is None or sizes.dtype != np.int64 or blob.dtype != np.uint8:
        raise Refused("malformed-order", "the order lacks the ciphertexts")
    ends = np.cumsum(sizes)
    if np.any(sizes < 0) or ends[-1:].tolist() != [blob.size]:
        raise Refused("malformed-order", "the order lacks ciphertexts")
    return (blob[end - size : end].tobytes() for size, end in zip(sizes, ends, strict=True))


def _unsealed(content: bytes, sealed: bytes, roster: Roster) -> Any:
    try:
        blob = ChaCha20Poly1305(content).decrypt(_NONCE, sealed, _bound(roster))
    except InvalidTag:
        message_ = "the encryption context is not the one that a peer sent"
        raise Refused("unsafe-sum", message_) from None
    return ckks.opened(blob, secret=True)


def _bound(roster: Roster) -> bytes:
    return canonical_json(["medfed ckks context", roster.digest])
