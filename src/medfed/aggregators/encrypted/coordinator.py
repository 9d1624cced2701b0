"""The coordinator's half of an encrypted sum: it relays sealed keys and adds ciphertexts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medfed.aggregators.encrypted import context as ckks
from medfed.aggregators.encrypted.site import CONTEXT, ENCRYPT, OPEN, dealer_of, digest_of, packed
from medfed.aggregators.secure.coordinator import Conversation, TooFew
from medfed.aggregators.secure.messages import GROUP, decoded, inner, message, table_in
from medfed.aggregators.secure.rules import FEWEST, Roster
from medfed.core.aggregator import Gathered, Spooled
from medfed.core.errors import RunError, WireError
from medfed.core.update import Array, Update

OPENERS = 2
"""Sites that decrypt the sum; what they find is compared."""


class EncryptedConversation(Conversation):
    """From keys to the sum, in four exchanges."""

    def hold(self) -> Gathered:
        """See `Conversation.hold`.

        Raises:
            TooFew: A step had too few answers, or the site that deals the key was lost.
            RunError: What came cannot be added, or two sites decrypted it differently.
        """
        roster = self.keys()
        boxes, public, sealed = self._dealt(roster)
        parts = self._parts(roster, boxes, sealed)
        total = packed(added(public, parts))
        values = self._opened(roster, [part.site for part in parts], total)
        size = roster.layout.narrow.size
        update = roster.layout.update(values[:size].astype(np.float32), values[size:])
        return Gathered(update, tuple(part.site for part in parts), notes=_notes(update))

    def _dealt(self, roster: Roster) -> tuple[dict[str, Any], Any, Array]:
        adverts = {site: advert.to_json() for site, advert in roster.adverts.items()}
        table = message({"adverts": adverts, "layout": roster.layout.to_json()})
        replies = {r.site: r for r in self.step(CONTEXT, dict.fromkeys(roster.sites, table))}
        dealt = replies.get(dealer_of(roster))
        if dealt is None:
            raise TooFew(len(replies), len(roster.sites), len(roster.sites))
        found = table_in(dealt)
        public = ckks.opened(decoded(found, "public"), secret=False)
        return inner(found, "sealed"), public, _array(dealt, "context", np.uint8)

    def _parts(self, roster: Roster, boxes: Mapping[str, str], sealed: Array) -> list[Spooled]:
        orders = {
            site: message({"sealed": boxes.get(site, "")}, {"context": sealed})
            for site in roster.sites
        }
        parts = [
            part
            for part in self.step(ENCRYPT, orders)
            if part.site in roster.adverts and table_in(part).get("context") == digest_of(sealed)
        ]
        if len(parts) < FEWEST:
            raise TooFew(len(parts), FEWEST, len(roster.sites))
        return parts

    def _opened(self, roster: Roster, sites: Sequence[str], total: dict[str, Array]) -> Array:
        order = message({"participants": list(sites)}, total)
        nothing = message({})
        orders = {site: order if site in sites[:OPENERS] else nothing for site in roster.sites}
        found = {r.site: r for r in self.step(OPEN, orders) if f"{GROUP}/values" in r.names()}
        if len(found) < OPENERS:
            raise TooFew(len(found), OPENERS, len(roster.sites))
        one, other = (_array(r, "values", np.float64) for r in found.values())
        if one.shape != (roster.layout.size,) or other.shape != one.shape:
            raise WireError("a site decrypted something else")
        # Each added noise of its own, and decoding is good to so many digits of the largest.
        slack = 2 * ckks.ERROR + 2.0**-46 * float(np.abs(one).max(initial=0.0))
        if not np.all(np.abs(one - other) <= slack):
            names = " and ".join(found)
            raise RunError(
                f"{names} decrypted the sum differently: one of them is not to be trusted",
                remedy="Look into both, then go on with --resume",
            )
        return (one + other) / 2


def added(public: Any, parts: Sequence[Spooled]) -> Iterator[bytes]:
    """The ciphertexts of the sum, one after another.

    Raises:
        RunError: A site's are of another context.
        WireError: Or none at all.
    """
    import tenseal

    streams = [_ciphertexts(part) for part in parts]
    for pieces in zip(*streams, strict=True):
        total = None
        for part, blob in zip(parts, pieces, strict=True):
            try:
                piece = tenseal.ckks_vector_from(public, blob)
                total = piece if total is None else total.add_(piece)
            except (ValueError, RuntimeError):
                message_ = f"{part.site} sent a ciphertext of another context"
                raise RunError(message_, remedy="Look into that site") from None
        assert total is not None  # noqa: S101  # there are parts
        yield total.serialize()


def _ciphertexts(part: Spooled) -> Iterator[bytes]:
    sizes, name = _array(part, "sizes", np.int64), f"{GROUP}/ciphertexts"
    ends = np.cumsum(sizes)
    if name not in part.names() or np.any(sizes < 0) or part.shape(name) != (ends[-1],):
        raise WireError(f"site {part.site} sent no ciphertexts")
    for size, end in zip(sizes, ends, strict=True):
        yield part.chunk(name, int(end - size), int(end)).tobytes()


def _array(reply: Spooled, name: str, dtype: type) -> Array:
    full = f"{GROUP}/{name}"
    if full not in reply.names() or len(reply.shape(full)) != 1:
        raise WireError(f"site {reply.site} sent no {name}")
    found = reply.chunk(full, 0, reply.shape(full)[0])
    if found.dtype != dtype:
        raise WireError(f"site {reply.site} sent {name} of a wrong type")
    return found


def _notes(total: Update) -> dict[str, Any]:
    weights = [weight for weight in total.weights.values() if weight > 0]
    return {"rounding": ckks.ERROR / min(weights)} if weights else {}
