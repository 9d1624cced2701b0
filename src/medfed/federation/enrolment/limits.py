"""How often somebody may try a wrong code."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable


class TooMany:
    """Counts failures by address within a sliding time, in bounded memory.

    Guessing is hopeless against a key of 256 bits; this keeps whoever tries from using up the
    processor and the log.

    Args:
        most: Failures after which an address has to wait.
        seconds: For how long a failure counts.
        addresses: How many addresses are remembered; the oldest are forgotten.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        most: int = 10,
        seconds: float = 600.0,
        addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self.seconds = seconds
        self._addresses = addresses
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def failed(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            times = self._recent(address)
            self._failures[address] = [*times[-self.most :], self._clock()]
            self._failures.move_to_end(address)
            while len(self._failures) > self._addresses:
                self._failures.popitem(last=False)

    def wait(self, address: str) -> int:
        """Seconds an address has to wait; 0 when it may try."""
        with self._lock:
            times = self._recent(address)
            if len(times) < self.most:
                return 0
            return max(1, round(times[-self.most] + self.seconds - self._clock()))

    def _recent(self, address: str) -> list[float]:
        start = self._clock() - self.seconds
        return [moment for moment in self._failures.get(address, []) if moment > start]
