"""Federated medical AI between hospitals: the data stay, the hospital decides."""

__version__ = "0.1.0"
