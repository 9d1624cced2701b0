"""One conversation with the participants: orders out, replies in, checked and spooled."""

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from medfed.core.errors import (
    DataError,
    QuorumError,
    RunError,
    WireError,
    WireVersionError,
)
from medfed.core.events import Event, Notice, ReplyCounted, RoundStarted, SiteMissing
from medfed.core.files import Buffer, canonical_json
from medfed.core.packing import PackedUpdate
from medfed.core.update import Shapes, Update, misfit, odd_ones
from medfed.core.vault import OPEN, Vault
from medfed.federation.channel import Channel, Delivery
from medfed.federation.gates import too_large, unlike_others
from medfed.federation.spool import (
    MAX_HEADER,
    SpooledUpdate,
    check_update,
    decode_update,
    encode_update,
    parked,
)
from medfed.federation.wire import (
    VERSION,
    Order,
    Sealed,
    open_reply,
    seal,
    sha256,
    version_wanted,
)

log = logging.getLogger(__name__)

MAX_OVER_MODEL = 4
"""How many times the model's bytes an update may have: several groups, each float64 at most."""
SMALL = 256 * 1024
"""Bytes of a reply that may stay in memory beside its file: less than mapping it again costs."""
MAX_STATS = 64 * 1024 * 1024
"""Bytes of statistics an update may have beside its tensors."""

Orders = Mapping[str, tuple[Order, Buffer]]
"""For each site its order and the payload that goes with it."""


@dataclass
class Asked:
    """A phase that is under way.

    Attributes:
        orders: What each site was sent.
        arrived: The replies that passed every check.
    """

    orders: Orders
    arrived: dict[str, SpooledUpdate]


@dataclass(frozen=True)
class Post:
    """What every exchange of a run shares: who asks, through what, and where replies lie.

    Attributes:
        vault: How replies lie there.
        versions: The wire version of each site that was found to speak another than ours.
    """

    run: str
    study: str
    channel: Channel
    key: Ed25519PrivateKey
    site_keys: Mapping[str, Ed25519PublicKey]
    spool: Path
    deadline: float
    min_sites: int
    on_event: Callable[[Event], None]
    vault: Vault = OPEN
    versions: dict[str, int] = field(default_factory=dict)


@dataclass
class Exchange:
    """One order to the participants and what came of it.

    Attributes:
        round: The round it belongs to.
        purpose: ``query``, ``train`` or ``evaluate``.
        sites: The participants, in the order in which updates are summed.
        sent: What travels down to all of them.
        body: The order's content, as plain data.
        counted: For each site the last counted round: which memory it should build on.
        fits: Whether updates must have the form of what was sent (not so when masked or encrypted).
        over: How many times the model's bytes a reply may have.
        norm_limit: How many times the median's length a change may have; 0 for any.
        up: Bytes that came from each site.
        down: Bytes that went to each.
    """

    post: Post
    round: int
    purpose: str
    sites: Sequence[str]
    sent: Update
    body: Mapping[str, Any]
    counted: Mapping[str, int] = field(default_factory=dict)
    fits: bool = False
    over: int = MAX_OVER_MODEL
    norm_limit: float = 0.0
    missing: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    up: dict[str, int] = field(default_factory=dict)
    down: dict[str, int] = field(default_factory=dict)
    _again: set[str] = field(default_factory=set)
    _spoken: dict[str, int] = field(default_factory=dict)
    """The wire version in which each order went out last."""
    _together: int = 1
    """Phases that are under way at once, which share the bytes that an answer may have."""
    _answered: set[str] = field(default_factory=set)
    """Sites with a reply in an earlier phase: what they remember of it is what the next needs."""
    _told: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Seconds and bytes of each site that an event has told of."""

    @property
    def bytes_up(self) -> int:
        """Bytes that came from the sites."""
        return sum(self.up.values())

    @property
    def bytes_down(self) -> int:
        """Bytes that went to them."""
        return sum(self.down.values())

    def ask(self, phase: str, each: Mapping[str, Update], *together: str) -> list[SpooledUpdate]:
        """Hold one phase, or several at once: the replies that passed every check, in site order.

        A phase with nothing for any single site begins the conversation, perhaps anew: what goes
        down is what sites work on. They build on what was counted before it, and not on what they
        remember of a conversation that came to nothing.

        Raises:
            QuorumError: Fewer than the study asks for.
        """
        if not each:
            self._answered.clear()
        still = [site for site in self.sites if site not in self.missing]
        self.post.on_event(RoundStarted(self.round, self.purpose, tuple(still)))
        payloads, self._together = self.payloads(still, each), 1 + len(together)
        phases = [self._begun(self.orders(one, payloads)) for one in (phase, *together)]
        for asked in phases:
            self.send(asked.orders, skip=asked.arrived)
        self._collect(phases)
        found = self._whole(still, phases)
        if len(found) < self.post.min_sites:
            raise QuorumError(self._quorum_message(len(found)), remedy=self._quorum_remedy())
        self._answered.update(found)
        return [asked.arrived[site] for site in found for asked in phases]

    def _whole(self, sites: Sequence[str], phases: Sequence[Asked]) -> list[str]:
        """The sites of which all is there and goes together with the others'."""
        for asked in phases:
            left = [site for site in sites if site not in self.missing]
            asked.arrived = {site: asked.arrived[site] for site in left}
            self.drop_odd(asked.arrived)
        return [site for site in sites if site not in self.missing]

    def _begun(self, orders: Orders) -> Asked:
        return Asked(orders, self.spooled(orders))

    def drop_odd(self, arrived: dict[str, SpooledUpdate]) -> None:
        """Leave out replies that do not go together with the others, or are far larger."""
        self._drop(arrived, odd_ones({s: u.stats() for s, u in arrived.items()}))
        if self.fits:  # else each site may have something of its own to say, such as shares
            self._drop(arrived, unlike_others(arrived))
            self._drop(arrived, too_large(arrived, self.norm_limit))

    def _drop(self, arrived: dict[str, SpooledUpdate], complaints: Mapping[str, str]) -> None:
        for site, complaint in complaints.items():
            arrived.pop(site).path.unlink(missing_ok=True)
            self._miss(site, "rejected", complaint)

    def payloads(
        self, sites: Sequence[str], each: Mapping[str, Update]
    ) -> dict[str, tuple[Buffer, str]]:
        """For each site what goes with its orders, and its hash."""
        found: dict[str, tuple[Buffer, str]] = {}
        if any(site not in each for site in sites):
            plain = encode_update(self.sent)
            # A sealed run parks nothing: it would lie there as it is.
            shared = plain if self.post.vault.sealed else parked(plain, self.post.spool)
            found = dict.fromkeys(sites, (shared, sha256(shared)))
        several = {id(update): update for update in each.values()}
        encoded = {number: encode_update(update) for number, update in several.items()}
        own = {site: encoded[id(each[site])] for site in sites if site in each}
        return {**found, **{site: (payload, sha256(payload)) for site, payload in own.items()}}

    def orders(
        self, phase: str, payloads: Mapping[str, tuple[Buffer, str]]
    ) -> dict[str, tuple[Order, Buffer]]:
        """The orders of one phase, with the payload of each."""
        body = canonical_json(self.body).decode()
        orders: dict[str, tuple[Order, Buffer]] = {}
        for site, (payload, digest) in payloads.items():
            order = Order(
                run=self.post.run,
                study=self.post.study,
                site=site,
                round=self.round,
                purpose=self.purpose,
                phase=phase,
                memory=self.round if site in self._answered else self.counted.get(site, 0),
                body=body,
                payload_sha256=digest,
                payload_bytes=len(payload),
                deadline=self.post.deadline,
            )
            orders[site] = (order, payload)
        return orders

    def spooled(self, orders: Orders) -> dict[str, SpooledUpdate]:
        """What had arrived before the coordinator was killed."""
        files = {file.name.partition("-")[0]: file for file in self.post.spool.iterdir()}
        lying = {site: files[o.id] for site, (o, _) in orders.items() if o.id in files}
        found = {site: self._kept(file, site) for site, file in lying.items()}
        return {site: update for site, update in found.items() if update is not None}

    def send(self, orders: Orders, skip: Container[str] = ()) -> None:
        """Seal and send orders, each in its site's wire version, but for some sites."""
        sealed: dict[str, tuple[str, Sealed]] = {}
        for site, (order, payload) in orders.items():
            if site not in skip:
                version = self.post.versions.get(site)
                spoken = order if version is None else replace(order, version=version)
                self._spoken[order.id] = spoken.version
                message = seal(spoken, self.post.key, payload)
                sealed[site] = (order.id, message)
                self.down[site] = self.down.get(site, 0) + message.size
        self.post.channel.send(sealed)

    def _collect(self, phases: Sequence[Asked]) -> None:
        outstanding = {
            order.id: (site, asked)
            for asked in phases
            for site, (order, _) in asked.orders.items()
            if site not in asked.arrived
        }
        if not outstanding:
            return
        for delivery in self.post.channel.replies(self.post.deadline):
            self._take(delivery, outstanding)
            del delivery  # a model may hang on it, and the next one is about to come
        for site in dict.fromkeys(site for site, _ in outstanding.values()):
            self._give_up(site, outstanding)
            self._miss(site, "late", f"no reply within {self.post.deadline:g} s")

    def _take(self, delivery: Delivery, outstanding: dict[str, tuple[str, Asked]]) -> None:
        site, asked = outstanding.get(delivery.order, ("", None))
        if asked is None or site != delivery.site:
            message = "a reply came to an order that is no longer waited for"
            self.post.on_event(SiteMissing(self.round, delivery.site, "late", message))
            return
        if self.asked_again(delivery, *asked.orders[site]):
            return
        del outstanding[delivery.order]
        update = self.receive(delivery, asked.orders[site][0])
        if update is None:
            self._give_up(site, outstanding)
            return
        asked.arrived[site] = update
        if all(other != site for other, _ in outstanding.values()):
            self.count(site)

    def _give_up(self, site: str, outstanding: dict[str, tuple[str, Asked]]) -> None:
        """Wait for nothing more of a site: one answer without the others is of no use."""
        for order in [order for order, (other, _) in outstanding.items() if other == site]:
            self.post.channel.cancel(order)
            del outstanding[order]

    def asked_again(self, delivery: Delivery, order: Order, payload: Buffer | None = None) -> bool:
        """Send an order once more, if its site refused it for its wire version only.

        From then on the site gets its orders in the version that it speaks.

        Args:
            delivery: What came back.
            order: The order it answers.
            payload: What went with the order; None for what goes to all.

        Returns:
            Whether the order was sent again: a reply is still to come.
        """
        # Several orders may have gone out before the first was refused.
        site, sent = order.site, self._spoken.get(order.id, VERSION)
        version = self._version_wanted(delivery, sent)
        if version is None or order.id in self._again:
            return False
        self._again.add(order.id)
        self.post.versions[site] = version
        text = f"{site} speaks wire version {version} and was sent {sent}: asked again in {version}"
        self.post.on_event(Notice(text))
        log.info("round %d: %s", self.round, text)
        self.send({site: (order, encode_update(self.sent) if payload is None else payload)})
        return True

    def _version_wanted(self, delivery: Delivery, sent: int) -> int | None:
        reply, site = delivery.reply, delivery.site
        if reply is None or len(reply.payload):  # no refusal: not worth opening twice
            return None
        try:
            return version_wanted(open_reply(reply, self.post.site_keys[site], site, 0), sent)
        except WireError:
            return None

    def receive(self, delivery: Delivery, order: Order) -> SpooledUpdate | None:
        """Check a delivery and spool it; None (and a note) when it cannot be used."""
        site = delivery.site
        if delivery.reply is None:
            self._miss(site, "worker-lost", "the process that worked for it ended")
            return None
        if delivery.seconds > self.post.deadline:
            self._miss(site, "late", f"its reply took {delivery.seconds:.1f} s")
            return None
        try:
            key = self.post.site_keys[site]
            reply = open_reply(delivery.reply, key, site, self._bound + MAX_HEADER)
            if reply.order != order.id and not (reply.refusal and not reply.order):
                raise WireError("the reply answers another order")
            if reply.refusal:  # names no order where the site could not even read it
                self._miss(site, reply.refusal, reply.message)
                return None
            if reply.base_sha256 != order.payload_sha256:
                raise WireError("the reply was computed from another model")
            update = self._spool(order, delivery.reply.payload, reply.payload_sha256)
        except WireVersionError as error:
            self._miss(site, "wire-version", str(error))
            return None
        except WireError as error:
            self._miss(site, "rejected", error.message)
            return None
        # The channel's clock includes the way, and tells nothing of a reply that was stored.
        seconds = reply.seconds or delivery.seconds
        self.seconds[site] = self.seconds.get(site, 0.0) + seconds
        self.up[site] = self.up.get(site, 0) + delivery.reply.size
        return update

    def count(self, site: str) -> None:
        """Say that all replies of a site have come that are waited for."""
        told = self._told.get(site, (0.0, 0))
        self._told[site] = now = self.seconds[site], self.up[site]
        self.post.on_event(ReplyCounted(self.round, site, now[0] - told[0], now[1] - told[1]))

    def _spool(self, order: Order, payload: Buffer, digest: str) -> SpooledUpdate:
        """Check a payload, and only then let it lie among the others."""
        update = decode_update(payload)
        self._check(PackedUpdate(order.site, update))
        file = self.post.spool / f"{order.id}-{digest}.safetensors"
        vault = self.post.vault
        vault.write(file, payload, durable=False)
        return SpooledUpdate(file, order.site, update if len(payload) <= SMALL else None, vault)

    def _check(self, update: PackedUpdate) -> None:
        got = {name: (p.shape, p.dtype) for name, p in update.packed.items()}
        complaint = misfit(self._sent_shapes, got) if self.fits else ""
        if complaint:
            raise WireError(f"the update does not fit the model: {complaint}")
        check_update(update, got if self.fits else None, max_bytes=self._bound)

    def check_total(self, total: Update) -> None:
        """Look through a sum whose parts nobody could look at.

        Raises:
            RunError: It does not fit the model that was sent, or is not finite.
        """
        got = {name: (a.shape, a.dtype) for name, a in total.tensors.items()}
        complaint = misfit(self._sent_shapes, got)
        try:
            check_update(total)
        except WireError as error:
            complaint = complaint or error.message
        if complaint:
            message = f"round {self.round}: the sum cannot be used: {complaint}"
            raise RunError(message, remedy="A site sent what it should not; look into their logs")

    @property
    def _bound(self) -> int:
        """Bytes that the arrays of an update may have."""
        return self.over * self._sent_bytes // self._together + MAX_STATS

    @cached_property
    def _sent_bytes(self) -> int:
        return sum(array.nbytes for array in self.sent.tensors.values())

    @cached_property
    def _sent_shapes(self) -> Shapes:
        return {name: (a.shape, a.dtype) for name, a in self.sent.tensors.items()}

    def _kept(self, file: Path, site: str) -> SpooledUpdate | None:
        """A reply that lies in the spool, if it is whole.

        The spool is not flushed to the disk: after a power cut a file may be there without its
        content, which the hash in its name tells. The site sends it again.
        """
        with suppress(DataError):
            if sha256(self.post.vault.read(file)) == file.stem.rpartition("-")[2]:
                return SpooledUpdate(file, site, vault=self.post.vault)
        file.unlink()
        return None

    def _miss(self, site: str, reason: str, message: str) -> None:
        log.info("round %d: %s did not contribute (%s): %s", self.round, site, reason, message)
        self.missing[site] = {"reason": reason, "message": message}
        self.post.on_event(SiteMissing(self.round, site, reason, message))

    def _quorum_message(self, count: int) -> str:
        reasons = "; ".join(f"{s}: {m['reason']}, {m['message']}" for s, m in self.missing.items())
        return (
            f"round {self.round} has {count} usable replies and the study asks for "
            f"{self.post.min_sites} ({reasons})"
        )

    def _quorum_remedy(self) -> str:
        return (
            "Nothing is lost: mend the sites and go on with --resume; a study that is changed "
            "(min_sites, too) begins in another folder"
        )
