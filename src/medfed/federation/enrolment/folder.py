"""The coordinator's folder, on the machine that orders and adds up.

::

    coordinator.toml    name, address, ports, pinned fingerprints
    key.pem  key.pub    the key whose orders sites obey
    ca.pem   ca.key     the authority that sites trust
    tls.pem             the certificate of the address, with its key
    invites/NAME.json   open invitations: the public half of a one-time key, never the code
    sites/NAME.json     enrolled sites
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509 import Certificate

from medfed.core.errors import SiteError
from medfed.core.files import write_atomic
from medfed.core.study import PLAIN, PLAIN_NAME
from medfed.federation.enrolment import certificates
from medfed.federation.enrolment.address import Address, split_bind
from medfed.federation.keys import PUBLIC, load_public, make_key
from medfed.federation.settings.coordinator import CoordinatorSettings, read_coordinator

SETTINGS = "coordinator.toml"


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate that somebody else made for the coordinator's address."""

    chain: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class CoordinatorFolder:
    """Access to a coordinator's folder.

    Attributes:
        path: The folder.
        file: Its settings, where they do not lie in it: what ``--config`` names. Fingerprints
            pinned there are demanded of sites that enrol.
    """

    path: Path
    file: Path | None = None

    def settings(self) -> CoordinatorSettings:
        """Read the settings; each time anew, so that a change needs no restart.

        Raises:
            SiteError: It is missing or wrong.
        """
        file = self.file or self.path / SETTINGS
        if not file.exists():
            remedy = f"Make it with `medfed coordinator init {self.path} --address https://HOST`"
            raise SiteError(f"{self.path} is not a coordinator's folder", remedy=remedy)
        return read_coordinator(file)

    def authority(self) -> Certificate:
        """The certificate that sites trust."""
        return certificates.load_certificate(self.path / certificates.CA)

    def certificate(self) -> Certificate:
        """The certificate that sites are shown."""
        return certificates.load_certificate(self.tls)

    @property
    def tls(self) -> Path:
        """The file with the certificate that sites are shown, and its key."""
        return self.path / certificates.TLS

    def public_key(self) -> Ed25519PublicKey:
        """The key that sites pin."""
        return load_public(self.path / PUBLIC)

    def warnings(self) -> list[str]:
        """Certificates that end within 30 days, in sentences with a remedy."""
        found = []
        late = certificates.expiry_warning(self.certificate(), "The server's certificate")
        if late:
            found.append(f"{late}. Renew it: medfed coordinator renew {self.path}")
        late = certificates.expiry_warning(self.authority(), "The authority that sites trust")
        if late:
            found.append(f"{late}. Make a new federation folder, and invite the sites again")
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads and processes from changing sites and invitations meanwhile."""
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def init_coordinator(
    path: Path,
    address: str,
    *,
    name: str = "federation",
    bind: str | None = None,
    own: OwnCertificate | None = None,
) -> CoordinatorFolder:
    """Make a coordinator's folder: settings, key, authority and server certificate.

    The settings are written last: a folder that has them is complete, and one that an
    interruption left without them is made again.

    Args:
        path: The folder.
        address: Where sites will find it: ``https://host:port``.
        name: The federation's name, for people.
        bind: ``host:port`` where the TLS server listens; all interfaces and the address's port
            when silent.
        own: A certificate of somebody else's, instead of an authority made here.

    Raises:
        SiteError: The folder is a coordinator's already, or something given is wrong.
    """
    where = Address.parse(address)
    if not PLAIN_NAME.fullmatch(name):
        raise SiteError(f"{name!r} is not a name for a federation", remedy=f"Use {PLAIN}")
    if (path / SETTINGS).exists():
        message = f"{path} is a coordinator's folder already"
        raise SiteError(message, remedy="Choose another folder")
    if bind is not None:
        _check_bind(bind)
    text = _settings_text(name, where, bind or f"0.0.0.0:{where.port}")
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if own:
        certificates.adopt(path, own.chain, own.key, own.authority, where)
    else:
        certificates.make_authority(path, name)
        certificates.make_server_certificate(path, where)
    make_key(path)
    for inner in ("invites", "sites"):
        (path / inner).mkdir(exist_ok=True, mode=0o700)
    write_atomic(path / SETTINGS, text.encode())
    return CoordinatorFolder(path)


def renew(folder: CoordinatorFolder, days: int = certificates.SERVER_DAYS) -> Certificate:
    """Make a new server certificate from the same authority; sites notice nothing.

    Raises:
        SiteError: The authority is somebody else's, or does not sign.
    """
    address = Address.parse(folder.settings().address)
    return certificates.make_server_certificate(folder.path, address, days)


def replace_certificate(folder: CoordinatorFolder, chain: Path, key: Path) -> Certificate:
    """Put the next certificate of somebody else's authority in place; sites notice nothing.

    Raises:
        SiteError: No site could connect with it.
    """
    address = Address.parse(folder.settings().address)
    authority = folder.path / certificates.CA
    certificates.adopt(folder.path, chain, key, authority, address)
    return folder.certificate()


def _check_bind(text: str) -> None:
    try:
        split_bind(text)
    except ValueError:
        remedy = "Write HOST:PORT, such as 0.0.0.0:8443"
        raise SiteError(f"{text!r} is no place to bind to", remedy=remedy) from None


def _settings_text(name: str, address: Address, bind: str) -> str:
    return f"""\
name = {json.dumps(name)}
address = "{address}"  # where sites find this coordinator
bind = {json.dumps(bind)}  # where it listens
"""
