"""Settings: read once from the environment, passed down."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    Attributes:
        data: ``MEDFED_DATA``: the folder of the sites' data.
        runs: ``MEDFED_RUNS``: where runs are kept; ``runs`` by default.
        token: ``MEDFED_TOKEN``: what lets one submit studies to a running coordinator.
        log: ``MEDFED_LOG``: level of the log on standard error; ``warning`` by default.
        log_format: ``MEDFED_LOG_FORMAT``: ``text`` or ``json``.
    """

    data: Path | None = None
    runs: Path = Path("runs")
    token: str = field(default="", repr=False)
    log: str = "warning"
    log_format: str = "text"

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings."""
        data = environment.get("MEDFED_DATA")
        return cls(
            data=Path(data) if data else None,
            runs=Path(environment.get("MEDFED_RUNS", "runs")),
            token=environment.get("MEDFED_TOKEN", ""),
            log=environment.get("MEDFED_LOG", "warning").lower(),
            log_format=environment.get("MEDFED_LOG_FORMAT", "text").lower(),
        )
