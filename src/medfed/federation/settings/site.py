"""What ``site.toml`` and ``medfed site --config FILE`` say."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medfed.core.errors import SiteError
from medfed.core.options import option
from medfed.federation.enrolment.address import Address, is_loopback
from medfed.federation.settings.coordinator import read_coordinator
from medfed.federation.settings.own_rules import OwnFields
from medfed.federation.settings.reading import Reader


@dataclass(frozen=True)
class _Fields(OwnFields):
    """A site's file."""

    coordinator: str | None = option(None, help="The coordinator's address, https://host:port")
    host: str = option("127.0.0.1", help="Where its console listens: this machine")
    port: int = option(
        0, help="Port of its console in a browser; 0: it has none", low=0, high=65535
    )
    proxy: str | None = option(None, help="The way out, http://host:port; else HTTPS_PROXY")
    folder: str | None = option(None, help="Where its keys lie; the file's own folder if silent")
    console: int | None = option(None, help="The same as `port`", low=1, high=65535)
    console_url: str | None = option(
        None, help="What people type for the console, where a proxy with TLS stands before it"
    )


CONNECTION = frozenset({"coordinator", "host", "port", "proxy", "folder", "console", "console_url"})
"""Fields that say how a site is reached and reaches out; `SiteFolder` needs none of them."""


def own_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a site's file that are its own rules, ``name`` read as ``id``."""
    own = {name: value for name, value in given.items() if name not in CONNECTION}
    if "name" in own:
        own["id"] = own.pop("name")
    return own


@dataclass(frozen=True, slots=True)
class SiteFile:
    """What a site's file says, the command line's flags taken in.

    Attributes:
        file: The file.
        folder: Where key, approvals and receipts lie.
        id: The site's name.
        data: Folder of its data.
        min_patients: With fewer training patients it refuses.
        coordinator: The coordinator's address; None for a site that has not joined.
        host: Where its console listens, on this machine.
        port: Port of its console; 0 for none.
        proxy: The way out; the environment's when None.
        console_url: What people type for the console, where a proxy stands before it.
    """

    file: Path
    folder: Path
    id: str
    data: Path | None = None
    min_patients: int = 1
    coordinator: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    proxy: str | None = None
    console_url: str | None = None


def read_site(file: Path, overrides: Mapping[str, Any] | None = None) -> SiteFile:
    """Read a site's file, TOML or JSON, or one member of a short form.

    Args:
        file: The file.
        overrides: Fields that win over the file's: ``id``, ``host``, ``port``, ``data`` …; with
            the short form, ``id`` says which of the workers.

    Raises:
        SettingsError: With every problem found.
    """
    reader = Reader(file, overrides)
    if "workers" in reader.given:
        return _member(reader)
    values = reader.fields(_Fields, _named(reader))
    _check(reader, values)
    reader.done()
    return SiteFile(
        file=file,
        folder=reader.path(values["folder"]) or file.parent.resolve(),
        id=values["id"],
        data=reader.path(values["data"]),
        min_patients=values["min_patients"],
        coordinator=values["coordinator"],
        host=values["host"],
        port=values["port"] or values["console"] or 0,
        proxy=values["proxy"],
        console_url=values["console_url"],
    )


def _named(reader: Reader) -> dict[str, Any]:
    """The fields with ``name`` read as ``id``."""
    given = dict(reader.given)
    if "name" in given:
        name = given.pop("name")
        if given.setdefault("id", name) != name:
            message = f"is {name!r}, and id is {given['id']!r}"
            reader.complain("name", message, "Keep one of the two")
    return given


def _check(reader: Reader, values: Mapping[str, Any]) -> None:
    if "id" in values:
        reader.name("id" if "id" in reader.given else "name", values["id"])
    if values.get("coordinator") is not None:
        try:
            Address.parse(values["coordinator"])
        except SiteError as error:
            reader.complain("coordinator", error.message, error.remedy)
    host = values.get("host")
    if host is not None and not is_loopback(host):
        remedy = 'Write "127.0.0.1", and let a proxy with TLS stand before the console'
        reader.complain("host", f"{host!r} can be reached from other machines", remedy)
    port, console = values.get("port"), values.get("console")
    if port and console and port != console:
        reader.complain("console", f"is {console}, and port is {port}", "Keep one of the two")
    if values.get("proxy") is not None and not _is_proxy(values["proxy"]):
        remedy = "Write it as http://HOST:PORT"
        reader.complain("proxy", f"{values['proxy']!r} is not the address of a proxy", remedy)


def _is_proxy(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme == "http" and bool(parts.hostname) and bool(parts.port)
    except ValueError:
        return False


def _member(reader: Reader) -> SiteFile:
    """One worker of a short form, its own flags taken in."""
    whole = read_coordinator(reader.file)
    workers = {one.id: one for one in whole.short.workers} if whole.short else {}
    wanted = reader.given.get("id")
    if wanted not in workers:
        known = ", ".join(workers)
        message = f"{wanted!r} is none of the workers" if wanted else "is missing"
        reader.complain("id", message, f"Say which with --id; known: {known}")
        reader.done()
    one = workers[str(wanted)]
    data = reader.given.get("data", str(one.data))
    values = reader.fields(
        _Fields,
        {
            "id": one.id,
            "data": data,
            "coordinator": whole.address,
            "host": reader.given.get("host", one.host),
            "port": reader.given.get("port", one.port),
        },
    )
    _check(reader, values)
    reader.done()
    folder = whole.folder.parent / one.id
    path = reader.path(values["data"])
    return SiteFile(
        reader.file, folder, one.id, path, 1, whole.address, values["host"], values["port"]
    )
