"""A federation that encrypts: no message lies on a disk, and kills lose nothing."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="the extra `flower` is not installed")

from integration.federated import go, study_of
from integration.standing import Watch, await_
from integration.test_at_rest import everything
from integration.test_flower_security import SITES, Running, at_work

from medfed.core.errors import RunError, SiteError
from medfed.core.memory_folders import kept_memory
from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.federation.exchange import Exchange
from medfed.federation.flower.superlink import DATABASE, Registry
from medfed.federation.nginx import SUPERLINK
from medfed.federation.settings.coordinator import read_coordinator
from medfed.services.at_rest import encrypt_site
from medfed.services.federation.coordinator_process import _Services
from medfed.services.sites import open_site

STUDY = study_of("scaffold", rounds=2, sites=SITES, hidden=(4,), options="local_epochs = 3")
pytestmark = [
    pytest.mark.needs_package("nginx"),
    pytest.mark.usefixtures("quick"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


@pytest.fixture
def key(tmp_path):
    file = tmp_path / "run.key"
    file.write_bytes(bytes(range(32)))
    return file


class Coordinator(Running):
    """One whose process is killed and started again."""

    def start(self) -> None:
        config = str(self.home / "coordinator.toml")
        command = [Path(sys.executable).parent / "medfed", "coordinator", "--config", config]
        with (self.path / "log").open("a") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        up = lambda: self.listens() or self.process.poll() is not None  # noqa: E731  # used at once
        await_(up, 90, "nothing listens")
        assert self.process.poll() is None, (self.path / "log").read_text()

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(60)
        await_(lambda: not self.listens(), 60, "nginx lives")


@contextlib.contextmanager
def federation(path, key, *, encrypted: bool):
    """A coordinator, and two sites at work."""
    made = Coordinator(path)
    if encrypted:
        file = made.home / "coordinator.toml"
        file.write_text(f'encrypt_with = "{key}"\n' + file.read_text())
    with contextlib.ExitStack() as stack:
        # It outlives what it is for; and asking for it makes it.
        stack.callback(shutil.rmtree, kept_memory(str((made.home / SUPERLINK).resolve())))
        made.start()
        stack.callback(lambda: made.end(signal.SIGTERM))
        for name in SITES:
            made.join(name)
            if encrypted:
                encrypt_site(made.path / name, str(key))
            open_site(made.path / name).folder.approve(STUDY)
            stack.enter_context(at_work(made, made.fleet(name), name))
        yield made


def looked_for(monkeypatch, *places):
    """Have each update be looked for as it arrives; how often it was found."""
    found = []

    def looked(exchange, arrived):
        for update in arrived.values():
            for name in update.names():
                size = int(np.prod(update.shape(name)))
                if size >= 2:
                    secret = np.ascontiguousarray(update.chunk(name, 0, size)).tobytes()
                    files = (c for place in places for c in everything(place).values())
                    found.append(sum(secret in content for content in files))

    monkeypatch.setattr(Exchange, "drop_odd", looked)
    return found


@pytest.mark.parametrize("encrypted", [True, False])
def test_no_message_lies_on_the_disk_of_an_encrypted_federation(
    encrypted, tmp_path, key, monkeypatch
):
    with federation(tmp_path / "fed", key, encrypted=encrypted) as fed:
        places = [fed.path, tmp_path / "run"] if encrypted else [fed.home]
        found = looked_for(monkeypatch, *places)
        how = {"encrypt_with": str(key)} if encrypted else {}
        run = go(STUDY, tmp_path / "run", engine="flower", coordinator=fed.home, **how)
        assert len(found) > 5
        assert any(found) is not encrypted
        store = kept_memory(str((fed.home / SUPERLINK).resolve()))
        assert any(store.iterdir()) is encrypted
        assert any((fed.home / SUPERLINK).glob("superlink.db*")) is not encrypted
    monkeypatch.undo()
    assert run["model_sha256"] == go(STUDY, tmp_path / "plain")["model_sha256"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_coordinator_that_encrypts_is_killed_and_loses_nothing(lost, tmp_path, key):
    """Nor where the machine was started anew, and what was in memory is gone."""
    with federation(tmp_path / "fed", key, encrypted=True) as fed:
        store = kept_memory(str((fed.home / SUPERLINK).resolve()))

        def trouble():
            fed.end(signal.SIGKILL)
            if lost:
                for file in store.iterdir():
                    file.unlink()
            fed.start()

        watch = Watch(trouble)
        out = tmp_path / "run"
        how = {"engine": "flower", "coordinator": fed.home, "encrypt_with": str(key)}
        run = go(STUDY, out, watch, **how)
        watch.end()
        assert not watch.missing()
    assert run["model_sha256"] == go(STUDY, tmp_path / "plain")["model_sha256"]


def test_an_encrypted_run_goes_on_at_no_coordinator_that_keeps_messages(tmp_path, key):
    class Killed(BaseException):
        pass

    def kill(event):
        if type(event).__name__ == "RoundStarted" and event.round == 2:
            raise Killed

    how = {"engine": "flower", "encrypt_with": str(key)}
    with federation(tmp_path / "fed", key, encrypted=True) as fed:
        with pytest.raises(Killed):
            go(STUDY, tmp_path / "run", kill, coordinator=fed.home, **how)
        fed.end(signal.SIGTERM)
        file = fed.home / "coordinator.toml"
        file.write_text(file.read_text().replace("encrypt_with", "# encrypt_with"))
        fed.start()
        for more in (how, {"engine": "flower"}):
            with pytest.raises(RunError, match="SuperLink keeps messages on disk"):
                go(STUDY, tmp_path / "run", resume=True, coordinator=fed.home, **more)


def test_an_encrypted_run_gives_nothing_to_a_coordinator_started_again_in_clear(tmp_path, key):
    """Under way: it says so and ends, and goes on once the coordinator encrypts again."""
    how = {"engine": "flower", "encrypt_with": str(key)}
    with federation(tmp_path / "fed", key, encrypted=True) as fed:
        file = fed.home / "coordinator.toml"
        text = file.read_text()

        def trouble():
            fed.end(signal.SIGKILL)
            file.write_text(text.replace("encrypt_with", "# encrypt_with"))
            fed.start()

        watch, out = Watch(trouble), tmp_path / "run"
        with pytest.raises(RunError, match="SuperLink keeps messages on disk") as no:
            go(STUDY, out, watch, coordinator=fed.home, **how)
        watch.end()
        assert "--resume" in str(no.value.remedy)
        fed.end(signal.SIGTERM)
        file.write_text(text)
        fed.start()
        run = go(STUDY, out, resume=True, coordinator=fed.home, **how)
    assert run["model_sha256"] == go(STUDY, tmp_path / "plain")["model_sha256"]


def test_a_coordinator_killed_before_its_store_knew_the_sites_begins_it_anew(tmp_path, key):
    class Killed(BaseException):
        pass

    class Killing(_Services):
        def _register_all(self, link):
            raise Killed

    with federation(tmp_path / "fed", key, encrypted=True) as fed:
        fed.end(signal.SIGKILL)
        store = kept_memory(str((fed.home / SUPERLINK).resolve()))
        for left in store.iterdir():  # as at the very first start
            left.unlink()
        settings = read_coordinator(fed.home / "coordinator.toml", {})
        made = (settings, CoordinatorFolder(fed.home))
        with contextlib.ExitStack() as stack:
            with pytest.raises(Killed):
                Killing(*made, stack, print)._superlink()
            assert (store / DATABASE).exists(), "it is there, and knows nobody"
            link = _Services(*made, stack, print)._superlink()
            stack.callback(link.stop)
            link.start()  # where runs wait for it
            with Registry(link.at) as registry:
                assert set(registry.nodes()) == set(SITES), "else they take the sites for removed"


def test_a_coordinator_whose_key_is_gone_says_so_when_it_starts(tmp_path, key):
    made = Coordinator(tmp_path / "fed")
    file = made.home / "coordinator.toml"
    file.write_text(f'encrypt_with = "{tmp_path / "none.key"}"\n' + file.read_text())
    command = [sys.executable, "-m", "medfed", "coordinator", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == SiteError.exit_code
    assert "cannot be read" in done.stderr
