"""The line below a finding's pictures, which goes with them wherever they are put."""

from collections.abc import Mapping, Sequence
from typing import Any

from medfed.inference.model import SYNTHETIC
from medfed.services.reports.speech import ENGLISH, Speech


def caption(model: Mapping[str, Any], notices: Sequence[str], say: Speech = ENGLISH) -> str:
    """Whose findings they are, and that they are for research.

    Args:
        model: What ``findings.json`` says of the model; a few digits tell it from others.
        notices: What must be known of it.
        say: What the line is said through.
    """
    digests = {"model": model["sha256"][:12], "study": model["study"][:12]}
    if SYNTHETIC in notices:
        return say("Research use only; synthetic training; model {model}; study {study}", **digests)
    return say("Research use only; model {model}; study {study}", **digests)
