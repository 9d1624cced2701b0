"""The sites that have enrolled with a coordinator: ``sites/NAME.json``, one file each."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from medfed.core.errors import SiteError
from medfed.core.files import write_json
from medfed.federation.keys import fingerprint

SITES = "sites"


@dataclass(frozen=True, slots=True)
class EnrolledSite:
    """A site as the coordinator knows it.

    Attributes:
        name: Its name.
        key: Its Ed25519 public key, PEM: signs replies and receipts.
        fingerprint: Of that key, to compare by telephone.
        node_key: The public key of its node at the SuperLink, as OpenSSH writes it.
        enrolled: When, ISO 8601 in UTC.
        software: Its version of medfed on that day.
    """

    name: str
    key: str
    fingerprint: str
    node_key: str
    enrolled: str
    software: str

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The key that signs its replies.

        Raises:
            SiteError: The record was changed: key and fingerprint do not belong together.
        """
        try:
            key = load_pem_public_key(self.key.encode())
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey) or fingerprint(key) != self.fingerprint:
            remedy = "Restore its file from a backup, or remove and invite the site again"
            raise SiteError(f"the record of site {self.name} was changed", remedy=remedy)
        return key

    def same_keys(self, other: "EnrolledSite") -> bool:
        """Whether both hold the same two keys."""
        return (self.key, self.node_key) == (other.key, other.node_key)


def enrolled_sites(folder: Path) -> list[EnrolledSite]:
    """All enrolled sites of a coordinator's folder, by name."""
    return [_read(file) for file in sorted((folder / SITES).glob("*.json"))]


def enrolled_site(folder: Path, name: str) -> EnrolledSite | None:
    """One site; None if there is none of this name."""
    file = folder / SITES / f"{name}.json"
    return _read(file) if file.exists() else None


def add_site(folder: Path, site: EnrolledSite) -> None:
    """Write a site's record."""
    (folder / SITES).mkdir(exist_ok=True, mode=0o700)
    write_json(folder / SITES / f"{site.name}.json", asdict(site))


def remove_site(folder: Path, name: str) -> None:
    """Forget a site. The caller forgets its invitation too.

    Raises:
        SiteError: There is none of this name.
    """
    try:
        (folder / SITES / f"{name}.json").unlink()
    except FileNotFoundError:
        remedy = f"`medfed coordinator sites {folder}` lists them"
        raise SiteError(f"no site called {name!r} has enrolled", remedy=remedy) from None


def _read(file: Path) -> EnrolledSite:
    names = {one.name for one in fields(EnrolledSite)}
    try:
        given = json.loads(file.read_bytes())
        return EnrolledSite(**{name: str(given[name]) for name in names})
    except (OSError, ValueError, LookupError, TypeError):
        remedy = "Restore it from a backup, or remove the site and invite it again"
        raise SiteError(f"{file} is damaged", remedy=remedy) from None
