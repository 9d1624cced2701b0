"""Consoles for tests of pages, the API and what is behind them: made once, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clinics import Clinic
    from consoles import Stage


def _copied(url: str, mould: Path) -> str:
    """The URL of a fresh database, with what the mould's has in it."""
    shutil.copy(mould / "console.sqlite", url.removeprefix("sqlite:///"))
    return url


def _mould(make: Callable[[Path, str], Stage], place: Path, empty: Path) -> tuple[Path, Stage]:
    """A console in a folder of its own, closed again, to be copied."""
    made = make(place / "console", f"sqlite:///{shutil.copy(empty, place / 'console.sqlite')}")
    made.console.database.close()
    return place, made


@pytest.fixture(scope="session")
def _stage_mould(tmp_path_factory: pytest.TempPathFactory, _empty_sqlite: Path):
    from consoles import stage_of

    return _mould(stage_of, tmp_path_factory.mktemp("stage"), _empty_sqlite)


@pytest.fixture
def stage(tmp_path: Path, sqlite_url: str, _stage_mould) -> Stage:
    """A coordinator's console with a study and a finished run."""
    from consoles import copy_of

    place, made = _stage_mould
    shutil.copytree(place / "console", tmp_path / "console")
    return copy_of(made, tmp_path / "console", _copied(sqlite_url, place))


@pytest.fixture(scope="session")
def _hospital_mould(tmp_path_factory: pytest.TempPathFactory, _empty_sqlite: Path):
    from consoles import hospital_of

    return _mould(hospital_of, tmp_path_factory.mktemp("hospital"), _empty_sqlite)


@pytest.fixture
def hospital(tmp_path: Path, _hospital_mould) -> Stage:
    """A hospital's console over a site without data."""
    from consoles import copy_of

    place, made = _hospital_mould
    shutil.copytree(place / "console", tmp_path / "hospital")
    return copy_of(
        made, tmp_path / "hospital", _copied(f"sqlite:///{tmp_path}/hospital.sqlite", place)
    )


@pytest.fixture(scope="session")
def _clinic_mould(tmp_path_factory: pytest.TempPathFactory):
    from clinics import clinic_of

    place = tmp_path_factory.mktemp("clinic")
    made = clinic_of(place)
    made.stage.console.database.close()
    return place, made


@pytest.fixture
def make_clinic(tmp_path: Path, _clinic_mould) -> Callable[..., Clinic]:
    """Call it for a hospital that has a scan and released models."""
    from clinics import clinic_copy

    def make(options=None) -> Clinic:
        place, made = _clinic_mould
        shutil.copytree(place, tmp_path, dirs_exist_ok=True)
        return clinic_copy(made, tmp_path, options)

    return make
