"""Studies and people for tests of the console."""

from __future__ import annotations

import pytest
from accounting import BREAST_CANCER

from medfed.services.accounts import Identity
from medfed.services.accounts.roles import ROLES


@pytest.fixture
def coordinator() -> Identity:
    return Identity(id=1, name="wang", rights=frozenset(ROLES["coordinator"]))


@pytest.fixture
def researcher() -> Identity:
    return Identity(id=2, name="li", rights=frozenset(ROLES["researcher"]))


@pytest.fixture
def text() -> str:
    """A study that needs no data folder."""
    return BREAST_CANCER
