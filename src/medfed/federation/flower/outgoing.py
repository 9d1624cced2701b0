"""The reply that is on its way while the next order is worked on."""

import threading
from collections.abc import Callable
from pathlib import Path

from medfed.federation.flower.fleet import Fleet, RunOver
from medfed.federation.flower.inbox import Kept
from medfed.federation.wire import Sealed

ENDING = 2.0
"""Seconds that a thread is given to end, once the line to the coordinator is closed."""
Reply = tuple[Sealed | None, float]
"""A reply (None when none can be given), and the seconds it took."""
NOTHING: Reply = (None, 0.0)


class Outgoing:
    """Sends one reply at a time, by a thread of its own; its order is struck out when it arrived.

    Args:
        fleet: The site at the SuperLink.
        say: Told in a sentence what happens.
        ended: Called when a reply has arrived, or was cut off.

    Attributes:
        file: Where the order lies that is answered; None while nothing is on its way.
    """

    def __init__(
        self, fleet: Fleet, say: Callable[[str], None], ended: Callable[[], None] = lambda: None
    ) -> None:
        self._fleet = fleet
        self._say = say
        self._ended = ended
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None
        self._envelope = b""
        self._reply: Reply = NOTHING
        self.file: Path | None = None

    def send(self, kept: Kept, reply: Reply) -> None:
        """Begin to send a reply, once the one before has arrived.

        Raises:
            Whatever befell the one before; neither of the two is lost by it.
        """
        self.settle()
        self.file, self._envelope, self._reply = kept.file, kept.order.envelope, reply
        self._begin()

    def look(self) -> bool:
        """Strike out an order whose reply has arrived, and wait for one that was cut off.

        Returns:
            Whether one has arrived.

        Raises:
            Whatever befell the reply since the last look.
        """
        if self.file is None or (self._thread is not None and self._thread.is_alive()):
            return False
        self.settle()
        return True

    def settle(self) -> None:
        """Wait until the reply has arrived, if there is one on its way.

        Raises:
            Whatever befell it; it is sent again by the next look.
        """
        if self.file is None:
            return
        thread = self._thread or self._begin()
        thread.join()
        self._thread, failed = None, self._failed
        if failed is not None:
            raise failed
        self.file.unlink(missing_ok=True)
        self.file, self._envelope, self._reply = None, b"", NOTHING  # it may be large

    def wait(self, seconds: float | None = None) -> None:
        """Wait until nothing is on its way any more, whatever came of it."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _begin(self) -> threading.Thread:
        self._failed = None
        self._thread = threading.Thread(target=self._send, daemon=True, name="medfed-reply")
        self._thread.start()
        return self._thread

    def _send(self) -> None:
        try:
            self._fleet.reply(self._envelope, *self._reply)
            self._say(_told(*self._reply))
        except RunOver:
            self._say("nobody waits for this reply any more")
        except BaseException as error:  # noqa: BLE001  # raised by whoever waits
            self._failed = error
        self._ended()


def _told(reply: Sealed | None, seconds: float) -> str:
    if reply is None:
        return "an order could not be answered: the worker ended twice over it"
    return f"answered an order in {seconds:.1f} s: {reply.size} bytes left, see the receipts"
