"""Checkpoints, models and rows: whole or absent, and never silently wrong."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from medfed.core.errors import CheckpointError, DataError, RunError
from medfed.core.files import canonical_json
from medfed.core.update import State
from medfed.storage.models import KEY, read_model, tensors_digest, write_model
from medfed.storage.run_folder import KEPT, RunFolder

ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", "<f8", "<f2", "<i8", "u1"]).map(np.dtype),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
TENSORS = st.dictionaries(st.text("abc./", min_size=1, max_size=5), ARRAYS, max_size=4)


def state_of(round_=1, **changes):
    state = State(
        round=round_,
        model={"w": np.arange(6.0, dtype=np.float32).reshape(2, 3).T, "n": np.array(4)},
        memory={"m/a": np.array(0.5)},
        counted={"north": 1},
        facts={"moments": {"mean": [0.1, 1 / 3]}},
        scores={"0": 0.5},
        row={"seconds": 0.25, "missing": {}},
        waiting=(("south", 0),),
    )
    return state.evolve(**changes)


def same(left, right):
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert right[name].shape == value.shape, name
        assert right[name].dtype == value.dtype, name
        np.testing.assert_array_equal(right[name], value)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "spool").mkdir()
    return RunFolder(tmp_path)


def test_a_state_comes_back_as_it_was(folder):
    state = state_of()
    folder.save(state)
    again, notes = folder.load()
    assert notes == []
    same(state.model, again.model)
    same(state.memory, again.memory)
    for name in ("round", "counted", "facts", "scores", "row", "waiting"):
        assert getattr(again, name) == getattr(state, name)


def test_the_latest_are_kept_and_no_more(folder):
    assert folder.load() == (None, [])
    for round_ in range(12):
        folder.save(state_of(round_))
    assert len(list((folder.path / "checkpoints").iterdir())) == KEPT
    assert folder.load()[0].round == 11


def test_the_bytes_depend_on_the_content_only(tmp_path):
    model = {"b": np.ones(3), "a": np.zeros((2, 2), np.float32)}
    first = write_model(tmp_path / "1", model, {"x": 1, "y": 2})
    again = write_model(tmp_path / "2", dict(reversed(model.items())), {"y": 2, "x": 1})
    assert first == again
    assert write_model(tmp_path / "3", model, {"x": 2, "y": 2}) != first


@pytest.mark.parametrize(
    "model",
    [
        {"b": np.ones(3), "ä\n": np.zeros((2, 3), np.float32), "c": np.zeros((0, 4), np.float16)},
        {"t": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.array(7, np.int64)},
        {"x": np.array([True, False])},
        {"big": np.arange(3, dtype=">f4")},
        {},
    ],
)
def test_the_file_is_what_safetensors_itself_writes(tmp_path, model):
    digest = write_model(tmp_path / "m", model, {"x": "ü"})
    plain = {name: np.asarray(value, order="C") for name, value in model.items()}
    theirs = save(plain, metadata={KEY: canonical_json({"x": "ü"}).decode()})
    assert (tmp_path / "m").read_bytes() == theirs
    assert digest == hashlib.sha256(theirs).hexdigest()


@given(TENSORS)
def test_any_model_comes_back(tmp_path_factory, tensors):
    file = tmp_path_factory.mktemp("m") / "m.safetensors"
    write_model(file, tensors, {"round": 1})
    again, about = read_model(file)
    same(tensors, again)
    assert about == {"round": 1}
    assert tensors_digest(again) == tensors_digest(tensors)


def test_the_digest_sees_names_shapes_types_and_values():
    base = {"a": np.zeros(4, np.float32)}
    others = [
        {"b": base["a"]}, {"a": base["a"].reshape(2, 2)}, {"a": base["a"].view(np.int32)},
        {"a": np.array([0, 0, 0, -0.0], np.float32)}, {**base, "c": np.zeros(0)}, {},
    ]  # fmt: skip
    assert len({tensors_digest(t) for t in [base, *others]}) == len(others) + 1


@given(st.binary(max_size=300))
def test_whatever_a_model_file_holds_it_is_read_or_refused(tmp_path_factory, raw):
    file = tmp_path_factory.mktemp("m") / "m.safetensors"
    file.write_bytes(raw)
    with pytest.raises(DataError):
        read_model(file)


def test_every_flipped_byte_of_a_model_file_is_read_or_refused(tmp_path):
    file = tmp_path / "m.safetensors"
    write_model(file, {"a": np.arange(3.0)}, {"round": 1})
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in (1, 128):
            raw = bytearray(whole)
            raw[place] ^= bit
            file.write_bytes(raw)
            try:
                read_model(file)
            except DataError as error:
                assert str(file) in str(error)  # noqa: PT017  # either way is good


def test_best_is_checked(folder):
    folder.save_best(state_of(7), "valid", durable=True)
    assert folder.best(state_of(9)).round == 7
    raw = bytearray((folder.path / "best.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder.path / "best.safetensors").write_bytes(raw)
    with pytest.raises(CheckpointError):
        folder.best(state_of(9))


def test_rows_are_forgotten_from_a_round_on(folder):
    for round_ in range(4):
        folder.add_row({"round": round_, "auc": 0.5, "name": "Zürich"})
    folder.forget_rows(2)
    assert [row["round"] for row in folder.rows()] == [0, 1]
    assert "Zürich" in (folder.path / "metrics.jsonl").read_text("utf-8")


def test_a_lock_is_for_one(folder):
    folder.lock()
    with pytest.raises(RunError, match="another process"):
        RunFolder(folder.path).lock()
    folder.unlock()
    RunFolder(folder.path).lock()


def test_a_result_means_finished(folder):
    assert folder.result() is None
    folder.save_result({"schema": 1})
    assert folder.result() == {"schema": 1}
    (folder.path / "result.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        folder.result()
    assert json.loads("{}") == {}
