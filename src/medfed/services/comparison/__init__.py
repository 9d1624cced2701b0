"""Is the federation worth it? Federated learning against alone, without one, and pooled."""

from medfed.services.comparison.recipes import BUILT_IN
from medfed.services.comparison.runner import CompareOptions, compare

__all__ = ["BUILT_IN", "CompareOptions", "compare"]
