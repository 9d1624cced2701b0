"""Is the federation worth it? Federated learning against alone, without one, and pooled."""

from medfed.services.comparison.compare import CompareOptions, compare
from medfed.services.comparison.recipes import BUILT_IN

__all__ = ["BUILT_IN", "CompareOptions", "compare"]
