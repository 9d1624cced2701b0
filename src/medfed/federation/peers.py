"""The other sites' public keys, pinned in a site's folder: ``peers/NAME.pub``.

They come from people who compared fingerprints, or with the site's enrolment; never from an order.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from medfed.core.errors import SiteError
from medfed.core.files import write_atomic, write_json
from medfed.core.study import PLAIN, PLAIN_NAME
from medfed.federation.keys import load_public, public_pem

PEERS = "peers"
SCHEMA = 1
_known: dict[Path, tuple[int, bytes]] = {}
"""Raw keys by file, as of its last change: they are asked for at every order."""


def pinned(folder: Path) -> dict[str, bytes]:
    """The raw Ed25519 keys pinned in a site's folder, by site.

    Raises:
        SiteError: One of the files is no key.
    """
    found = {}
    for file in sorted((folder / PEERS).glob("*.pub")):
        changed = file.stat().st_mtime_ns
        if file not in _known or _known[file][0] != changed:
            _known[file] = (changed, load_public(file).public_bytes_raw())
        found[file.stem] = _known[file][1]
    return found


def pin(folder: Path, keys: Mapping[str, Ed25519PublicKey], *, replace: bool = False) -> None:
    """Pin keys.

    Raises:
        SiteError: Another key is pinned for one of the sites already, and is not to be replaced.
    """
    before = pinned(folder)
    for site, key in keys.items():
        if before.get(site, key.public_bytes_raw()) != key.public_bytes_raw() and not replace:
            message = f"another key of site {site} is pinned already"
            remedy = "Ask that site by telephone why it changed; then pin it with --replace"
            raise SiteError(message, remedy=remedy)
    (folder / PEERS).mkdir(exist_ok=True)
    for site, key in keys.items():
        if before.get(site) != key.public_bytes_raw():
            write_atomic(folder / PEERS / f"{site}.pub", public_pem(key))


def write_roster(file: Path, keys: Mapping[str, Ed25519PublicKey]) -> None:
    """Write keys to a file that sites can pin."""
    pems = {site: public_pem(key).decode() for site, key in keys.items()}
    write_json(file, {"schema": SCHEMA, "sites": pems})


def read_roster(file: Path) -> dict[str, Ed25519PublicKey]:
    """The keys of a file that `write_roster` wrote.

    Raises:
        SiteError: It is none.
    """
    remedy = "Ask the coordinator for one: medfed coordinator roster"
    try:
        given = json.loads(file.read_bytes())
        pems = dict(given["sites"])
    except OSError as error:
        raise SiteError(f"{file} cannot be read: {error.strerror}", remedy=remedy) from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise SiteError(f"{file} holds no list of sites' keys", remedy=remedy) from None
    found = {}
    for site, pem in pems.items():
        if not PLAIN_NAME.fullmatch(site):
            raise SiteError(f"{site[:64]!r} is not a site name", remedy=f"Use {PLAIN}")
        try:
            key = load_pem_public_key(str(pem).encode())
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise SiteError(f"{file} holds no usable key of site {site}", remedy=remedy)
        found[site] = key
    return found
