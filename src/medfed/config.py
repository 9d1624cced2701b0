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
        database: ``MEDFED_DATABASE``: URL of the console's database; an embedded one by default.
        console: ``MEDFED_CONSOLE``: the console's folder; ``console`` by default.
        url: ``MEDFED_URL``: what people type to reach the console through a proxy.
        token: ``MEDFED_TOKEN``: what lets one submit studies to a running coordinator.
        pacs_user: ``MEDFED_PACS_USER``: for a PACS with DICOMweb.
        pacs_password: ``MEDFED_PACS_PASSWORD``: its password.
        pacs_token: ``MEDFED_PACS_TOKEN``: a bearer token, in place of both.
        log: ``MEDFED_LOG``: level of the log on standard error; ``warning`` by default.
        log_format: ``MEDFED_LOG_FORMAT``: ``text`` or ``json``.
    """

    data: Path | None = None
    runs: Path = Path("runs")
    database: str = field(default="", repr=False)
    console: Path = Path("console")
    url: str = ""
    token: str = field(default="", repr=False)
    pacs_user: str = ""
    pacs_password: str = field(default="", repr=False)
    pacs_token: str = field(default="", repr=False)
    log: str = "warning"
    log_format: str = "text"

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings."""
        data = environment.get("MEDFED_DATA")
        return cls(
            data=Path(data) if data else None,
            runs=Path(environment.get("MEDFED_RUNS", "runs")),
            database=environment.get("MEDFED_DATABASE", ""),
            console=Path(environment.get("MEDFED_CONSOLE", "console")),
            url=environment.get("MEDFED_URL", ""),
            token=environment.get("MEDFED_TOKEN", ""),
            pacs_user=environment.get("MEDFED_PACS_USER", ""),
            pacs_password=environment.get("MEDFED_PACS_PASSWORD", ""),
            pacs_token=environment.get("MEDFED_PACS_TOKEN", ""),
            log=environment.get("MEDFED_LOG", "warning").lower(),
            log_format=environment.get("MEDFED_LOG_FORMAT", "text").lower(),
        )
