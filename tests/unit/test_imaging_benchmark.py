"""The GPU's part of benchmarks/imaging.py, on the CPU: the path is the same."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent.parent / "benchmarks"


@pytest.mark.slow
def test_the_device_rows_are_measured_on_whatever_there_is(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from _imaging_device import made_up, rows_of

    from medfed.core.task import Execution
    from medfed.tasks.segmentation import NoduleSegmentation

    task = NoduleSegmentation(filters=(4, 8, 8), patch=8, roi=16, spacing_mm=2.0, crop=False)
    rows = list(rows_of(task, Execution(1, "fp32", "cpu"), made_up((16, 40, 40)), "eager"))
    assert len(rows) == 16  # two precisions, compiled or not, four figures each
    assert all(row["value"] > 0 and row["limit"] is None for row in rows)
    assert all(r["value"] <= 100 for r in rows if r["name"].endswith("in the network"))
    assert {"bf16" in row["name"] for row in rows} == {True, False}


def test_no_gpu_no_rows(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import torch
    from _imaging_device import device_rows

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_rows(quick=True) == []
