"""``medfed site doctor``: what stands between a site and its coordinator, check by check."""

from pathlib import Path

from medfed.services.doctor import connection, local, membership
from medfed.services.doctor.finding import Finding, skipped

__all__ = ["Finding", "examine"]


def examine(folder: Path, timeout: float = 10.0) -> list[Finding]:
    """Run all checks; none of them changes anything, but that the site is online for a moment.

    Args:
        folder: The site's folder.
        timeout: Seconds to wait for each answer from the network.

    Returns:
        One finding a check, in the order in which things build on each other.
    """
    settings, finding = local.read_settings(folder)
    if settings is None:
        return [finding]
    found = [finding, *local.examine(settings), *connection.examine(settings, timeout)]
    if any(each.check == "answer" and each.level == "ok" for each in found):
        found.append(membership.examine(settings))
    elif settings.coordinator:
        found.append(skipped(membership.CHECK, "not tried, because of the failure above"))
    return found
