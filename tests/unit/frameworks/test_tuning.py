import json
import os

import pytest
import torch
from torch import nn

from medfed.core.task import Execution
from medfed.frameworks import tuning
from medfed.frameworks.execution import lay_out
from medfed.frameworks.tuning import best, folder, quickest, ways

SHAPE = (1, 1, 4, 4, 4)
PLAIN = Execution(1, "fp32", "cpu")


def build():
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 1, 1))


@pytest.fixture
def choices():
    return ways("cpu", "fp32", 1)


@pytest.fixture
def timed(monkeypatch):
    """Measurements with times given, and how many there were."""
    calls = []

    def install(*seconds):
        def measured(module, shape, choices):
            calls.append(shape)
            return list(seconds)

        monkeypatch.setattr(tuning, "measured", measured)
        return calls

    return install


def test_the_plain_way_is_the_first_and_bf16_needs_hardware(monkeypatch):
    monkeypatch.setattr(tuning, "has_bf16", lambda device: False)
    assert ways("cpu", "auto", 2) == [
        Execution(2, "fp32", "cpu"),
        Execution(2, "fp32", "cpu", "channels_last"),
    ]
    assert {way.precision for way in ways("cpu", "bf16", 2)} == {"bf16"}
    monkeypatch.setattr(tuning, "has_bf16", lambda device: True)
    assert len(ways("cpu", "auto", 2)) == 4
    assert {way.precision for way in ways("cpu", "fp32", 2)} == {"fp32"}


def test_another_way_must_be_worth_it():
    assert best([1.0, 0.96, 1.2]) == 0
    assert best([1.0, 0.8, 0.5]) == 2


def test_what_was_measured_is_remembered(timed, choices):
    calls = timed(1.0, 0.5)
    assert quickest(build, SHAPE, choices).layout == "channels_last"
    timed(0.5, 1.0)  # another day, another noise
    assert quickest(build, SHAPE, choices).layout == "channels_last"
    assert len(calls) == 1
    (file,) = folder().glob("*")
    kept = json.loads(file.read_text())
    assert kept["seconds"] == [1.0, 0.5]
    assert kept["machine"] == tuning.machine()


def test_another_network_or_batch_is_measured_anew(timed, choices):
    calls = timed(1.0, 0.5)
    quickest(build, SHAPE, choices)
    quickest(lambda: nn.Conv3d(1, 2, 3), SHAPE, choices)
    quickest(build, (2, *SHAPE[1:]), choices)
    assert len(calls) == 3


def test_the_first_of_two_processes_decides(timed, choices, monkeypatch):
    timed(1.0, 0.5)
    keep = tuning._keep

    def beaten(file, value):
        keep(file, {**value, "chosen": 0})  # another process was quicker
        keep(file, value)

    monkeypatch.setattr(tuning, "_keep", beaten)
    assert quickest(build, SHAPE, choices) == PLAIN
    assert len(list(folder().iterdir())) == 1


def test_a_damaged_file_is_measured_again(timed, choices):
    timed(1.0, 0.5)
    quickest(build, SHAPE, choices)
    (file,) = folder().glob("*")
    file.write_text('{"chosen": 1')
    assert quickest(build, SHAPE, choices).layout == "channels_last"
    assert json.loads(file.read_text())["chosen"] == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_cannot_be_kept_is_not_measured_in_a_folder_one_may_not_write(timed, choices):
    calls = timed(1.0, 0.5)
    folder().mkdir(parents=True)
    folder().chmod(0o500)
    assert quickest(build, SHAPE, choices) == PLAIN
    assert not calls


def test_what_cannot_be_kept_is_not_measured(timed, choices, monkeypatch, tmp_path):
    calls = timed(1.0, 0.5)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert quickest(build, SHAPE, choices) == PLAIN
    assert not calls


def test_measuring_times_every_way_and_leaves_nothing_behind():
    choices = ways("cpu", "auto", 2)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    chosen = quickest(build, SHAPE, choices)
    assert chosen in choices
    (file,) = folder().glob("*")
    seconds = json.loads(file.read_text())["seconds"]
    assert len(seconds) == len(choices)
    assert all(0 < s < 60 for s in seconds)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_device_that_only_the_sites_have_is_not_measured(timed, monkeypatch):
    calls = timed(1.0, 0.5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert quickest(build, SHAPE, ways("cuda", "auto", 1)) == Execution(1, "fp32", "cuda")
    assert not calls


@pytest.mark.parametrize("layer", [nn.Conv3d(2, 3, 3), nn.Conv2d(2, 3, 3), nn.Conv3d(1, 4, 3)])
def test_layouts_change_places_and_no_values(layer):
    form = torch.channels_last if layer.weight.dim() == 4 else torch.channels_last_3d
    values = layer.weight.detach().clone()
    lay_out(layer, Execution(layout="channels_last"))
    assert layer.weight.stride()[1] == 1
    assert layer.weight.is_contiguous(memory_format=form)
    assert torch.equal(layer.weight, values)
    lay_out(layer, Execution())
    assert layer.weight.stride() == values.contiguous().stride()


def test_the_usual_layout_goes_without_saying():
    assert PLAIN.to_json() == {"threads": 1, "precision": "fp32", "device": "cpu"}
    last = Execution(2, "bf16", "cpu", "channels_last")
    assert Execution(**last.to_json()) == last
