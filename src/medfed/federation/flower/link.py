"""Fetches a site's orders, has them answered, and sends the replies, whatever is cut in between.

The SuperLink hands a message out once. So an order is written down before it is confirmed, and
struck out when its reply has arrived: a site that is killed in the middle goes on with it. While a
reply is on its way the next order is worked on.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectPushError

from medfed.core.errors import WireError
from medfed.core.vault import OPEN, Vault
from medfed.federation.flower.fleet import Fetched, Fleet, NotEnrolled, RunOver
from medfed.federation.flower.inbox import Inbox, Kept
from medfed.federation.flower.outgoing import ENDING, Outgoing, Reply
from medfed.federation.wire import Sealed

log = logging.getLogger(__name__)

Answer = Callable[[Sealed], Reply]
"""Answers an order."""

HEARTBEAT = 10.0
BRISK, BESIDE, IDLE = 0.1, 0.5, 2.0
"""Seconds between looks for an order: in a run, beside a reply that is being sent, and when nothing
has come for long."""
BRISK_FOR = 15.0
RETRY_FIRST, RETRY_MOST = 1.0, 30.0


class Link:
    """A site's line to the coordinator.

    Args:
        fleet: The site at the SuperLink.
        answer: What answers orders.
        inbox: File for the order in hand; another may lie beside it.
        say: Told in a sentence what happens.
        vault: How orders lie on the disk.
    """

    def __init__(
        self,
        fleet: Fleet,
        answer: Answer,
        inbox: Path,
        say: Callable[[str], None],
        vault: Vault = OPEN,
    ) -> None:
        self._fleet = fleet
        self._answer = answer
        self._inbox = Inbox(inbox, vault)
        self._wake = threading.Event()
        self._outgoing = Outgoing(fleet, say, self._wake.set)
        self._say = say
        self._stop = threading.Event()
        self._connected = False
        self._anew = True
        self._answered: tuple[bytes, Reply] | None = None

    def stop(self) -> None:
        """End `run` after what is in hand."""
        self._stop.set()
        self._wake.set()

    def run(self) -> None:
        """Serve until stopped; waits out every cut."""
        threading.Thread(target=self._beat, daemon=True, name="medfed-heartbeat").start()
        failures, idle_since = 0, time.monotonic()
        while not self._stop.is_set():
            try:
                worked = self._step()
            except (httpx.TransportError, ObjectPullError, ObjectPushError) as error:
                failures += 1
                self._anew = True  # what was on the way may be lost
                if failures == 1:
                    self._say(f"the coordinator cannot be reached ({_words(error)}); trying on")
                self._wait(min(RETRY_FIRST * 2 ** (failures - 1), RETRY_MOST))
                continue
            except NotEnrolled as error:
                self._anew = True
                self._say(str(error))
                self._wait(RETRY_MOST)
                continue
            if failures:
                self._say("the coordinator is there again")
            failures = 0
            if worked:
                idle_since = time.monotonic()
            else:
                self._wait(self._pace(time.monotonic() - idle_since))
        with suppress(httpx.TransportError, ObjectPushError, NotEnrolled):  # it is sent next time
            self._outgoing.settle()

    def leave(self) -> None:
        """Tell the coordinator that the site goes offline."""
        try:
            self._fleet.leave()
        except (httpx.TransportError, NotEnrolled):
            log.info("the coordinator was not told that the site went offline")
        self._outgoing.wait(ENDING)

    def _step(self) -> bool:
        """One look for an order, and its answer; whether anything happened."""
        if self._anew:
            self._begin_anew()
        arrived = self._outgoing.look()
        kept = self._kept() or self._fetched()
        if kept is None:
            return arrived
        if self._answered is None or self._answered[0] != kept.order.envelope:
            self._answered = kept.order.envelope, self._answer(kept.order.sealed)
        self._outgoing.send(kept, self._answered[1])
        self._answered = None
        return True

    def _begin_anew(self) -> None:
        # The coordinator gives up what it gets of a reply when its site begins anew.
        self._outgoing.wait()
        self._fleet.connect()
        self._anew = False
        if not self._connected:
            self._say("connected to the coordinator")
        self._connected = True

    def _kept(self) -> Kept | None:
        """The order that was in hand when the site was stopped or cut off."""
        return self._inbox.next(besides=self._outgoing.file)

    def _fetched(self) -> Kept | None:
        """The next order, written down; None when there is none that can be used."""
        envelope = self._fleet.fetch()
        if envelope is None:
            return None
        try:
            kept = self._inbox.keep(Fetched(self._fleet.open(envelope), envelope.to_bytes()))
        except WireError as error:
            self._say(f"what came is no order and was dropped: {error.message}")
            with suppress(RunOver):  # so that nobody waits for its deadline
                self._fleet.reply(envelope.to_bytes(), None, 0.0)
            return None
        except (RunOver, ObjectPullError) as error:
            log.warning("an order was dropped: %s", error)
            return None
        with suppress(RunOver):  # the reply meets that too
            self._fleet.confirm(envelope)
        return kept

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            if self._connected:
                try:
                    self._fleet.heartbeat()
                except (httpx.TransportError, NotEnrolled, RuntimeError):
                    continue  # the other thread meets it too, and says so

    def _wait(self, seconds: float) -> None:
        """Wait for the next look; a reply that has arrived ends it."""
        self._wake.wait(seconds)
        if not self._stop.is_set():
            self._wake.clear()

    def _pace(self, idle: float) -> float:
        if self._outgoing.file is not None:
            return BESIDE
        return BRISK if idle < BRISK_FOR else min(IDLE, BRISK * idle / BRISK_FOR)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
