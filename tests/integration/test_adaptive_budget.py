"""Runs whose noise is chosen on the way: paid as chosen, and stopped at what was approved."""

import pytest
from integration.federated import SITES, go
from unit.privacy.test_hospital_dp import study

from medfed.core.errors import QuorumError
from medfed.privacy.filter import MORE, Filter
from medfed.privacy.hospital_dp import SPENT
from medfed.services.sites import open_ledger
from medfed.storage.run_folder import RunFolder


@pytest.mark.usefixtures("quick")
def test_a_run_pays_what_was_chosen_and_no_more_than_was_approved(tmp_path):
    asked = study(noise=2.0, rounds=4, more='budget = "adaptive"')
    go(asked, tmp_path / "run")
    state = RunFolder(tmp_path / "run").load()[0]
    assert float(state.memory[f"privacy0/{SPENT}"]) <= 4
    for site in SITES:
        entries = open_ledger(tmp_path / "run" / "sites" / site).entries()
        weights = [(2.0 / one.answers[0].noise) ** 2 for one in entries]
        assert sum(weights) == pytest.approx(float(state.memory[f"privacy0/{SPENT}"]))


@pytest.mark.usefixtures("quick")
def test_a_coordinator_that_always_asks_for_less_noise_is_stopped(tmp_path, monkeypatch):
    """Its own filter is off; the sites' ledgers hold the study to what was approved."""
    monkeypatch.setattr(Filter, "admits", lambda self, weight: True)
    monkeypatch.setattr(Filter, "chosen", lambda self, loudness, numbers: MORE)
    monkeypatch.setattr("medfed.federation.privacy.SitePrivacy._approved", approved_once)
    with pytest.raises(QuorumError, match="budget-spent"):
        go(study(noise=2.0, rounds=6, more='budget = "adaptive"'), tmp_path / "run")
    for site in SITES:
        log = (tmp_path / "run" / "sites" / site / "site.log").read_text()
        assert "the study would have cost a hospital" in log


def approved_once(self, cost, on):
    """What was approved, without repeats."""
    return self.mechanisms[0].cost(self.plan).answers
