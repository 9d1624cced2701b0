"""A U-Net learns privately from scans, from a study's text to the ledgers."""

from pathlib import Path

import pytest
from integration.federated import go

from medfed.connectors.phantom import make_phantom
from medfed.core.study_file import parse_study
from medfed.services.sites import open_ledger

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/nodules.toml"
PRIVATE = """
[[privacy]]
name = "dp-sgd"
noise = 1.5
delta = 1e-3
clip = 0.5
patients = { hospital-1 = 8, hospital-2 = 8, hospital-3 = 8 }
"""


@pytest.mark.slow
def test_nodules_are_learnt_privately(tmp_path):
    text = EXAMPLE.read_text() + PRIVATE
    for old, new in (
        ("rounds = 40", "rounds = 2"),
        ("min_sites = 2 ", "min_sites = 3 "),
        ("test = 0.4 ", "test = 0.1 "),
        ('name = "shuffle"', 'name = "hash"'),
        ("filters = [16, 32, 64]", "filters = [4, 8, 8]\nroi = 32"),
        ("local_steps = 20", "local_steps = 2"),
        ("batch_size = 8 ", "batch_size = 4 "),
    ):
        assert old in text
        text = text.replace(old, new)
    data = make_phantom(tmp_path / "data", 3, 6, "small", seed=1).out
    result = go(parse_study(text), tmp_path / "run", data=data)
    assert result["metrics"]["overall"] == {}
    for one in result["privacy"]["spent"]:
        entries = open_ledger(tmp_path / "run/sites" / one["site"]).entries()
        assert [(e.round, e.answers[0].rate, e.answers[0].times) for e in entries] == [
            (1, 0.5, 2), (2, 0.5, 2),
        ]  # fmt: skip
        assert one["epsilon"] > 0
