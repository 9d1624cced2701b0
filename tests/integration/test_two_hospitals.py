"""The how-to "two hospitals", typed as it stands on three machines behind a strict router."""

from __future__ import annotations

import json
import re

import pytest
from docs_examples import ROOT
from integration.federated import go
from integration.machines import Network, Typist, demand_root

from medfed.core.study_file import read_study
from medfed.storage.models import read_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.needs_package("nginx"),
    pytest.mark.needs_package("iproute2"),
]
PAGE = ROOT / "docs" / "how-to" / "two-hospitals.md"
HOSPITALS = ("north", "south")
ADDRESSES = {"fed": "10.77.0.2", "north": "10.77.1.2", "south": "10.77.2.2"}
PORT = 8443
FINGERPRINT = re.compile(r"[0-9a-f]{4}(?: [0-9a-f]{4}){7}")


@pytest.fixture
def network(tmp_path):
    """As the page asks of firewalls: hospitals may dial the coordinator's one port, no more."""
    demand_root()
    allowed = [(hospital, "fed", PORT) for hospital in HOSPITALS]
    names = {"fed.example.org": ADDRESSES["fed"]}
    with Network(tmp_path / "machines", ADDRESSES, allowed, names) as made:
        yield made


def test_the_page_leads_from_an_invitation_to_a_model(network, tmp_path):
    nobody_comes_in(network)
    typist = Typist(network, PAGE)
    for _ in typist.blocks():
        for hospital in HOSPITALS:
            assert network[hospital].open_ports() == []
    fingerprints_agree(typist)
    out = network["fed"].home / "result"
    tensors, _ = read_model(out / "model.safetensors")
    assert tensors
    assert "Breast cancer" in (out / "report.html").read_text("utf-8")
    here = go(read_study(network["fed"].home / "two_hospitals.toml"), tmp_path / "here")
    there = json.loads((out / "result.json").read_text("utf-8"))
    assert there["model_sha256"] == here["model_sha256"]


def nobody_comes_in(network: Network) -> None:
    """The router does what the test relies on: even where somebody listens."""
    fed = network["fed"]
    with fed.listening(PORT), fed.listening(22), network["north"].listening(PORT):
        assert network["north"].can_reach(fed.address, PORT)
        assert network["south"].can_reach("fed.example.org", PORT)
        assert not network["north"].can_reach(fed.address, 22)
        assert not fed.can_reach(network["north"].address, PORT)
        assert not network["south"].can_reach(network["north"].address, PORT)


def fingerprints_agree(typist: Typist) -> None:
    """What is read out on the telephone is the same on both ends."""
    whole = typist.output("fed", "coordinator init")
    (coordinator,) = FINGERPRINT.findall(whole)
    listed = next(text for _, cmd, text in typist.printed if "coordinator sites" in cmd)
    for hospital in HOSPITALS:
        own, theirs = FINGERPRINT.findall(typist.output(hospital, "site join"))
        assert theirs == coordinator
        assert f"{hospital}  {own}" in listed
