"""The site's half of an encrypted sum: one site deals the key, all encrypt, two decrypt."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medfed.aggregators.encrypted.pieces import digest_of, packed, unpacked
from medfed.aggregators.encrypted.scheme import Scheme
from medfed.aggregators.secure import keys
from medfed.aggregators.secure.layout import Layout
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
    """The encrypted sum at a seat.

    Attributes:
        scheme: The encryption.
    """

    scheme: Scheme

    @property
    def steps(self) -> Mapping[str, Callable[[Talk, Update], Update]]:
        """Three after the keys."""
        return {CONTEXT: self._context, ENCRYPT: self._encrypt, OPEN: self._open}

    @property
    def parted(self) -> Container[str]:
        """What is sent while the rest is encrypted."""
        return (ENCRYPT,)

    @property
    def terms(self) -> list[Any]:
        """The parameters."""
        return self.scheme.terms

    # --- 2: the key -------------------------------------------------------------------------------

    def _context(self, talk: Talk, received: Update) -> Update:
        table = table_of(received)
        layout = Layout.from_json(table.get("layout"))
        roster = talk.roster = self._roster(talk, inner(table, "adverts"), layout)
        me = self.seat.site
        if me != dealer_of(roster):
            return message({})
        made = talk.context = self.scheme.make()
        content = keys.derive(keys.new_seed() + keys.new_seed(), "content")
        whole = self.scheme.with_key(made)
        sealed = ChaCha20Poly1305(content).encrypt(_NONCE, whole, bound_to(roster))
        boxes = {}
        for peer in roster.sites:
            if peer != me:
                secret = keys.shared(talk.seeds["seal"], roster.adverts[peer].seal)
                key = roster.share_key(secret, me, peer)
                boxes[peer] = coded(keys.seal_shares(key, content, roster.bound(me, peer)))
        table = {"sealed": boxes, "public": coded(self.scheme.without_key(made))}
        return message(table, {"context": np.frombuffer(sealed, np.uint8)})

    # --- 3: the encrypted part --------------------------------------------------------------------

    def _encrypt(self, talk: Talk, received: Update) -> Update:
        sealed = received.tensors.get(f"{GROUP}/context")
        if sealed is None or sealed.dtype != np.uint8:
            raise Refused("malformed-order", "the order lacks the encryption context")
        count = self.scheme.count(agreed(talk).layout)
        if talk.phase.of > count:
            raise Refused("malformed-order", "the order asks for more parts than there are")
        if not talk.parts:
            self._write(talk, sealed, table_of(received))
        if digest_of(sealed) != talk.dealt:
            raise Refused("unsafe-sum", "parts of one update are wanted for several contexts")
        which = talk.phase.share(count)
        ciphertexts = self.scheme.encrypt(talk.context, talk.written, which)
        arrays = packed(ciphertexts, which.stop - which.start)
        if len(talk.parts) == talk.phase.of - 1:
            talk.written = None
        return message({"context": talk.dealt}, arrays)

    def _write(self, talk: Talk, sealed: Array, table: Mapping[str, Any]) -> None:
        """Make ready what is encrypted, and what it is encrypted by."""
        roster = agreed(talk)
        if self.seat.site != dealer_of(roster):
            blob = _unsealed(self._content(talk, roster, table), sealed.tobytes(), roster)
            talk.context = self.scheme.opened(blob, secret=True)
        talk.dealt = digest_of(sealed)
        talk.written = self.scheme.written(talk.update, roster.layout)
        talk.update = Update()  # it is needed no more

    def _content(self, talk: Talk, roster: Roster, table: Mapping[str, Any]) -> bytes:
        me, dealer = self.seat.site, dealer_of(roster)
        secret = keys.shared(talk.seeds["seal"], roster.adverts[dealer].seal)
        key = roster.share_key(secret, dealer, me)
        return keys.open_shares(key, decoded(table, "sealed"), roster.bound(dealer, me))

    # --- 4: the sum, opened -----------------------------------------------------------------------

    def _open(self, talk: Talk, received: Update) -> Update:
        roster, table = agreed(talk), table_of(received)
        self.seat.drawer.pop(DRAWER)
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
        count = len(talk.survivors)
        values = self.scheme.decrypt(talk.context, unpacked(received), roster.layout, count)
        return message({}, {"values": values})


def dealer_of(roster: Roster) -> str:
    """The site that makes the key: the first by name."""
    return roster.sites[0]


def bound_to(roster: Roster) -> bytes:
    """What the sealed key is bound to."""
    return canonical_json(["medfed encryption context", roster.digest])


def _unsealed(content: bytes, sealed: bytes, roster: Roster) -> bytes:
    try:
        return ChaCha20Poly1305(content).decrypt(_NONCE, sealed, bound_to(roster))
    except InvalidTag:
        message_ = "the encryption context is not the one that a peer sent"
        raise Refused("unsafe-sum", message_) from None
