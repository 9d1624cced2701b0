"""Orders that a site has in hand, on its disk until their replies have arrived."""

import logging
import struct
from dataclasses import dataclass
from pathlib import Path

from medfed.core.errors import DataError, WireError
from medfed.core.vault import OPEN, Vault
from medfed.federation.flower.fleet import Fetched
from medfed.federation.wire import Sealed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """An order in hand.

    Attributes:
        order: The order, and its envelope.
        file: Where it lies.
    """

    order: Fetched
    file: Path


class Inbox:
    """A place for the order that is worked on, and one for the order whose reply is on its way.

    Args:
        file: The first place; the second lies beside it.
        vault: How orders lie on the disk.
    """

    def __init__(self, file: Path, vault: Vault = OPEN) -> None:
        self._places = (file, file.with_name(f"{file.name}-2"))
        self._vault = vault

    def keep(self, order: Fetched) -> Kept:
        """Write an order down."""
        file = next(file for file in self._places if not file.exists())
        length = struct.pack("<I", len(order.envelope))
        self._vault.write(file, (length, order.envelope, *order.sealed.pieces()))
        return Kept(order, file)

    def next(self, besides: Path | None) -> Kept | None:
        """The oldest order, besides one that needs no more work; None when there is no other."""
        files = [file for file in self._places if file != besides and file.exists()]
        for file in sorted(files, key=lambda file: file.stat().st_mtime_ns):
            try:
                blob = self._vault.read(file)
                (length,) = struct.unpack_from("<I", blob)
                order = Fetched(Sealed.from_bytes(blob[4 + length :]), blob[4 : 4 + length])
            except (struct.error, WireError, DataError):
                log.warning("the order in hand was damaged on the disk; it will be sent again")
                file.unlink()
            else:
                return Kept(order, file)
        return None
