"""A hospital's console for tests of what it does."""

from __future__ import annotations

import shutil

import pytest
from consoles import Stage, hospital_of


@pytest.fixture
def hospital(tmp_path, _empty_sqlite) -> Stage:
    file = shutil.copy(_empty_sqlite, tmp_path / "hospital.sqlite")
    return hospital_of(tmp_path / "hospital", f"sqlite:///{file}")
