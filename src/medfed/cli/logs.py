"""Structured logs on standard error; never patient data, never on standard output."""

import logging
import sys

from medfed.config import Settings

LEVELS = ("debug", "info", "warning", "error")


def set_up_logs(settings: Settings) -> None:
    """Send the log of this process to standard error, as lines of text or JSON."""
    import structlog  # a tenth of a second that `medfed --help` does not need

    renderer = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger("medfed")
    root.handlers = [handler]
    root.setLevel(settings.log.upper() if settings.log in LEVELS else "WARNING")
