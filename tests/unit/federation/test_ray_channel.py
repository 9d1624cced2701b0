"""The parts of the Ray channel that need no cluster: shares, addresses, what actors see."""

import socket
from importlib.metadata import version

import pytest

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from medfed.core.errors import RunError
from medfed.federation.ray_channel import actor, cluster, shares
from medfed.federation.ray_channel.shares import Share
from medfed.services import run_sites
from medfed.services.run_options import RunOptions

TWO_CORES = {"CPU": 2.0}
A_CARD = {"CPU": 8.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("share", "nodes", "room"),
    [
        (Share(1), [TWO_CORES], 2),
        (Share(0.1), [{"CPU": 1.0}], 10),
        (Share(2), [{"CPU": 3.0}, {"CPU": 3.0}], 2),  # not three: a share is whole on one node
        (Share(1, 0.5), [A_CARD, TWO_CORES], 2),
        (Share(1, 1), [TWO_CORES], 0),
    ],
)
def test_room_is_counted_node_by_node(share, nodes, room):
    assert share.room(nodes) == room


def share_of(monkeypatch, nodes, sites=3, cpus=None, gpus=None, threads=1, cuda=False):
    monkeypatch.setattr(shares, "_nodes", lambda: nodes)
    return shares.share_of(sites, cpus, gpus, threads=threads, cuda=cuda)


@pytest.mark.parametrize(
    ("nodes", "threads", "cuda", "expected"),
    [
        ([A_CARD], 1, False, Share(1)),
        ([A_CARD], 8, False, Share(2)),
        ([TWO_CORES], 2, False, Share(0.5)),
        ([A_CARD], 1, True, Share(1, 0.3333)),
        ([A_CARD] * 3, 1, True, Share(1, 1)),
    ],
)
def test_without_a_word_sites_get_equal_parts(monkeypatch, nodes, threads, cuda, expected):
    assert share_of(monkeypatch, nodes, threads=threads, cuda=cuda) == expected


@pytest.mark.parametrize(
    ("nodes", "share", "threads", "expected"),
    [
        ([TWO_CORES], Share(0.5), 1, 2),
        ([TWO_CORES], Share(0.5), 2, 1),
        ([TWO_CORES], Share(0.5), 8, 1),
        ([A_CARD, A_CARD], Share(1), 4, 4),
        ([TWO_CORES], Share(1), 1, 9),  # nobody is in anybody's way
    ],
)
def test_no_more_sites_work_at_a_time_than_there_are_cores(
    monkeypatch, nodes, share, threads, expected
):
    monkeypatch.setattr(shares, "_nodes", lambda: nodes)
    assert shares.at_once(9, share, threads) == expected


def test_a_share_that_does_not_fit_is_refused_with_numbers(monkeypatch):
    with pytest.raises(RunError) as caught:
        share_of(monkeypatch, [TWO_CORES], cpus=1)
    assert "no room for 3 sites with 1 CPU each: it has 2 CPU and 0 GPU" in caught.value.message
    assert "--cpus" in caught.value.remedy


def test_cards_that_are_not_there_cannot_be_shared(monkeypatch):
    with pytest.raises(RunError, match="0 GPU"):
        share_of(monkeypatch, [TWO_CORES], cuda=True)


@pytest.mark.parametrize("amount", [1.5, -1.0])
def test_shares_that_ray_cannot_give_are_refused(monkeypatch, amount):
    with pytest.raises(RunError, match="not a share"):
        share_of(monkeypatch, [A_CARD], cpus=amount)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", ":6379", "head:port"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(RunError, match="not a cluster's address"):
        cluster.reach(address)


def test_an_address_where_nobody_is_is_refused_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(RunError, match="no Ray cluster at") as caught:
            cluster.reach(address)
    assert "--cluster" in caught.value.remedy


def test_another_folder_of_the_same_name_is_noticed(tmp_path):
    (tmp_path / "key.pub").write_text("one")
    about = {"node": "n2", "medfed": version("medfed")}
    actor.compare("a", tmp_path, {**about, "key": actor.key_of(tmp_path)})
    with pytest.raises(RunError, match="on node n2 does not see the folder") as caught:
        actor.compare("a", tmp_path, {**about, "key": ""})
    assert "storage that all nodes see" in caught.value.remedy


def test_another_medfed_on_a_node_is_noticed(tmp_path):
    with pytest.raises(RunError, match="node n2 has medfed"):
        actor.compare("a", tmp_path, {"node": "n2", "medfed": "0.0", "key": ""})


def test_the_temporary_folder_leaves_room_for_sockets(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster.tempfile, "gettempdir", lambda: str(tmp_path / ("x" * 90)))
    with cluster.short_folder() as folder:
        assert len(folder) < 40


# --- what a run asks for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "ray", "workers": 2}, "--workers"),
        ({"cluster": "auto"}, "--cluster"),
        ({"cpus": 1.0}, "--cpus"),
        ({"engine": "flower", "gpus": 0.0}, "--gpus"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, words):
    with pytest.raises(RunError, match=words):
        run_sites.check_engine(RunOptions(tmp_path, **options))


def test_a_missing_package_is_told_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(run_sites, "find_spec", lambda name: None)
    with pytest.raises(RunError, match="not installed") as caught:
        run_sites.check_engine(RunOptions(tmp_path, engine="ray"))
    assert "medfed[ray]" in caught.value.remedy


def test_cards_are_not_left_idle(tmp_path):
    options = RunOptions(tmp_path, engine="ray", gpus=1.0)
    with pytest.raises(RunError, match="computes on the CPU"):
        run_sites._ray({}, options, {"device": "cpu", "threads": 1}, lambda event: None)
