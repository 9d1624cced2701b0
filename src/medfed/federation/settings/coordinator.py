"""What ``medfed coordinator --config FILE`` is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.errors import SiteError
from medfed.core.options import option
from medfed.federation.enrolment.address import Address, split_bind
from medfed.federation.settings.reading import Reader
from medfed.federation.settings.short_form import ShortForm, read_short_form

HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class _Fields:
    """A coordinator's file."""

    name: str = option("federation", help="The federation's name")
    address: str = option(help="Where sites find it: https://host:port")
    bind: str | None = option(None, help="host:port where it listens; all interfaces if silent")
    folder: str | None = option(None, help="Where its keys lie; the file's own folder if silent")
    min_sites: int = option(1, help="Sites that must be connected before a study begins", low=1)
    superlink_port: int = option(0, help="Flower's SuperLink, loopback; 0: any", low=0, high=65535)
    enrol_port: int = option(0, help="Enrolment, loopback; 0: any free", low=0, high=65535)
    control_port: int = option(0, help="Where studies are taken, loopback", low=0, high=65535)
    encrypt_with: str | None = option(
        None,
        help='What submitted runs are encrypted with, messages staying in memory: "passphrase", '
        "or the path of a key file",
    )


@dataclass(frozen=True, slots=True)
class _Site:
    """A table of ``[[sites]]``."""

    id: str = option(help="The site's name")
    fingerprint: str | None = option(None, help="Only this key may enrol under the name")


@dataclass(frozen=True, slots=True)
class PinnedSite:
    """A site named in the file; with a fingerprint, only that key may enrol under the name."""

    id: str
    fingerprint: str | None = None
    """As `medfed.federation.keys.fingerprint` writes it."""


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    """What a coordinator's file says, the command line's flags taken in.

    Attributes:
        file: The file.
        folder: Where keys, certificates and the list of sites lie.
        name: The federation's name.
        address: Where sites find it, such as ``https://fed.example.org:8443``.
        bind_host: Where the TLS server (nginx) listens.
        bind_port: The port it listens on.
        sites: Sites named in the file.
        min_sites: Sites that must be connected before a study begins.
        superlink_port: Port of Flower's SuperLink on loopback; 0 for any.
        enrol_port: Port of the enrolment's server on loopback; 0 for any.
        control_port: Port where studies are taken, on loopback; 0 for any.
        encrypt_with: What runs that are submitted are encrypted with; messages stay in memory then.
        short: The short form for one machine, if the file is one.
    """

    file: Path
    folder: Path
    name: str
    address: str
    bind_host: str
    bind_port: int
    sites: tuple[PinnedSite, ...] = ()
    min_sites: int = 1
    superlink_port: int = 0
    enrol_port: int = 0
    control_port: int = 0
    encrypt_with: str | None = None
    short: ShortForm | None = None

    def pinned(self, site: str) -> str | None:
        """The fingerprint that the file demands of a site, if it demands one."""
        return next((one.fingerprint for one in self.sites if one.id == site), None)


def read_coordinator(file: Path, overrides: Mapping[str, Any] | None = None) -> CoordinatorSettings:
    """Read a coordinator's file, TOML or JSON, in its long or short form.

    Args:
        file: The file.
        overrides: Fields that win over the file's, such as ``address``; ``host`` and ``port``
            stand for the halves of ``bind``.

    Raises:
        SettingsError: With every problem found.
    """
    flags = dict(overrides or {})
    own_host, own_port = flags.pop("host", None), flags.pop("port", None)
    reader = Reader(file, flags)
    short = read_short_form(reader) if "workers" in reader.given else None
    given = {name: value for name, value in reader.given.items() if name != "sites"}
    if short:
        given = {"name": "one-machine", "address": "https://localhost:8443", **short.rest}
        given.setdefault("min_sites", max(1, len(short.form.workers)))
    values = reader.fields(_Fields, given)
    sites = reader.tables("sites", _Site)
    reader.names("sites", sites)
    prints = [_fingerprint(reader, i, one.get("fingerprint")) for i, one in enumerate(sites)]
    address = _address(reader, values.get("address"))
    everybody = "127.0.0.1" if short else "0.0.0.0"  # noqa: S104  # whom it is meant for
    host, port = _bind(reader, values.get("bind"), everybody, address)
    reader.done()
    return CoordinatorSettings(
        file=file,
        folder=reader.path(values["folder"]) or _own_folder(file, short is not None),
        name=values["name"],
        address=str(address),
        bind_host=own_host or host,
        bind_port=port if own_port is None else own_port,
        sites=tuple(PinnedSite(s["id"], p) for s, p in zip(sites, prints, strict=True)),
        min_sites=values["min_sites"],
        superlink_port=values["superlink_port"],
        enrol_port=values["enrol_port"],
        control_port=values["control_port"],
        encrypt_with=_secret(reader, values["encrypt_with"]),
        short=short.form if short else None,
    )


def _secret(reader: Reader, how: str | None) -> str | None:
    """What opens encrypted runs; the path of a key file taken from the file's own folder."""
    if how is None or how == "passphrase" or how.startswith(("$", "~")):
        return how
    return str(reader.path(how))


def _own_folder(file: Path, short: bool) -> Path:
    """Where keys lie when the file is silent: beside it, as `medfed run --sites` has them."""
    parent = file.parent.resolve()
    return parent / "federation" / "coordinator" if short else parent


def _address(reader: Reader, text: str | None) -> Address | None:
    if text is None:
        return None
    try:
        return Address.parse(text)
    except SiteError as error:
        reader.complain("address", error.message, error.remedy)
        return None


def _bind(reader: Reader, text: str | None, host: str, address: Address | None) -> tuple[str, int]:
    """What it listens on; the address's own port on ``host`` when the file is silent."""
    if text is None:
        return host, address.port if address else 0
    try:
        return split_bind(text)
    except ValueError:
        remedy = 'Write bind = "HOST:PORT", such as "0.0.0.0:8443"'
        reader.complain("bind", f"{text!r} is not a host and a port", remedy)
        return "", 0


def _fingerprint(reader: Reader, number: int, text: str | None) -> str | None:
    if text is None:
        return None
    plain = "".join(text.replace(":", " ").split()).lower()
    if len(plain) != 32 or not HEX.issuperset(plain):
        remedy = "Copy all eight groups of four that `medfed site show` prints at the site"
        reader.complain(f"sites[{number}].fingerprint", f"{text!r} is not a fingerprint", remedy)
    return " ".join(plain[i : i + 4] for i in range(0, 32, 4))
