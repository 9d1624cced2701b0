"""A hospital's console for tests of pages."""

from __future__ import annotations

import pytest
from consoles import Stage


@pytest.fixture
def clinic(make_clinic) -> Stage:
    """The console of a hospital that has a scan and released models."""
    return make_clinic().stage
