"""Fixtures for small real runs."""

from integration.federated import hospitals, quick, tampered
from integration.orthanc import orthanc

__all__ = ["hospitals", "orthanc", "quick", "tampered"]
