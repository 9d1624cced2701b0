"""Objects that a PACS sends: over our own connection (C-GET), or to a port of ours (C-MOVE)."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pynetdicom import AE, evt

from medfed.connectors.pacs.problems import PacsError
from medfed.core.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from medfed.connectors.pacs.address import DimseAddress, PacsOptions

OUT_OF_RESOURCES = 0xA700
NOT_ASKED_FOR = 0xA900


class Received:
    """Writes what comes, as it comes, under names of our own.

    Args:
        folder: where to.
        series: the UID that was asked for; other objects are refused.
        progress: called with the number of objects so far.
    """

    def __init__(
        self, folder: Path, series: str, progress: Callable[[int], None] | None = None
    ) -> None:
        self.count = 0
        self._folder = folder
        self._series = series
        self._progress = progress
        self._trouble: OSError | None = None
        self._lock = threading.Lock()  # a PACS may send over several connections

    def take(self, event: Any) -> int:
        """Answer one C-STORE request with a status."""
        if not self._asked_for(event):
            return NOT_ASKED_FOR
        with self._lock:
            file = self._folder / f"{self.count + 1:06d}.dcm"
            try:
                write_atomic(file, event.encoded_dataset(), durable=False)
            except OSError as error:
                self._trouble = error
                return OUT_OF_RESOURCES
            self.count += 1
            if self._progress:
                self._progress(self.count)
        return 0

    def finish(self) -> None:
        """Complain about what went wrong on our side.

        Raises:
            OSError: an object could not be written.
        """
        if self._trouble:
            raise self._trouble

    def _asked_for(self, event: Any) -> bool:
        try:
            return bool(event.dataset.get("SeriesInstanceUID") == self._series)
        except Exception:  # noqa: BLE001  # whatever it is, it cannot be read
            return False


@contextmanager
def receiver(
    options: PacsOptions,
    pacs: DimseAddress,
    port: int,
    contexts: Sequence[tuple[Any, list[Any]]],
    received: Received,
) -> Iterator[None]:
    """Listen for a PACS while it sends.

    Only on the address that faces it, and only for its own title under our own.

    Raises:
        PacsError: the port is taken, or the PACS cannot be reached.
    """
    entity = AE(options.title)
    entity.require_called_aet = True
    entity.require_calling_aet = [pacs.title]
    entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = options.timeout
    for kind, syntaxes in contexts:
        entity.add_supported_context(kind, syntaxes)
    try:
        here = _facing(pacs)
        server = entity.start_server(
            (here, port), block=False, evt_handlers=[(evt.EVT_C_STORE, received.take)]
        )
    except OSError as error:
        message = f"port {port} cannot be listened on: {error.strerror}"
        raise PacsError("refused", message, remedy="Give another with --receive-port") from error
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()


def _facing(pacs: DimseAddress) -> str:
    """Our own address on the network of a PACS; nothing is sent to find out."""
    family, kind, _, _, where = socket.getaddrinfo(pacs.host, pacs.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)
        return str(probe.getsockname()[0])
