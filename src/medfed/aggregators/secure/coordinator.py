"""The coordinator's half: it relays, adds up words that mean nothing, and takes the masks off."""

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.adding import fits, notes_of, total_of
from medfed.aggregators.secure.ahead import Ahead, inbox
from medfed.aggregators.secure.masks import Stream
from medfed.aggregators.secure.messages import coded, decoded, inner, message
from medfed.aggregators.secure.opening import Opening, agreed_roster, readable
from medfed.aggregators.secure.phases import in_parts
from medfed.aggregators.secure.rules import FEWEST, Roster, sign_of
from medfed.aggregators.secure.seated import KEYS
from medfed.aggregators.secure.site import AGREE, MASKED, NEXT, OTHER_PARTS, SHARES, UNMASK
from medfed.core.aggregator import Ask, Gathered, Spooled
from medfed.core.errors import QuorumError, RunError
from medfed.core.update import Update

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
        ahead: What is agreed for the next round on the way; None for nothing.
        name: Its name; None for a new one.
    """

    def __init__(self, ask: Ask, ahead: Ahead | None = None, name: str | None = None) -> None:
        self._ask = ask
        self.ahead = ahead or Ahead(None)
        self._name = name or secrets.token_hex(8)
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
        return self.end(roster, tuple(sealed), self._masked(roster, sealed))

    def end(self, roster: Roster, sharers: Sequence[str], parts: Sequence[Spooled]) -> Gathered:
        """From the masked parts to the sum.

        Args:
            roster: Who takes part.
            sharers: Whose shares went to all others.
            parts: The masked parts that arrived.
        """
        survivors = tuple(part.site for part in parts)
        signatures = self._agree(roster, survivors, parts)
        opened = self._unmask(roster, survivors, signatures)
        masks = self._streams(roster, sharers, survivors, opened)
        total, clipped = total_of(roster, parts, masks)
        notes = notes_of(roster, total, len(survivors), clipped)
        return Gathered(total, survivors, notes={**notes, **self.omissions()})

    def omissions(self) -> dict[str, Any]:
        """Whose answers could not be used, and why, as a note; nothing where there is nobody."""
        for site, complaint in self.left_out.items():
            log.warning("%s is left out: %s", site, complaint)
        return {"left_out": dict(self.left_out)} if self.left_out else {}

    def step(self, step: str, each: Mapping[str, Update], parts: int = 1) -> list[Spooled]:
        """Ask those who are still in it, for several parts at once perhaps."""
        first, *others = map(str, in_parts(step, self._name, parts))
        return list(self._ask(first, each, *others))

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
            return _coded_all(found, "sealed", roster.sites, keys.SEALED)

        return _enough(roster, self._among(roster.sites, replies, read))

    def _masked(self, roster: Roster, sealed: Mapping[str, Mapping[str, str]]) -> list[Spooled]:
        tables = {site: {"sealed": inbox(sealed, site)} for site in sealed}
        replies = [part for part in self._step(MASKED, tables) if part.site in sealed]
        return self.fitting(roster, replies)

    def fitting(self, roster: Roster, replies: Sequence[Spooled]) -> list[Spooled]:
        """The masked parts that can be added up.

        Raises:
            TooFew: Not enough of them, or not enough for one of the parts that are summed.
        """
        fitting: dict[str, Spooled] = {}
        for part in replies:
            if fits(part, roster):
                fitting[part.site] = part
            else:
                self.left_out[part.site] = "its words are not those of what is summed"
        found = _enough(roster, fitting)
        if roster.rare(found, roster.fewest):  # the sites would refuse it; fewer parts will do
            raise TooFew(len(found), len(roster.sites), len(roster.sites))
        return list(found.values())

    def _agree(
        self, roster: Roster, survivors: Sequence[str], parts: Sequence[Spooled]
    ) -> dict[str, str]:
        table = {"survivors": list(survivors), **self.ahead.adverts(roster, parts)}
        replies = self._step(AGREE, dict.fromkeys(survivors, table))
        self.ahead.take_shares(replies)

        def read(found: dict[str, Any]) -> str:
            return coded(decoded(found, "signature", 64))

        return _enough(roster, self._among(survivors, replies, read))

    def _unmask(
        self, roster: Roster, survivors: Sequence[str], signatures: Mapping[str, str]
    ) -> dict[str, dict[str, Any]]:
        # Those who did not sign may be there again; asking them costs nothing.
        table = {"signatures": dict(signatures)}
        tables = {site: {**table, **self.ahead.shares(site)} for site in survivors}
        replies = self._step(UNMASK, tables)
        self.ahead.confirm(replies)

        def read(found: dict[str, Any]) -> dict[str, Any]:
            return {
                which: _coded_all(found, which, roster.sites, keys.SEED)
                for which in ("masks", "selves")
            }

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


class Anew(TooFew):
    """A site cannot go on from the round before: this one begins with keys."""


class Continued(Conversation):
    """A round whose keys and shares rode on the one before: it begins with the masked parts.

    Args:
        ask: Sends one phase to the participants and gives the replies.
        ahead: What is agreed for the next round on the way.
        roster: What was agreed for this one.
    """

    def __init__(self, ask: Ask, ahead: Ahead, roster: Roster) -> None:
        super().__init__(ask, ahead, roster.session.hex()[:16])
        self._roster = roster

    def hold(self) -> Gathered:
        """From the masked parts to the sum, in three exchanges.

        Raises:
            Anew: A site was restarted, or has other things to add than the last time.
        """
        replies = [reply for reply in self.step(NEXT, {}) if reply.site in self._roster.sites]
        sessions = readable(replies, self._session, self.left_out)
        if None in sessions.values():
            raise Anew(len(replies), len(self._roster.sites), len(self._roster.sites))
        said = Counter(sessions.values()).most_common(1)
        session = (said[0][0] if said else None) or b""
        roster = self._roster.over(session)
        for site in (site for site, one in sessions.items() if one != session):
            self.left_out[site] = "it was asked something else than most sites"
        parts = [reply for reply in replies if sessions.get(reply.site) == session]
        return self.end(roster, roster.sites, self.fitting(roster, parts))

    def _session(self, found: dict[str, Any]) -> bytes | None:
        """What a site says it was asked; None where it cannot go on."""
        if "anew" not in found:
            return decoded(found, "session", 32)
        if found["anew"] == OTHER_PARTS:  # perhaps it has in every round: then it never pays
            self.ahead.never()
        return None


def _coded_all(
    table: Mapping[str, Any], name: str, sites: Sequence[str], size: int
) -> dict[str, str]:
    """So many bytes for each of some sites, as text; those of others are left out."""
    found = inner(table, name)
    return {site: coded(decoded(found, site, size)) for site in sites if site in found}


def _enough(roster: Roster, found: Mapping[str, Any]) -> dict[str, Any]:
    if len(found) < roster.threshold:
        raise TooFew(len(found), roster.threshold, len(roster.sites))
    return dict(found)


def _seed(roster: Roster, opened: Mapping[str, Mapping[str, Any]], which: str, site: str) -> bytes:
    """A seed from the peers' shares, checked against what its site committed itself to.

    Raises:
        RunError: Shares are wrong: some site did not keep to the rules.
    """
    shares = [
        (roster.sites.index(holder), bytes.fromhex(table[which][site]))
        for holder, table in opened.items()
        if site in table[which]
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
