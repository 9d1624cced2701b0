"""Fixtures for reports."""

from functools import partial

import pytest
from unit.services.reports.made_up_run import STUDY, new_run, result_of, row

from medfed.core.study_file import parse_study
from medfed.services.reports import write_report


@pytest.fixture
def begin(tmp_path):
    """Begin a run's folder: ``begin(study, rows)``."""
    return partial(new_run, tmp_path / "run")


@pytest.fixture(scope="module")
def study():
    return parse_study(STUDY)


@pytest.fixture(scope="module")
def run(study, tmp_path_factory):
    """A run like many, with its report."""
    late = {"south": {"reason": "late", "message": "no reply within 30 s"}}
    rows = [row(r, study.sites, late if r == 2 else None) for r in range(5)]
    folder = new_run(tmp_path_factory.mktemp("runs") / "run", study, rows)
    write_report(folder, result_of(study))
    return folder
