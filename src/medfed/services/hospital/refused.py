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
        last: When it was asked for last, ISO 8601.
        times: How often.
    """

    digest: str
    last: str
    times: int


def refused_studies(site: Path, name: str, since: str = "") -> list[RefusedStudy]:
    """The studies that were refused under a name.

    Args:
        site: The site's folder.
        name: Of the refusal.
        since: From when on, ISO 8601; ever when empty.
    """
    found: dict[str, list[str]] = {}
    try:
        entries = entries_of(site, site_vault(site))
    except DataError:
        return []  # the page of receipts says that it is damaged
    for entry in entries:
        refused = entry.get("record") if isinstance(entry, Mapping) else None
        if isinstance(refused, Mapping) and refused.get("name") == name:
            digest, at = str(refused.get("study", "")), str(entry.get("time", ""))
            if digest and at >= since:
                found.setdefault(digest, []).append(at)
    return [RefusedStudy(digest, max(times), len(times)) for digest, times in found.items()]
