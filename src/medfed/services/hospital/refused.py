"""Orders that a hospital's site refused, by its log: of which studies, when and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medfed.core.errors import DataError
from medfed.federation.audit.log import entries_of
from medfed.services.sites import site_vault


@dataclass(frozen=True, slots=True)
class RefusedStudy:
    """A study whose orders were refused.

    Attributes:
        digest: Its digest.
        last: When another order of it was refused last, ISO 8601; the same again is not logged.
        times: How many orders.
    """

    digest: str
    last: str
    times: int


def refused_studies(site: Path, name: str) -> list[RefusedStudy]:
    """The studies that were refused under a name.

    Args:
        site: The site's folder.
        name: Of the refusal.
    """
    found: dict[str, list[str]] = {}
    try:
        entries = entries_of(site, site_vault(site))
    except DataError:
        return []  # the page of receipts says that it is damaged
    for entry in entries:
        refused = entry.get("record") if isinstance(entry, Mapping) else None
        if not isinstance(refused, Mapping) or refused.get("name") != name:
            continue
        if digest := str(refused.get("study", "")):
            found.setdefault(digest, []).append(str(entry.get("time", "")))
    return [RefusedStudy(digest, max(times), len(times)) for digest, times in found.items()]
