"""What left a hospital in a rehearsal: shown from where the runs' own sites signed it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from working_sites import NAME, worked

from medfed.services.hospital.receipts import Receipts
from medfed.services.hospital.rehearsed import RehearsedReceipts
from medfed.services.sites import create_site
from medfed.services.trouble import Missing


@pytest.fixture
def hospital(tmp_path: Path) -> RehearsedReceipts:
    """A hospital whose own site did nothing, and a folder for runs."""
    create_site(tmp_path / "own", NAME, None)
    return RehearsedReceipts(tmp_path / "own", tmp_path / "runs")


def rehearse(tmp_path: Path, run: str, site: str = NAME) -> Path:
    """A run whose site did something."""
    place = tmp_path / "runs" / run / "sites" / site
    shutil.copytree(worked(), place)
    return place


def test_before_any_run_nothing_left(hospital):
    assert hospital.runs() == []
    assert list(hospital.lines()) == []
    assert (hospital.verified().verdict.receipts, hospital.verified().verdict.faults) == (0, [])


def test_what_the_runs_sites_signed_is_shown_and_good(hospital, tmp_path):
    place = rehearse(tmp_path, "one")
    rehearse(tmp_path, "two", "another-hospital")
    (run,) = hospital.runs()
    alone = Receipts(place)
    assert run == alone.runs()[0]
    assert (run.count > 0, run.bad) == (True, 0)
    assert hospital.of_run(run.run) == alone.of_run(run.run)
    assert list(hospital.lines()) == list(hospital.lines(run.run)) == list(alone.lines())
    found = hospital.verified()
    assert (found.verdict.receipts, found.verdict.faults) == (run.count, [])
    assert found.fingerprint.splitlines()[1:] == [alone.verified().fingerprint]
    with pytest.raises(Missing):
        hospital.of_run("none")


def test_a_run_hides_nothing_that_is_wrong_with_the_hospitals_own_log(tmp_path):
    shutil.copytree(worked(), tmp_path / "own")
    rehearse(tmp_path, "one")
    hospital = RehearsedReceipts(tmp_path / "own", tmp_path / "runs")
    assert hospital.verified().verdict.faults == []
    (file,) = (tmp_path / "own" / "receipts").glob("*.jsonl")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    assert hospital.verified().verdict.faults


def test_several_runs_are_added_up_and_what_was_changed_in_one_shows(hospital, tmp_path):
    rehearse(tmp_path, "one")
    second = rehearse(tmp_path, "two")
    whole = hospital.verified()
    assert whole.verdict.receipts == 2 * Receipts(second).verified().verdict.receipts
    assert len(whole.fingerprint.splitlines()) == 3, "the hospital's own, and each run's"
    (file,) = (second / "receipts").glob("*.jsonl")
    first, *rest = file.read_text().splitlines(keepends=True)
    file.write_text("".join([json.dumps({**json.loads(first), "patients": 1}) + "\n", *rest]))
    assert hospital.verified().verdict.faults
    assert sorted(run.bad for run in hospital.runs()) == [0, 1]
