"""The example on patches of real CT, from its file to its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medfed.core.study_file import read_study
from medfed.services.runs import RunOptions, start

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "patches.toml"


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(900)
def test_it_learns_from_real_tissue(need, tmp_path):
    data = need("msd-lung-patches-val")
    study = read_study(EXAMPLE).evolve(rounds=6)
    result = start(study, RunOptions(tmp_path / "run", data=data.parent, threads=1))
    dice = result["metrics"]["overall"]["dice"]
    assert 0.2 < dice["value"] <= 1
    assert dice["low"] <= dice["value"] <= dice["high"]
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows[0]["metrics"]["dice"] < rows[-1]["metrics"]["dice"], "better than untrained"
    assert (tmp_path / "run" / "report.html").is_file()
