"""The last check: whether the coordinator lets this site in, asked as the site itself would."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medfed.core.errors import SiteError
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.certificates import CA
from medfed.federation.enrolment.node_key import NODE_KEY
from medfed.federation.settings.site import SiteFile
from medfed.services.doctor.finding import Finding, failure, ok, skipped
from medfed.services.federation.alone import is_served

CHECK = "membership"


def examine(settings: SiteFile) -> Finding:
    """Go online for a moment; a site that is being served just now is left alone."""
    if is_served(settings.folder / "line", "site"):
        return skipped(CHECK, "the site is being served: what its process says tells more")
    try:
        with _through(settings.proxy):
            _go_online(settings)
    except SiteError as error:
        remedy = "Ask the coordinator for a new invitation, then: medfed site join CODE"
        return failure(CHECK, error.message, error.remedy or remedy)
    except OSError as error:
        remedy = "Ask the coordinator whether all of it is running: medfed coordinator status"
        return failure(CHECK, f"the line for studies does not answer: {error}", remedy)
    return ok(CHECK, "the coordinator lets this site in")


def _go_online(settings: SiteFile) -> None:
    import httpx

    from medfed.federation.flower.fleet import Fleet

    address = Address.parse(settings.coordinator or "").netloc
    with tempfile.TemporaryDirectory(prefix="medfed-doctor-") as folder:
        own = settings.folder
        fleet = Fleet(address, own / CA, own / NODE_KEY, Path(folder) / "node")
        try:
            try:
                fleet.connect()
            finally:
                fleet.leave()
        except httpx.HTTPError as error:
            raise OSError(str(error) or type(error).__name__) from None


@contextmanager
def _through(proxy: str | None) -> Iterator[None]:
    """Flower finds its proxy in the environment."""
    before = os.environ.get("HTTPS_PROXY")
    if proxy:
        os.environ["HTTPS_PROXY"] = proxy
    try:
        yield
    finally:
        if proxy and before is None:
            del os.environ["HTTPS_PROXY"]
        elif proxy and before is not None:
            os.environ["HTTPS_PROXY"] = before
