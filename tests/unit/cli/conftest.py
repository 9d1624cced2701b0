"""Fixtures for small real runs."""

from integration.federated import hospitals, quick, tampered

__all__ = ["hospitals", "quick", "tampered"]
