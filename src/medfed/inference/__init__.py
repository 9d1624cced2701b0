"""A trained model used on one scan: what it finds, where, and how to hand that on."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medfed.inference.findings import Finding
    from medfed.inference.model import ModelIdentity
    from medfed.inference.predictor import NodulePredictor, Prediction

__all__ = ["RESEARCH_USE", "Finding", "ModelIdentity", "NodulePredictor", "Prediction"]

RESEARCH_USE = (
    "Research use only. Not a medical device: its findings must not guide diagnosis or treatment."
)
"""Stands on everything that is written about a scan."""

_HOMES = {"Finding": "findings", "ModelIdentity": "model"}


def __getattr__(name: str) -> Any:
    """Import the parts when they are asked for: they bring SciPy and more."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'predictor')}"), name)
