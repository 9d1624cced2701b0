"""How a console is reached."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from medfed.core.errors import RunError


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How a console is reached.

    Attributes:
        url: What people type, where a proxy stands before this program, such as
            ``https://console.example.org``; empty where they reach it directly.
        live: Whether pages follow runs; tests that look at pages only leave it out.
    """

    url: str = ""
    live: bool = True

    def __post_init__(self) -> None:
        if self.url and (urlsplit(self.url).scheme not in ("http", "https") or not self.host):
            raise RunError(
                f"{self.url!r} is not the address of a console",
                remedy="Give it as https://console.example.org",
            )

    @property
    def host(self) -> str:
        """Name of the host that people type; empty for any."""
        return urlsplit(self.url).hostname or ""

    @property
    def https(self) -> bool:
        """Whether browsers speak TLS with whatever stands before this program."""
        return urlsplit(self.url).scheme == "https"
