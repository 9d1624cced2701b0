"""On somebody's Ray cluster of several nodes.

Apart from the other tests of Ray: a process that is connected to one cluster joins no other.
"""

import pytest
from integration.federated import go, outcome, study_of

pytest.importorskip("ray", reason="the extra `ray` is not installed")

import ray

from medfed.core.errors import RunError

SCAFFOLD = study_of("scaffold", rounds=2, sites=("north", "south"))
pytestmark = [
    pytest.mark.timeout(900),  # clusters of processes, each of which imports torch
    # Ray leaves its log files and processes to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.mark.slow
def test_a_cluster_of_two_nodes_is_joined_and_left_alone(tmp_path):
    from ray.cluster_utils import Cluster

    assert not ray.is_initialized()
    wanted = outcome(SCAFFOLD, tmp_path / "local")
    nodes = Cluster()
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1, include_dashboard=False)
        got = outcome(SCAFFOLD, tmp_path / "ray", engine="ray", cluster=nodes.address, cpus=1.0)
        assert got == wanted
        with pytest.raises(RunError, match="no room"):
            go(SCAFFOLD, tmp_path / "2", engine="ray", cluster=nodes.address, cpus=2.0)
    finally:
        nodes.shutdown()
