"""A run killed at any moment goes on to the bit-identical model."""

import json
import shutil

import pytest
from integration.federated import Recorder, figures, go, outcome, study_of

from medfed.core import files
from medfed.core.errors import CheckpointError, RunError
from medfed.federation import exchange, keys, site_folder
from medfed.services import run_sites
from medfed.services import sites as site_services
from medfed.storage import models, run_folder
from medfed.storage.run_folder import RunFolder

STUDIES = {
    "fedavg": study_of(),
    "scaffold+top-k": study_of("scaffold", compression="top-k"),
    "ditto": study_of("ditto"),
    "several exchanges": study_of("ditto", aggregator="geometric-median", rounds=2),
    "secure sum": study_of("scaffold", aggregator="secure-sum", rounds=2),
    "fedbuff": study_of("fedbuff", rounds=4),
    "sampling": study_of("scaffold", rounds=4, tables="[sampling]\nfraction = 0.7"),
    "best": study_of(top='keep = "best"'),
}
WRITERS = (exchange, keys, site_folder, site_services, models, run_folder, files)

pytestmark = pytest.mark.usefixtures("quick")


class Killed(BaseException):
    """The process ends here."""


class Bomb:
    """Counts moments, and ends the process at one of them."""

    def __init__(self, at=-1):
        self.at = at
        self.count = 0

    def tick(self, *_):
        self.count += 1
        if self.count - 1 == self.at:
            raise Killed


@pytest.fixture
def at_writes(monkeypatch):
    """A bomb that ticks before and after every file that anybody writes."""

    def arm(bomb):
        for name in ("write_atomic", "append_line", "write_json"):
            original = getattr(files, name)

            def around(*arguments, original=original, **options):
                bomb.tick()
                original(*arguments, **options)
                bomb.tick()

            for module in WRITERS[:-1]:
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, around)

    with monkeypatch.context() as patch:
        monkeypatch = patch
        yield arm


def killed_and_resumed(study, out, bomb, on_event, wanted):
    with pytest.raises(Killed):
        go(study, out, on_event)
    assert bomb.count == bomb.at + 1
    result = go(study, out, resume=out.exists())
    assert (result["model_sha256"], figures(out)) == wanted, f"killed at {bomb.at}"
    shutil.rmtree(out)


def moments(count, step):
    """Every so many, and the last."""
    return sorted({*range(0, count, step), count - 1})


def check_events(name, tmp_path, step):
    study, bomb = STUDIES[name], Bomb()
    go(study, tmp_path / "whole", bomb.tick)
    wanted = outcome(study, tmp_path / "again")
    for moment in moments(bomb.count, step):
        fresh = Bomb(moment)
        killed_and_resumed(study, tmp_path / "run", fresh, fresh.tick, wanted)


def check_writes(name, tmp_path, step, arm):
    study = STUDIES[name]
    wanted = outcome(study, tmp_path / "whole")
    bomb = Bomb()
    arm(bomb)
    go(study, tmp_path / "counted")
    count = bomb.count
    for moment in moments(count, step):
        bomb.at, bomb.count = moment, 0
        killed_and_resumed(study, tmp_path / "run", bomb, lambda _: None, wanted)


@pytest.mark.slow
def test_killed_at_events_of_all_kinds(tmp_path):
    check_events("scaffold+top-k", tmp_path, 3)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("several exchanges", 17),
        pytest.param("fedbuff", 7, marks=pytest.mark.slow),
        pytest.param("secure sum", 23, marks=pytest.mark.slow),
    ],
)
def test_killed_at_some_events(name, step, tmp_path):
    check_events(name, tmp_path, step)


@pytest.mark.parametrize(
    "name",
    [
        "scaffold+top-k",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("fedbuff", "best")),
    ],
)
def test_killed_at_some_writes(name, tmp_path, at_writes):
    check_writes(name, tmp_path, 31, at_writes)


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", STUDIES)
def test_killed_at_every_event(name, tmp_path):
    check_events(name, tmp_path, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["scaffold+top-k", "ditto", "fedbuff"])
def test_killed_at_every_third_write(name, tmp_path, at_writes):
    check_writes(name, tmp_path, 3, at_writes)


def test_killed_again_and_again(tmp_path):
    study = STUDIES["scaffold+top-k"]
    wanted = outcome(study, tmp_path / "whole")
    out = tmp_path / "run"
    for kills in range(200):
        bomb = Bomb(5)
        try:
            result = go(study, out, bomb.tick, resume=out.exists())
        except Killed:
            continue
        assert (result["model_sha256"], figures(out)) == wanted
        assert kills >= 2
        return
    pytest.fail("it never ended")


# --- checkpoints ----------------------------------------------------------------------------------


def stopped(study, out, at_round=3):
    """A run that was killed when it had finished a round."""

    def stop(event):
        if type(event).__name__ == "RoundStarted" and event.round == at_round + 1:
            raise Killed

    with pytest.raises(Killed):
        go(study, out, stop)
    return sorted((out / "checkpoints").glob("round-*"))


def cut(file):
    file.write_bytes(file.read_bytes()[:-5])


def flip(file, where=-7):
    raw = bytearray(file.read_bytes())
    raw[where] ^= 1
    file.write_bytes(raw)


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, empty, lambda f: flip(f, 60)])
@pytest.mark.parametrize(
    "name", ["scaffold+top-k", pytest.param("fedbuff", marks=pytest.mark.slow)]
)
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_used(name, damage, tmp_path):
    study = STUDIES[name]
    wanted = outcome(study, tmp_path / "whole")
    out = tmp_path / "run"
    *_, latest = stopped(study, out, 2)
    damage(latest)
    record = Recorder()
    result = go(study, out, record, resume=True)
    assert "going back to the checkpoint before it" in record.said()
    assert latest.name in record.said()
    assert (result["model_sha256"], figures(out)) == wanted


def _plain(state):
    tensors = {**state.model, **{f"memory {k}": v for k, v in state.memory.items()}}
    about = (state.round, state.counted, state.facts, state.scores, state.row, state.waiting)
    return about, {name: (a.shape, a.dtype, a.tobytes()) for name, a in tensors.items()}


def test_no_flipped_bit_in_a_checkpoint_goes_unnoticed(tmp_path):
    out = tmp_path / "run"
    first, latest = stopped(STUDIES["scaffold+top-k"], out, 2)
    first.unlink()
    whole = latest.read_bytes()
    folder = RunFolder(out)
    (state, _) = folder.load()
    assert state.round == 2
    for place in range(0, len(whole), 17):
        flip(latest, place)
        try:
            again, _ = folder.load()
        except CheckpointError:
            again = None
        # The last digit of a number may change and the number be the same all the same.
        assert again is None or _plain(again) == _plain(state)
        latest.write_bytes(whole)


def test_without_a_readable_checkpoint_it_says_what_to_do(tmp_path):
    out = tmp_path / "run"
    for file in stopped(STUDIES["fedavg"], out):
        cut(file)
    with pytest.raises(CheckpointError, match=r"no checkpoint .* can be read\. Restore"):
        go(STUDIES["fedavg"], out, resume=True)


@pytest.mark.parametrize("damage", [cut, flip, empty, lambda file: file.unlink()])
def test_a_damaged_best_model_is_never_taken_for_the_best(damage, tmp_path):
    out = tmp_path / "run"
    stopped(STUDIES["best"], out, 2)
    folder = RunFolder(out)
    damage(out / "best.safetensors")
    with pytest.raises(CheckpointError, match="the best aggregate is lost"):
        folder.best(folder.load()[0])


def test_replies_that_had_arrived_are_not_asked_for_again(tmp_path, monkeypatch):
    study, out = STUDIES["scaffold+top-k"], tmp_path / "run"
    wanted = outcome(study, tmp_path / "whole")
    counted = 0

    def kill(event):
        nonlocal counted
        counted += type(event).__name__ == "ReplyCounted" and event.round == 2
        if counted == 2:
            raise Killed

    with pytest.raises(Killed):
        go(study, out, kill)
    assert len(list((out / "spool").glob("*.safetensors"))) == 2
    asked = []
    send = run_sites.LocalChannel.send

    def watch(channel, orders):
        asked.append(tuple(orders))
        send(channel, orders)

    monkeypatch.setattr(run_sites.LocalChannel, "send", watch)
    assert go(study, out, resume=True)["model_sha256"] == wanted[0]
    assert asked[0] == ("south",)


def test_a_reply_in_the_spool_that_lost_its_content_is_asked_for_again(tmp_path):
    study, out = STUDIES["fedavg"], tmp_path / "run"
    wanted = outcome(study, tmp_path / "whole")

    def kill(event):
        if type(event).__name__ == "ReplyCounted" and event.round == 2 and event.site == "centre":
            raise Killed

    with pytest.raises(Killed):
        go(study, out, kill)
    for file in (out / "spool").glob("*.safetensors"):
        file.write_bytes(bytes(file.stat().st_size))
    assert go(study, out, resume=True)["model_sha256"] == wanted[0]
    assert figures(out) == wanted[1]


# --- what may be resumed --------------------------------------------------------------------------


def test_a_finished_run_gives_its_result_again(tmp_path):
    out = tmp_path / "run"
    first = go(STUDIES["fedavg"], out)
    before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file()}
    record = Recorder()
    assert go(STUDIES["fedavg"], out, record, resume=True) == first
    assert "this run is finished" in record.said()
    assert {f: f.read_bytes() for f in out.rglob("*") if f.is_file()} == before


def test_a_run_is_not_overwritten(tmp_path):
    out = tmp_path / "run"
    stopped(STUDIES["fedavg"], out)
    with pytest.raises(RunError, match=r"holds a run already\. .*--resume"):
        go(STUDIES["fedavg"], out)


def test_another_study_does_not_go_on_in_its_place(tmp_path):
    out = tmp_path / "run"
    stopped(STUDIES["fedavg"], out)
    with pytest.raises(RunError, match="the study has changed"):
        go(STUDIES["fedavg"].evolve(seed=99), out, resume=True)


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(RunError, match="there is no run in"):
        go(STUDIES["fedavg"], tmp_path / "nothing", resume=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        go(STUDIES["fedavg"], tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("x")
    with pytest.raises(RunError, match="is not empty"):
        go(STUDIES["fedavg"], tmp_path / "full")
    assert [f.name for f in (tmp_path / "full").iterdir()] == ["thesis.doc"]


def test_only_one_process_works_in_a_folder(tmp_path):
    out = tmp_path / "run"
    stopped(STUDIES["fedavg"], out)
    other = RunFolder(out)
    other.lock()
    with pytest.raises(RunError, match="another process is working"):
        go(STUDIES["fedavg"], out, resume=True)
    other.unlock()
    assert go(STUDIES["fedavg"], out, resume=True)["rounds"] == 3


def test_half_written_files_are_cleared_away(tmp_path):
    out = tmp_path / "run"
    stopped(STUDIES["fedavg"], out)
    for folder in (out, out / "spool", out / "checkpoints"):
        (folder / ".round-000009.safetensors.abc.part").write_bytes(b"half")
    go(STUDIES["fedavg"], out, resume=True)
    assert not list(out.glob("**/*.part"))


@pytest.mark.parametrize("name", ["run.json", "study.json"])
def test_a_damaged_run_folder_is_named(name, tmp_path):
    out = tmp_path / "run"
    stopped(STUDIES["fedavg"], out)
    for content in ("", "{", "[1]", "{}"):
        (out / name).write_text(content)
        if name == "run.json" and content == "{}":
            continue
        with pytest.raises(RunError, match=f"{name} is missing or damaged"):
            go(STUDIES["fedavg"], out, resume=True)


def test_a_resumed_run_remembers_where_its_data_are(tmp_path):
    out = tmp_path / "run"
    (tmp_path / "data").mkdir()
    with pytest.raises(Killed):
        go(STUDIES["fedavg"], out, Bomb(20).tick, data=tmp_path / "data")
    go(STUDIES["fedavg"], out, resume=True)
    assert json.loads((out / "run.json").read_text())["data"] == str(tmp_path / "data")
