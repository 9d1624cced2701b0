"""The coordinator's half of an encrypted sum: it relays sealed keys and adds ciphertexts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medfed.aggregators.encrypted.pieces import array_in, check_parts, digest_of, packed, streamed
from medfed.aggregators.encrypted.scheme import Foreign, Scheme
from medfed.aggregators.encrypted.site import CONTEXT, ENCRYPT, OPEN, dealer_of
from medfed.aggregators.secure.coordinator import Conversation, TooFew
from medfed.aggregators.secure.messages import decoded, inner, message, table_in
from medfed.aggregators.secure.rules import FEWEST, Roster
from medfed.core.aggregator import Ask, Gathered, Spooled
from medfed.core.errors import QuorumError, Refused, RunError, WireError
from medfed.core.update import Array

OPENERS = 2
"""Sites that decrypt the sum; what they find is compared."""


class EncryptedConversation(Conversation):
    """From keys to the sum, in four exchanges.

    Args:
        ask: Sends one phase to the participants and gives the replies.
        scheme_of: The encryption that some terms stand for.
    """

    def __init__(self, ask: Ask, scheme_of: Callable[[Sequence[Any]], Scheme]) -> None:
        super().__init__(ask)
        self._scheme_of = scheme_of

    def hold(self) -> Gathered:
        """See `Conversation.hold`.

        Raises:
            TooFew: A step had too few answers, or the site that deals the key was lost.
            RunError: What came cannot be added, or two sites decrypted it differently.
        """
        roster = self.keys()
        self._scheme = self._scheme_of(roster.terms)
        boxes, public, sealed = self._dealt(roster)
        parts = self._parts(roster, boxes, sealed)
        sites = tuple(parts)
        total = packed(self._added(public, parts), self._scheme.count(roster.layout))
        figures = self._opened(roster, sites, total)
        update = self._scheme.total(roster.layout, figures)
        notes = self._scheme.notes(roster.layout, update, figures, len(sites))
        return Gathered(update, sites, notes={**notes, **self.omissions()})

    def _added(self, public: Any, parts: Mapping[str, Sequence[Spooled]]) -> Iterator[bytes]:
        """The ciphertexts of the sum, one after another.

        Raises:
            RunError: A site's are of another context.
        """
        for alike in zip(*parts.values(), strict=True):
            for pieces in streamed(alike):
                try:
                    yield self._scheme.add(public, pieces)
                except Foreign as error:
                    message_ = f"{alike[error.place].site} sent a ciphertext of another context"
                    raise RunError(message_, remedy="Look into that site") from None

    def _dealt(self, roster: Roster) -> tuple[dict[str, Any], Any, Array]:
        adverts = {site: advert.to_json() for site, advert in roster.adverts.items()}
        table = message({"adverts": adverts, "layout": roster.layout.to_json()})
        replies = {r.site: r for r in self.step(CONTEXT, dict.fromkeys(roster.sites, table))}
        dealer = dealer_of(roster)
        if dealer not in replies:
            raise TooFew(len(replies), len(roster.sites), len(roster.sites))
        try:
            found = table_in(replies[dealer])
            public = self._scheme.opened(decoded(found, "public"), secret=False)
            return inner(found, "sealed"), public, array_in(replies[dealer], "context", np.uint8)
        except (Refused, WireError) as error:
            message_ = f"{dealer} dealt no key that can be used: {error.message}"
            raise RunError(message_, remedy="Look into that site") from None

    def _parts(
        self, roster: Roster, boxes: Mapping[str, str], sealed: Array
    ) -> dict[str, list[Spooled]]:
        """Each site's ciphertexts, in the parts in which they come."""
        orders = {
            site: message({"sealed": boxes.get(site, "")}, {"context": sealed})
            for site in roster.sites
        }
        digest, count = digest_of(sealed), self._scheme.count(roster.layout)
        parts: dict[str, list[Spooled]] = {}
        for part in self.step(ENCRYPT, orders, -(-count // self._scheme.part)):
            if part.site in roster.adverts:
                parts.setdefault(part.site, []).append(part)
        for site in list(parts):
            try:
                check_parts(parts[site], digest, count)
            except WireError as error:
                self.left_out[site] = error.message
                del parts[site]
        if len(parts) < FEWEST or roster.rare(parts, roster.fewest):
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
        one, other = (array_in(r, "values", np.float64) for r in found.values())
        for site, values in zip(found, (one, other), strict=True):
            if values.shape != (self._scheme.figures(roster.layout),):
                raise WireError(f"{site} decrypted something else")
        if not np.all(np.abs(one - other) <= self._scheme.slack()):
            names = " and ".join(found)
            raise RunError(
                f"{names} decrypted the sum differently: one of them is not to be trusted",
                remedy="Look into both, then go on with --resume",
            )
        return (one + other) / 2
