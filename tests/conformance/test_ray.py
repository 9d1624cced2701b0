"""On a real Ray cluster: the bits are the same, whoever dies; nothing is left, nothing listens."""

import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from integration.federated import Recorder, figures, go, outcome, study_of

pytest.importorskip("ray", reason="the extra `ray` is not installed")

import ray

from medfed.core.errors import RunError
from medfed.core.study_file import read_study
from medfed.federation.ray_channel import RayChannel, actor, channel, seat
from medfed.federation.ray_channel.cluster import connection
from medfed.federation.wire import Sealed
from medfed.services import run_sites
from medfed.services.sites import open_site

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCAFFOLD = study_of("scaffold", rounds=2, sites=("north", "south"))
# Ray leaves its log files and processes to the garbage collector.
pytestmark = [
    pytest.mark.timeout(900),  # clusters of processes, each of which imports torch
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(scope="module")
def cluster():
    """One cluster for all tests here, started as a run would; runs use it and leave it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with connection(None):
            yield
        gc.collect()


# --- the channel, with sites that only echo -------------------------------------------------------


MEDFED = Path(sys.executable).with_name("medfed")
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}  # as the kernel writes it


def echo_site(folder):
    """Open a stand-in that answers with what it got, or does what the header says."""

    class Echo:
        def handle(self, sealed):
            with (folder / "handled").open("a") as file:
                file.write("x")
            if sealed.header == b"die" or (sealed.header == b"die once" and self.first()):
                os._exit(1)  # as a kill would
            if sealed.header == b"sleep":
                time.sleep(3)
            return Sealed(sealed.header, b"signed", sealed.payload)

        @staticmethod
        def first():
            try:
                (folder / "died").touch(exist_ok=False)
            except FileExistsError:
                return False
            return True

    return Echo()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("echo")


@pytest.fixture(scope="module")
def echo(cluster, place):
    """Two sites that echo."""
    from ray import cloudpickle

    # The workers do not find this module: what they need goes along.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    folders = {name: place / name for name in ("a", "b")}
    for folder in folders.values():
        folder.mkdir()
    channel = RayChannel(folders, echo_site, cpus=0.1)
    yield channel
    channel.close()


def answers(channel, timeout=60.0):
    return {d.order: d for d in channel.replies(timeout)}


def test_messages_arrive_whole_small_and_large(echo):
    large = np.random.default_rng(0).bytes(3_000_000)
    echo.send({"a": ("1", Sealed(b"h", b"s", large)), "b": ("2", Sealed(b"h", b"s", b""))})
    got = answers(echo)
    assert echo.sites() == ("a", "b")
    assert [got["1"].site, got["2"].site] == ["a", "b"]
    assert (got["1"].reply.header, got["1"].reply.signature) == (b"h", b"signed")
    assert bytes(got["1"].reply.payload) == large
    assert bytes(got["2"].reply.payload) == b""
    assert not answers(echo)


def test_an_actor_that_dies_gets_the_order_again_and_is_lost_only_then(echo, place):
    file = place / "b" / "handled"
    before = len(file.read_text()) if file.exists() else 0
    echo.send({"a": ("1", Sealed(b"die once", b"", b"x")), "b": ("2", Sealed(b"die", b"", b""))})
    got = answers(echo)
    assert got["1"].reply.header == b"die once"
    assert got["2"].reply is None
    assert len(file.read_text()) == before + seat.TRIES
    echo.send({"b": ("3", Sealed(b"h", b"", b"y"))})
    assert bytes(answers(echo)["3"].reply.payload) == b"y"


def test_sealed_messages_arrive_though_an_actor_dies_and_ray_is_given_none_to_read(
    echo, tmp_path, monkeypatch
):
    given = []

    def watched(put):
        def keep(self, *parts):
            given.append(parts)
            return put(self, *parts)

        return keep

    monkeypatch.setattr(seat.End, "seal", watched(seat.End.seal))
    monkeypatch.setattr(channel.ray, "put", lambda _: pytest.fail("as it is"))
    (tmp_path / "a").mkdir()
    large = np.random.default_rng(0).bytes(300_000)
    sealed = RayChannel({"a": tmp_path / "a"}, echo_site, cpus=0.1, sealed=True)
    try:
        sealed.send({"a": ("1", Sealed(b"die once", b"s", large))})
        found = answers(sealed)["1"].reply
    finally:
        sealed.close()
    assert (found.header, bytes(found.payload)) == (b"die once", large)
    assert len(given) == 2, "sealed anew for the actor that came after"
    assert given[0][1] != given[1][1], "which has a key of its own"


@pytest.mark.slow
def test_a_slow_site_is_waited_for_no_longer_than_told(echo):
    echo.send({"a": ("1", Sealed(b"sleep", b"")), "b": ("2", Sealed(b"h", b""))})
    assert set(answers(echo, 1.0)) == {"2"}
    echo.cancel("1")
    assert not answers(echo)  # nobody waits for it any more
    echo.send({"a": ("3", Sealed(b"h", b""))})
    echo.send({"a": ("4", Sealed(b"h", b""))})
    echo.cancel("4")
    assert set(answers(echo)) == {"3"}


def test_a_folder_that_an_actor_does_not_see_is_told(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(actor, "key_of", lambda folder: "what this process sees")
    with pytest.raises(RunError, match="does not see the folder"):
        RayChannel({"a": tmp_path / "elsewhere"}, echo_site, cpus=0.1)


def test_a_cluster_of_our_own_listens_to_this_machine_only(cluster):
    ours = {pid for pid in _processes() if _mentions_ray(pid)}
    assert ours
    listening = {address for pid in ours for address in _listening(pid)}
    assert listening
    assert listening <= LOOPBACK


# --- runs -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "cluster")
@pytest.mark.parametrize("rounds", [(1,), (1, 2, 3)])
def test_the_bits_are_the_same_though_sites_are_killed(rounds, tmp_path, monkeypatch, capfd):
    """SCAFFOLD: what a site remembers decides the result, and lies in its folder only."""
    study = study_of("scaffold", rounds=max(2, *rounds), sites=("north", "south"))
    wanted = outcome(study, tmp_path / "local")
    watch = _Killer(monkeypatch, tmp_path / "ray", rounds)
    result = go(study, tmp_path / "ray", watch, engine="ray", cpus=0.5)
    assert not watch.missing()
    assert watch.killed > len(rounds)
    assert (result["model_sha256"], figures(tmp_path / "ray")) == wanted
    assert capfd.readouterr().out == ""  # that is for results


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "cluster")
def test_the_example_gives_the_same_bits(tmp_path):
    study = read_study(EXAMPLES / "breast_cancer.toml").evolve(rounds=2)
    assert outcome(study, tmp_path / "ray", engine="ray", cpus=0.1) == outcome(
        study, tmp_path / "local"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "cluster")
@pytest.mark.parametrize("name", ["median", "ditto", "several exchanges"])
def test_other_parts_give_the_same_bits(name, tmp_path):
    parts = {
        "median": study_of(aggregator="median", compression="fp16", rounds=2),
        "ditto": study_of("ditto", compression="top-k", rounds=2),
        "several exchanges": study_of("ditto", aggregator="geometric-median", rounds=2),
    }
    wanted = outcome(parts[name], tmp_path / "local")
    assert outcome(parts[name], tmp_path / "ray", engine="ray", cpus=0.1) == wanted


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "cluster")
def test_large_models_give_the_same_bits(tmp_path):
    study = study_of(rounds=2, sites=("a", "b", "c"), hidden=(600, 500))
    assert outcome(study, tmp_path / "ray", engine="ray", cpus=0.1) == outcome(
        study, tmp_path / "local"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "cluster")
def test_the_heart_example_gives_the_same_bits(tmp_path, need):
    data = need("heart-disease-uci").parent
    study = read_study(EXAMPLES / "heart.toml")
    wanted = outcome(study, tmp_path / "local", data=data)
    assert outcome(study, tmp_path / "ray", data=data, engine="ray", cpus=0.1) == wanted


class _Killer(Recorder):
    """Kills the sites' processes when the first reply of a round is in.

    One site has replied and waits for its next order, the other is at work or about to reply.
    """

    def __init__(self, monkeypatch, out, rounds):
        super().__init__()
        self.killed = 0
        self._rounds = set(rounds)
        self._folder = out / "sites"

        def open_and_tell(path):
            (path / "pid").write_text(str(os.getpid()))
            return open_site(path)

        monkeypatch.setattr(run_sites, "open_site", open_and_tell)

    def __call__(self, event):
        super().__call__(event)
        if type(event).__name__ == "ReplyCounted" and event.round in self._rounds:
            self._rounds.remove(event.round)
            for file in self._folder.glob("*/pid"):
                os.kill(int(file.read_text()), signal.SIGKILL)
                file.unlink()  # its successor writes another
                self.killed += 1


# --- whole commands -------------------------------------------------------------------------------


def medfed(*words, **how):
    command = [MEDFED, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)


@pytest.mark.slow
def test_a_command_starts_and_ends_a_cluster(tmp_path):
    import json

    example = EXAMPLES / "breast_cancer.toml"
    local = medfed("run", example, "--out", tmp_path / "local", "--json")
    ray = medfed("run", example, "--out", tmp_path / "ray", "--engine", "ray", "--json")
    digests = {json.loads(r.stdout.splitlines()[-1])["model_sha256"] for r in (local, ray)}
    assert len(digests) == 1, ray.stderr
    assert "Ray" in ray.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_leaves_nothing(tmp_path, number, status):
    text = (
        (EXAMPLES / "breast_cancer.toml").read_text("utf-8").replace("rounds = 15", "rounds = 9999")
    )
    study, out = tmp_path / "long.toml", tmp_path / "out"
    study.write_text(text, "utf-8")
    command = [MEDFED, "run", study, "--engine", "ray", "--out", out]
    mark = f"MEDFED_MARK={out}"
    process = subprocess.Popen(
        command,
        env={**os.environ, "MEDFED_MARK": str(out)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    rows = out / "metrics.jsonl"
    while not (rows.exists() and rows.stat().st_size) and process.poll() is None:
        time.sleep(0.2)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    end = time.monotonic() + 20
    while left := [pid for pid in _processes() if mark.encode() in _read(pid, "environ")]:
        assert time.monotonic() < end, left
        time.sleep(0.2)


@pytest.mark.usefixtures("cluster")
def test_another_cluster_than_the_connected_one_is_refused():
    here = ray.get_runtime_context().gcs_address
    with pytest.raises(RunError, match=f"connected to the Ray cluster at {here}"):
        connection("127.0.0.1:1").__enter__()
    with connection(here):
        assert ray.is_initialized()


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "cluster")
def test_sites_that_take_turns_give_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(channel, "at_once", lambda *_: 1)
    study = study_of("fedbuff", rounds=3)
    again = go(study, tmp_path / "ray", engine="ray", cpus=0.1)
    local = go(study, tmp_path / "local", replay=tmp_path / "ray")
    assert again["model_sha256"] == local["model_sha256"]


# --- what the system knows of processes -----------------------------------------------------------


def _processes():
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _mentions_ray(pid):
    """Whether a process belongs to a cluster that a run of ours started."""
    line = _read(pid, "cmdline")
    return b"/mf-" in line or line.startswith(b"ray::SiteActor")


def _read(pid, what):
    """What the system says of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def _listening(pid):
    """Local addresses, in the kernel's hexadecimal, on which a process waits for others."""
    try:
        sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                yield fields[1].partition(":")[0]
