"""A console for tests of pages and the API."""

from __future__ import annotations

import shutil

import pytest
from clinics import clinic_of
from consoles import Stage, hospital_of, stage_of


@pytest.fixture
def stage(tmp_path, sqlite_url) -> Stage:
    return stage_of(tmp_path / "console", sqlite_url)


@pytest.fixture
def hospital(tmp_path, _empty_sqlite) -> Stage:
    file = shutil.copy(_empty_sqlite, tmp_path / "hospital.sqlite")
    return hospital_of(tmp_path / "hospital", f"sqlite:///{file}")


@pytest.fixture
def clinic(tmp_path) -> Stage:
    """The console of a hospital that has a scan and released models."""
    return clinic_of(tmp_path).stage
