"""The coordinator's half of an encrypted sum: it relays sealed keys and adds ciphertexts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medfed.aggregators.encrypted import context as ckks
from medfed.aggregators.encrypted.site import (
    CONTEXT,
    ENCRYPT,
    OPEN,
    dealer_of,
    digest_of,
    packed,
    sizes_of,
)
from medfed.aggregators.secure.coordinator import Conversation, TooFew
from medfed.aggregators.secure.messages import GROUP, decoded, inner, message, table_in
from medfed.aggregators.secure.rules import FEWEST, Roster
from medfed.core.aggregator import Gathered, Spooled
from medfed.core.errors import QuorumError, Refused, RunError, WireError
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
        notes = {**_notes(update), **self.omissions()}
        return Gathered(update, tuple(part.site for part in parts), notes=notes)

    def _dealt(self, roster: Roster) -> tuple[dict[str, Any], Any, Array]:
        adverts = {site: advert.to_json() for site, advert in roster.adverts.items()}
        table = message({"adverts": adverts, "layout": roster.layout.to_json()})
        replies = {r.site: r for r in self.step(CONTEXT, dict.fromkeys(roster.sites, table))}
        dealer = dealer_of(roster)
        if dealer not in replies:
            raise TooFew(len(replies), len(roster.sites), len(roster.sites))
        try:
            found = table_in(replies[dealer])
            public = ckks.opened(decoded(found, "public"), secret=False)
            return inner(found, "sealed"), public, _array(replies[dealer], "context", np.uint8)
        except (Refused, WireError) as error:
            message_ = f"{dealer} dealt no key that can be used: {error.message}"
            raise RunError(message_, remedy="Look into that site") from None

    def _parts(self, roster: Roster, boxes: Mapping[str, str], sealed: Array) -> list[Spooled]:
        orders = {
            site: message({"sealed": boxes.get(site, "")}, {"context": sealed})
            for site in roster.sites
        }
        digest = digest_of(sealed)
        count = sum(-(-size // ckks.SLOTS) for size in sizes_of(roster.layout))
        replies = [reply for reply in self.step(ENCRYPT, orders) if reply.site in roster.adverts]
        parts = []
        for part in replies:
            try:
                _check_part(part, digest, count)
                parts.append(part)
            except WireError as error:
                self.left_out[part.site] = error.message
        if len(parts) < FEWEST or roster.rare([part.site for part in parts], roster.fewest):
            raise TooFew(len(parts), max(FEWEST, roster.fewest), len(roster.sites))
        return parts

    def _opened(self, roster: Roster, sites: Sequence[str], total: dict[str, Array]) -> Array:
        order, openers = message({"participants": list(sites)}, total), sites[:OPENERS]
        nothing = message({})
        orders = {site: order if site in openers else nothing for site in roster.sites}
        replies = self.step(OPEN, orders)
        found = {reply.site: reply for reply in replies if reply.site in openers}
        if not found:
            raise TooFew(len(replies), len(roster.sites), len(roster.sites))
        if len(found) < OPENERS:  # the other opened it, and opens no sum over others
            message_ = f"of the two sites that decrypt only {next(iter(found))} answered"
            remedy = f"Mend {' and '.join(sorted(set(openers) - set(found)))}; then --resume"
            raise QuorumError(message_, remedy=remedy)
        one, other = (_array(r, "values", np.float64) for r in found.values())
        for site, values in zip(found, (one, other), strict=True):
            if values.shape != (roster.layout.size,):
                raise WireError(f"{site} decrypted something else")
        # Each added noise of its own to what is the same number for both.
        slack = 2 * ckks.ERROR
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


def _check_part(part: Spooled, digest: str, count: int) -> None:
    """Whether a part has as many ciphertexts as the layout asks for, of the context that was dealt.

    Raises:
        WireError: It has not.
    """
    if table_in(part).get("context") != digest:
        raise WireError("it encrypted for another context")
    sizes, name = _array(part, "sizes", np.int64), f"{GROUP}/ciphertexts"
    if sizes.size != count:
        raise WireError(f"it sent {sizes.size} ciphertexts and not {count}")
    whole = sum(int(size) for size in sizes)
    if name not in part.names() or np.any(sizes < 0) or part.shape(name) != (whole,):
        raise WireError("its ciphertexts are not whole")
    if part.chunk(name, 0, 0).dtype != np.uint8:
        raise WireError("its ciphertexts are of a wrong type")


def _ciphertexts(part: Spooled) -> Iterator[bytes]:
    sizes, name = _array(part, "sizes", np.int64), f"{GROUP}/ciphertexts"
    ends = np.cumsum(sizes)
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
