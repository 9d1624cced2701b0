"""What the consoles do: studies, runs as processes of their own, models; without a web page."""

from medfed.services.console.console import COORDINATOR, Console, Faces

__all__ = ["COORDINATOR", "Console", "Faces"]
