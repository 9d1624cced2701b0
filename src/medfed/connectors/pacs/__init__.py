"""A hospital's PACS: query, retrieve and store, by DICOMweb (PS3.18) or DIMSE (PS3.4, PS3.7).

`open_pacs` takes an address, ``https://…`` or ``TITLE@HOST:PORT``, and gives the same four things
either way: ``check``, ``find``, ``fetch`` and ``send``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medfed.connectors.pacs.address import DimseAddress, PacsOptions, parse_address
from medfed.connectors.pacs.problems import PacsError
from medfed.connectors.pacs.query import Pacs, PacsSeries, Query

if TYPE_CHECKING:
    from medfed.connectors.pacs.address import Address

__all__ = [
    "Pacs",
    "PacsError",
    "PacsOptions",
    "PacsSeries",
    "Query",
    "open_pacs",
    "parse_address",
]


def open_pacs(address: str | Address, options: PacsOptions | None = None) -> Pacs:
    """Access to a PACS; nothing is sent before it is asked for something.

    Args:
        address: ``https://HOST/PATH`` for DICOMweb, ``TITLE@HOST:PORT`` for DIMSE.
        options: titles, certificates, credentials, timeouts.

    Raises:
        PacsError: the address makes no sense, or a certificate file cannot be read.
    """
    found = parse_address(address) if isinstance(address, str) else address
    options = options or PacsOptions()
    if isinstance(found, DimseAddress):
        from medfed.connectors.pacs.dimse import DimsePacs

        return DimsePacs(found, options)
    from medfed.connectors.pacs.dicomweb import WebPacs

    return WebPacs(found, options)
