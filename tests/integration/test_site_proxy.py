"""Hospitals whose only way out is a proxy: by HTTPS_PROXY, or by `--proxy` when they join."""

from __future__ import annotations

import sys

import pytest
from docs_examples import ROOT, blocks
from integration import connect_proxy
from integration.machines import Network, demand_root

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.needs_package("nginx"),
    pytest.mark.needs_package("iproute2"),
]
ADDRESSES = {
    "fed": "10.77.0.2",
    "north": "10.77.1.2",
    "south": "10.77.2.2",
    "proxy": "10.77.3.2",
}
URL = "http://proxy.example.org:3128"
COORDINATOR = "https://fed.example.org:8443"


@pytest.fixture
def network(tmp_path):
    """Hospitals reach the proxy alone, and do not even know the coordinator's address."""
    demand_root()
    allowed = [("north", "proxy", 3128), ("south", "proxy", 3128), ("proxy", "fed", 8443)]
    names = {"proxy.example.org": ADDRESSES["proxy"]}
    with Network(tmp_path / "machines", ADDRESSES, allowed, names) as made:
        made.add_name("proxy", "fed.example.org", ADDRESSES["fed"])
        yield made


def study() -> str:
    """That of the how-to "two hospitals"."""
    page = (ROOT / "docs" / "how-to" / "two-hospitals.md").read_text("utf-8")
    return next(block.text for block in blocks(page) if block.language == "toml")


def test_joining_the_doctor_and_a_run_through_a_proxy(network):
    fed, north, south, proxy = (network[name] for name in ADDRESSES)
    fed.run(f"medfed coordinator init coordinator --address {COORDINATOR}")
    started = fed.start("medfed coordinator --config coordinator/coordinator.toml")
    started.wait_for(["…sites find it at…"])
    proxy.start(f"{sys.executable} {connect_proxy.__file__} 3128 seen").wait_for(["ready"])
    by_variable, by_setting = {"HTTPS_PROXY": URL}, {}
    for machine, env, flag in ((north, by_variable, ""), (south, by_setting, f"--proxy {URL}")):
        (machine.home / "study.toml").write_text(study())
        code = fed.run(f"medfed coordinator invite coordinator {machine.name} 2> /dev/null")
        join = f"medfed site join {code.strip()} --folder site"
        assert "the name fed.example.org cannot be found" in machine.run(join, status=4)
        machine.run(f"{join} {flag}", env)
        told = machine.run("medfed site doctor site", env)
        assert f"fed.example.org:8443 is open through the proxy {URL[7:]}" in told
        machine.run("medfed site approve site study.toml")
        started = machine.start("medfed site --config site/site.toml", env)
        started.wait_for(["…connected to the coordinator"])
    (fed.home / "study.toml").write_text(study())
    fed.run("medfed run study.toml --engine flower --coordinator coordinator --out result")
    assert (fed.home / "result" / "model.safetensors").exists()
    seen = set((proxy.home / "seen").read_text().splitlines())
    assert seen == {"CONNECT fed.example.org:8443"}
