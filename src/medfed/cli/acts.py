"""What commands do at the machine, said for a console's record before it is done."""

from contextlib import AbstractContextManager
from pathlib import Path


def about_to(
    folder: Path, action: str, subject: str = "", reason: str = "", *, urgent: bool = False
) -> AbstractContextManager[None]:
    """`medfed.services.machine_acts.about_to`, loaded where it is wanted only."""
    from medfed.services import machine_acts  # slow import

    return machine_acts.about_to(folder, action, subject, reason, urgent=urgent)
