"""A site in a process of the cluster, and what travels to and from it.

What travels is the parts of a `Sealed`: header and signature as bytes, the payload as bytes or,
when it is large, in Ray's object store, where all sites of a machine read the same copy in place.
"""

import hashlib
import socket
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from medfed.core.errors import RunError
from medfed.core.files import Buffer
from medfed.federation.local import OpenSite
from medfed.federation.ray_channel.sealing import ORDER, REPLY, End
from medfed.federation.wire import Sealed

INLINE = 64 * 1024
"""Bytes up to which a payload travels inside the call; a larger one lies in the object store."""


class SiteActor:
    """A site in an actor's process; it takes and gives encoded bytes only.

    Args:
        folder: The site's folder.
        open_site: Opens it.
    """

    def __init__(self, folder: Path, open_site: OpenSite) -> None:
        self._folder = folder
        self._open_site = open_site
        self._site: Any = None
        self._end = End()

    def look(self) -> dict[str, str]:
        """Where this is, which medfed, and whose folder it sees; and what seals messages to it."""
        return {
            "node": socket.gethostname(),
            "medfed": version("medfed"),
            "key": key_of(self._folder),
            "end": self._end.public.hex(),
        }

    def handle(
        self, header: bytes, signature: bytes, payload: Any
    ) -> tuple[float, bytes, bytes, Any]:
        """Answer an order: seconds, and the parts of the reply."""
        reply, seconds = self._answer(Sealed(header, signature, unpacked(payload)))
        return seconds, reply.header, reply.signature, packed(reply.payload)

    def handle_sealed(self, blob: Any, of: bytes) -> tuple[float, Any]:
        """Answer an order that Ray cannot read: seconds, and the reply, sealed too."""
        reply, seconds = self._answer(self._end.open(blob, of, ORDER))
        return seconds, self._end.seal(reply, of, REPLY)

    def _answer(self, order: Sealed) -> tuple[Sealed, float]:
        if self._site is None:
            self._site = self._open_site(self._folder)
        start = time.perf_counter()
        reply = self._site.handle(order)
        return reply, time.perf_counter() - start


def packed(payload: Buffer) -> Any:
    """A payload as Ray carries it best: large ones as an array, which is read in place."""
    if len(payload) <= INLINE:
        return bytes(payload)
    return np.frombuffer(payload, np.uint8)


def unpacked(payload: Any) -> Buffer:
    """What `packed` was given."""
    return payload if isinstance(payload, bytes) else memoryview(payload)


def key_of(folder: Path) -> str:
    """What tells a site's folder from another of the same name."""
    try:
        return hashlib.sha256((folder / "key.pub").read_bytes()).hexdigest()
    except OSError:
        return ""


def compare(site: str, folder: Path, found: Mapping[str, str]) -> None:
    """See that an actor sees what this process sees.

    Args:
        site: Its site.
        folder: The site's folder, as this process knows it.
        found: What `SiteActor.look` gave.

    Raises:
        RunError: It runs another medfed, or does not see the folder.
    """
    if found["medfed"] != version("medfed"):
        raise RunError(
            f"node {found['node']} has medfed {found['medfed']}, here it is {version('medfed')}",
            remedy="Install the same medfed on every node of the cluster",
        )
    if found["key"] != key_of(folder):
        raise RunError(
            f"site {site}'s actor on node {found['node']} does not see the folder {folder}",
            remedy="Put the run's folder (--out) or the sites' (--sites) on storage that all nodes "
            "see under the same path",
        )
