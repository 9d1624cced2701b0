"""Files that are whole or absent."""

import errno
import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core import files
from medfed.core.errors import DataError
from medfed.core.files import append_line, canonical_json, read_lines, write_atomic, write_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def names(folder):
    return sorted(f.name for f in folder.iterdir())


def test_a_file_is_written_in_one_piece_or_several(tmp_path):
    file = tmp_path / "a.bin"
    write_atomic(file, b"one")
    write_atomic(file, [b"t", bytearray(b"w"), memoryview(b"o")], durable=False)
    assert file.read_bytes() == b"two"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_when_writing_fails_the_old_content_stays_and_nothing_is_left(
    where, error, tmp_path, monkeypatch
):
    file = tmp_path / "a.bin"
    write_atomic(file, b"old")

    def fail(*_, **__):
        raise error

    def chunks():
        yield b"new"
        if where == "write":
            raise error

    if where == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    if where == "replace":
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)):
        write_atomic(file, chunks())
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_reader_sees_the_old_or_the_new_content_only(tmp_path):
    file = tmp_path / "a.bin"
    write_atomic(file, b"0" * 5000)
    seen = set()
    done = threading.Event()

    def read():
        while not done.is_set():
            seen.add(file.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for digit in b"123456789" * 5:
        write_atomic(file, bytes([digit]) * 5000, durable=False)
    done.set()
    reader.join()
    assert all(len(set(content)) == 1 and len(content) == 5000 for content in seen)


def test_the_folder_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "no" / "a", b"")


@given(st.lists(JSON, max_size=5))
def test_lines_come_back(tmp_path_factory, values):
    file = tmp_path_factory.mktemp("lines") / "a.jsonl"
    for value in values:
        append_line(file, value)
    assert read_lines(file) == values


def test_no_file_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "none") == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_cut_off_by_a_crash_is_forgotten_and_not_run_into(cut, tmp_path):
    file = tmp_path / "a.jsonl"
    append_line(file, {"a": 1})
    append_line(file, {"b": 12})
    raw = file.read_bytes()
    file.write_bytes(raw[:-cut] if cut < len(raw) else raw)
    before = read_lines(file)
    append_line(file, {"c": 3})
    assert read_lines(file) == [*before, {"c": 3}]
    assert before in ([{"a": 1}], [])


def test_a_long_line_that_was_cut_off_is_removed_too(tmp_path):
    file = tmp_path / "a.jsonl"
    append_line(file, 1)
    with file.open("ab") as end:
        end.write(b'{"x": "' + b"y" * 20_000)
    append_line(file, 2)
    assert read_lines(file) == [1, 2]
    file.write_bytes(b"z" * 10_000)
    append_line(file, 3)
    assert read_lines(file) == [3]


def test_any_other_damaged_line_is_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"a": 1}\n{"b": \n{"c": 3}\n')
    with pytest.raises(DataError, match=r"line 2 of .*a\.jsonl is damaged"):
        read_lines(file)


def test_where_the_disk_is_full_the_lines_before_stay(tmp_path, monkeypatch):
    file = tmp_path / "a.jsonl"
    append_line(file, 1)
    written = os.pwrite

    def nearly_full(handle, data, offset):
        if len(data) < 9:
            raise OSError(errno.ENOSPC, "full")
        return written(handle, data[:4], offset)

    monkeypatch.setattr(os, "pwrite", nearly_full)
    with pytest.raises(OSError, match="full"):
        append_line(file, "a long line indeed")
    monkeypatch.undo()
    assert file.read_bytes() == b"1\n"
    append_line(file, 2)
    assert read_lines(file) == [1, 2]


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON))
def test_canonical_json_has_one_spelling(value):
    shuffled = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(shuffled)
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


def test_canonical_json_has_no_spelling_of_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_json_files_are_for_people_too(tmp_path):
    write_json(tmp_path / "a.json", {"b": "ä", "a": 1})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "b": "ä",\n  "a": 1\n}\n'
    assert files.read_lines(tmp_path / "none") == []
