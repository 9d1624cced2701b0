"""`medfed.federation.channel.Channel` over Flower: orders lie at the SuperLink until fetched.

An order is sent again when it may have been lost: after the SuperLink forgot the run, after a site
was offline or began anew, and after a long silence. That is safe, because a site answers
the same order with the same reply and the first one that comes is taken.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectPushError

from medfed.core.errors import RunError, SiteError
from medfed.core.files import write_atomic
from medfed.federation.channel import Delivery
from medfed.federation.flower.conversation import (
    Arrived,
    Claimed,
    Conversation,
    NeverSeen,
    RunLost,
)
from medfed.federation.flower.fleet import LOST_WORDS
from medfed.federation.flower.memory import give_back
from medfed.federation.flower.superlink import NodeSeen, Registry, SuperLinkAt
from medfed.federation.wire import Sealed

log = logging.getLogger(__name__)

SILENCE = 900.0
"""Seconds after which an unanswered order is sent again, in case the site lost it."""
LOOK_EVERY = 2.0
"""Seconds between looks who is online."""
AWAY = (httpx.TransportError, httpx.HTTPStatusError)


@dataclass
class _Waiting:
    """An order without a reply.

    Attributes:
        message: Its id at the SuperLink; empty while it has not been sent.
        created: When that message was made, seconds since 1970; 0 until one is to be sent.
        sent: When it was sent last, on the monotonic clock.
        asked: When it was handed to the channel.
        since: Since when its site was online when it was sent.
        offline: Whether its site must come online first.
        coming: Whether somebody was told that its reply is on its way.
    """

    site: str
    order: str
    sealed: Sealed
    asked: float
    message: str = ""
    created: float = 0.0
    sent: float = 0.0
    since: str = ""
    offline: bool = False
    coming: bool = False

    def again(self) -> None:
        """To be sent once more, as another message of Flower's."""
        self.message, self.created = "", 0.0


class FlowerChannel:
    """Sites behind a SuperLink on this machine.

    Attributes:
        on_close: Called when the channel is closed.

    Args:
        at: The SuperLink.
        sites: The sites of the study.
        memo: File for the number of the run, so that a coordinator that was killed ends it.
        say: Told in a sentence what happens.
        coming: Told which site has begun to send a large reply.
        check: Asked before anything is given to the SuperLink, which may be another than it was;
            what it raises ends the run.

    Raises:
        SiteError: A site is not enrolled.
        RunError: The SuperLink is not there.
    """

    def __init__(
        self,
        at: SuperLinkAt,
        sites: Sequence[str],
        memo: Path,
        say: Callable[[str], None] = log.info,
        coming: Callable[[str], None] = log.debug,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        give_back()
        self._check = check
        self._at = at
        self._memo = memo
        self._say = say
        self._coming = coming
        self.on_close: Callable[[], None] = lambda: None
        self._names = tuple(sites)
        self._waiting: dict[str, _Waiting] = {}
        self._claimed: deque[Claimed] = deque()
        self._looked = 0.0
        self._away = False
        try:
            self._nodes = self._seen()
            self._complain_of_strangers()
            self._talk = self._begin()
        except (*AWAY, RunLost):
            raise RunError(
                f"there is no SuperLink at {at.address}",
                remedy="Start the coordinator: `medfed coordinator --config FILE`",
            ) from None

    def sites(self) -> Sequence[str]:
        """Sites that are online."""
        return tuple(name for name, node in self._nodes.items() if node.online)

    def send(self, orders: Mapping[str, tuple[str, Sealed]]) -> None:
        """Lay orders ready at the SuperLink; what it cannot take now it gets later."""
        now = time.monotonic()
        for site, (order, sealed) in orders.items():
            self._waiting[order] = _Waiting(site, order, sealed, now)
        self._patiently(self._send_rest)

    def replies(self, timeout: float) -> Iterator[Delivery]:
        """Deliveries as they arrive, until none is outstanding or the time is up."""
        start = time.monotonic()
        while self._waiting and time.monotonic() - start < timeout:
            found = self._patiently(self._look)
            nothing = not found
            while found:
                yield found.pop()  # not held here while the next one is fetched
            if self._waiting and nothing:
                time.sleep(_pace(time.monotonic() - start))

    def cancel(self, order: str) -> None:
        """Stop waiting for an order."""
        self._waiting.pop(order, None)

    def close(self) -> None:
        """End the run at the SuperLink."""
        try:
            self._talk.close()
            self._memo.unlink(missing_ok=True)
        finally:
            self.on_close()

    def _patiently(self, do: Callable[[], list[Delivery]]) -> list[Delivery]:
        """Do it; when the SuperLink is away or has forgotten the run, say so and do it later."""
        try:
            if self._talk.lost:
                raise RunLost
            found = do()
        except RunLost:
            self._patiently_begin()
            return []
        except (*AWAY, ObjectPushError) as error:
            if not self._away:
                self._say(f"the SuperLink is away ({error}); waiting for it")
            self._away = True
            time.sleep(1.0)
            return []
        if self._away:
            self._say("the SuperLink is there again")
        self._away = False
        return found

    def _patiently_begin(self) -> None:
        try:
            self._talk.close()
            self._talk = self._begin()
            self._say(
                "the SuperLink had given the run up: a new one is begun, orders are sent again"
            )
        except (*AWAY, RunLost):
            time.sleep(1.0)
            return
        self._claimed.clear()
        for waiting in self._waiting.values():
            waiting.again()

    def _begin(self) -> Conversation:
        self._check()
        text = self._memo.read_text() if self._memo.exists() else ""
        talk = Conversation(self._at, int(text) if text.isdigit() else None)
        write_atomic(self._memo, str(talk.run).encode())
        return talk

    def _send_rest(self) -> list[Delivery]:
        """Send what is not with the SuperLink, as far as its sites have been seen online."""
        for waiting in self._waiting.values():
            node = self._nodes.get(waiting.site)
            if waiting.message or node is None or (waiting.offline and not node.online):
                continue
            waiting.created = waiting.created or time.time()
            self._check()
            try:
                waiting.message = self._talk.send(node.node, waiting.sealed, waiting.created)
            except NeverSeen:
                self._offline(waiting, "it has never been online")
            else:
                waiting.sent, waiting.since = time.monotonic(), node.since
                waiting.offline = False
        return []

    def _look(self) -> list[Delivery]:
        self._look_around()
        for waiting in list(self._waiting.values()):
            if self._is_removed(waiting):
                return [self._done(waiting, None)]
        for doubt in dict.fromkeys(self._doubt(waiting) for waiting in self._waiting.values()):
            if doubt:  # said once, however many orders of a site there are
                self._say(doubt)
        self._send_rest()
        by_message = {w.message: w for w in self._waiting.values() if w.message}
        if by_message and not self._claimed:
            self._claimed.extend(self._talk.claim(list(by_message)))
        while self._claimed:
            claimed = self._claimed[0]
            if claimed.to not in by_message:  # cancelled since
                self._claimed.popleft()
                continue
            waiting = by_message[claimed.to]
            self._tell_of(waiting, claimed)
            arrived = self._fetched(claimed, waiting)
            self._claimed.popleft()  # not before: should the fetching fail, it is tried again
            if self._counts(waiting, arrived):
                return [self._done(waiting, arrived.sealed)]  # one at a time: they may be large
        return []

    def _tell_of(self, waiting: _Waiting, claimed: Claimed) -> None:
        """Say once that a reply is on its way, where that takes long enough to be seen."""
        if claimed.large and not waiting.coming:
            for one in self._waiting.values():  # a reply may come in parts
                one.coming = one.coming or one.site == waiting.site
            self._coming(waiting.site)

    def _look_around(self) -> None:
        """See who is online, now and then."""
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._nodes = self._seen()
            self._looked = time.monotonic()

    def _fetched(self, claimed: Claimed, waiting: _Waiting) -> Arrived:
        # What is claimed the SuperLink takes no more of: who was cut off in it cannot complete it.
        def given_up() -> bool:
            with suppress(*AWAY, OSError, ValueError):  # it is looked at again where that is told
                self._look_around()
            return self._has_begun_anew(waiting)

        try:
            return self._talk.fetch(claimed, given_up)
        except ObjectPullError as error:
            return Arrived(None, str(error))

    def _has_begun_anew(self, waiting: _Waiting) -> bool:
        node = self._nodes.get(waiting.site)
        return node is None or node.since != waiting.since

    def _done(self, waiting: _Waiting, sealed: Sealed | None) -> Delivery:
        del self._waiting[waiting.order]
        for one in self._waiting.values():  # whoever answers one order is not silent
            if one.site == waiting.site:
                one.sent = time.monotonic()
        return Delivery(waiting.site, waiting.order, sealed, time.monotonic() - waiting.asked)

    def _counts(self, waiting: _Waiting, arrived: Arrived) -> bool:
        """Whether this is the site's answer; else its order is to be sent again."""
        if arrived.sealed is not None or arrived.reason == LOST_WORDS:
            return True
        if arrived.offline:
            self._offline(waiting, arrived.reason)
        else:
            self._say(f"a reply of {waiting.site} was lost on the way; its order is sent again")
            waiting.again()
        return False

    def _offline(self, waiting: _Waiting, reason: str) -> None:
        if not any(one.offline for one in self._waiting.values() if one.site == waiting.site):
            self._say(f"{waiting.site} is offline ({reason}); waiting for it")
        waiting.again()
        waiting.offline = True
        self._nodes[waiting.site] = replace(self._nodes[waiting.site], online=False)

    def _doubt(self, waiting: _Waiting) -> str:
        """Have an order sent again that its site may have lost; why, or nothing."""
        if not waiting.message:
            return ""
        if self._has_begun_anew(waiting):
            message = f"{waiting.site} has begun anew; its order is sent again"
        elif time.monotonic() - waiting.sent > SILENCE:
            message = f"{waiting.site} has been silent for long; its order is sent again"
        else:
            return ""
        waiting.again()
        return message

    def _is_removed(self, waiting: _Waiting) -> bool:
        if waiting.site in self._nodes:
            return False
        self._say(f"{waiting.site} was removed from the federation")
        return True

    def _seen(self) -> dict[str, NodeSeen]:
        with Registry(self._at) as registry:
            nodes = registry.nodes()
        return {name: nodes[name] for name in self._names if name in nodes}

    def _complain_of_strangers(self) -> None:
        missing = [name for name in self._names if name not in self._nodes]
        if missing:
            raise SiteError(
                f"not enrolled with this coordinator: {', '.join(missing)}",
                remedy="Invite them with `medfed coordinator invite`, or correct the study's sites",
            )


def _pace(waited: float) -> float:
    """Look often for what may come at once, seldom for what takes long."""
    return min(1.0, max(0.05, waited * 0.02))
