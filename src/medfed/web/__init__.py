"""The consoles in a browser, and their API. Nothing below this layer knows of it."""

from medfed.web.app import create_app
from medfed.web.options import WebOptions

__all__ = ["WebOptions", "create_app"]
