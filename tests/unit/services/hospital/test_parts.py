"""Files on their way, sealed in pieces: whatever is killed when, the bytes are those sent."""

from __future__ import annotations

import io
import os
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medfed.core import memory_folders, private_files
from medfed.core.errors import DataError
from medfed.core.private_files import content, readable, seekable, sha256, size, stretch
from medfed.privacy.at_rest.stream import HEAD, MAGIC, PREFIX
from medfed.privacy.at_rest.vault import SealedVault
from medfed.services.hospital import parts
from medfed.services.hospital.laying import laid_out
from medfed.services.hospital.parts import (
    OpenPart,
    Pieces,
    SealedPart,
    folder_of,
    names_in,
    seal_jobs,
    write_names,
)

CONTENT = bytes(range(256))


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PIECE", 16)
    folder = tmp_path / "site" / "console" / "jobs" / "j"
    (folder / "parts").mkdir(parents=True)
    return folder


@pytest.fixture
def vault(tmp_path, job):
    return SealedVault(tmp_path / "site", bytes(32))


def new(job, name: str):
    folder = folder_of(job / "parts" / name)
    folder.mkdir()
    return folder


def add(part, blob: bytes) -> int:
    """Add bytes as uploads do; where what is kept ends."""
    end = part.settle()()
    while blob:
        bit, blob = blob[: part.room()], blob[part.room() :]
        part.write(bit)
        end = part.settle()()
    return end


def sealed_whole(job, vault, name: str, blob: bytes):
    folder = new(job, name)
    assert add(SealedPart(folder, vault, 0), blob) == len(blob)
    return folder


steps = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["goes on", "killed", "lost"])))


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=40)
@given(steps)
def test_whatever_is_killed_when_the_bytes_are_those_sent(tmp_path_factory, monkeypatch, steps):
    """Killed before the disk has the bytes, or after that and before anybody said so."""
    monkeypatch.setattr(parts, "PIECE", 48)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nobody switches the machine off
    folder = tmp_path_factory.mktemp("f", numbered=True)
    vault = SealedVault(folder, bytes(32))
    folder = folder / "f.pieces"
    folder.mkdir()
    received, part = 0, SealedPart(folder, vault, 0)
    for count, ending in steps:
        if ending == "goes on":
            received = add(part, CONTENT[received : received + count])
            continue
        end = min(received + count, len(CONTENT))
        for at in range(received, end):  # others than will be sent in the end
            part.write(bytes([255 - CONTENT[at]]))
            if not part.room():
                part.settle()()
        if ending == "killed":
            part.settle()()
        part = SealedPart(folder, vault, received)
    assert add(part, CONTENT[received:]) == len(CONTENT)
    assert Pieces(folder, vault, len(CONTENT)).read(0, len(CONTENT)) == CONTENT


def test_each_time_that_a_piece_is_sealed_it_is_under_another_key(job, vault, monkeypatch):
    """Going on under the same one would use a nonce twice."""
    written, plain = [], vault.write

    def watched(path, chunks, **how):
        plain(path, chunks, **how)
        written.append(path.read_bytes())

    monkeypatch.setattr(vault, "write", watched)
    folder = new(job, "f")
    part = SealedPart(folder, vault, 0)
    for _ in range(3):  # what was written is sent again, as after a kill
        add(part, CONTENT[:24])
        part = SealedPart(folder, vault, 0)
    assert len(written) == 9, "two pieces each time, and how long they are"
    salts = {blob[len(MAGIC) : HEAD - PREFIX] for blob in written}
    assert len(salts) == len(written)


def test_any_stretch_is_read_across_pieces(job, vault):
    folder = sealed_whole(job, vault, "f", CONTENT[:100])
    assert sorted(f.name for f in folder.iterdir()) == [*(f"{n:06d}" for n in range(7)), "size"]
    found = Pieces(folder, vault, 100)
    for start, stop in ((0, 100), (0, 1), (15, 17), (16, 32), (31, 97), (99, 400), (50, 50)):
        assert found.read(start, stop) == CONTENT[start : min(stop, 100)]
    assert b"".join(f.read_bytes() for f in folder.iterdir()).find(CONTENT[:8]) < 0


@pytest.mark.parametrize("harm", ["changed", "exchanged", "older", "gone", "another's"])
def test_a_piece_that_is_not_what_was_written_is_noticed(job, vault, harm):
    folder, other = (sealed_whole(job, vault, name, CONTENT[:40]) for name in "fg")
    first, second, last = (folder / f"{n:06d}" for n in range(3))
    if harm == "changed":
        *kept, end = first.read_bytes()
        first.write_bytes(bytes([*kept, end ^ 1]))
    elif harm == "exchanged":
        blob = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(blob)
    elif harm == "older":
        vault.write(last, CONTENT[32:36])
    elif harm == "gone":
        second.unlink()
    else:
        first.write_bytes((other / first.name).read_bytes())
    with pytest.raises((DataError, FileNotFoundError)):
        Pieces(folder, vault, 40).read(0, 40)
    if harm in ("changed", "another's"):
        with pytest.raises(DataError):
            SealedPart(folder, vault, 7)
    if harm == "older":
        with pytest.raises(DataError, match="not as long"):
            SealedPart(folder, vault, 40)


def test_behind_a_piece_that_the_disk_refused_nothing_counts(job, vault, monkeypatch):
    folder = new(job, "f")
    part = SealedPart(folder, vault, 0)
    assert add(part, CONTENT[:16]) == 16
    plain = vault.write

    def full(path, chunks, **how):
        raise OSError(28, "full")

    monkeypatch.setattr(vault, "write", full)
    part.write(CONTENT[16:32])
    with pytest.raises(OSError, match="full"):
        part.settle()()
    monkeypatch.setattr(vault, "write", plain)  # there is room again
    part.write(CONTENT[32:40])
    assert part.settle()() == 16
    assert add(SealedPart(folder, vault, 16), CONTENT[16:40]) == 40
    assert Pieces(folder, vault, 40).read(0, 40) == CONTENT[:40]


@pytest.mark.parametrize("later", [7, 16, 48])
def test_pieces_keep_the_length_that_they_were_begun_with(job, vault, monkeypatch, later):
    """A later medfed may hold more or less in memory."""
    folder, whole = new(job, "f"), sealed_whole(job, vault, "whole", CONTENT[:100])
    add(SealedPart(folder, vault, 0), CONTENT[:40])
    monkeypatch.setattr(parts, "PIECE", later)
    assert Pieces(whole, vault, 100).read(0, 100) == CONTENT[:100]
    assert add(SealedPart(folder, vault, 40), CONTENT[40:100]) == 100
    assert Pieces(folder, vault, 100).read(0, 100) == CONTENT[:100]
    assert sorted(f.name for f in folder.iterdir())[6:] == ["000006", "size"]
    assert add(SealedPart(folder, vault, 0), CONTENT[:60]) == 60, "begun anew"
    assert Pieces(folder, vault, 60).read(0, 60) == CONTENT[:60]


def test_pieces_from_before_their_length_was_written_down_are_read_and_gone_on_with(
    job, vault, monkeypatch
):
    monkeypatch.setattr(parts, "UNSAID", 16)
    folder = sealed_whole(job, vault, "f", CONTENT[:40])
    (folder / "size").unlink()
    monkeypatch.setattr(parts, "PIECE", 48)
    assert Pieces(folder, vault, 40).read(0, 40) == CONTENT[:40]
    assert add(SealedPart(folder, vault, 40), CONTENT[40:100]) == 100
    assert Pieces(folder, vault, 100).read(0, 100) == CONTENT[:100]


def test_a_length_that_was_changed_is_noticed(job, vault):
    folder, other = (sealed_whole(job, vault, name, CONTENT[:40]) for name in "fg")
    (folder / "size").write_bytes((other / "size").read_bytes())
    with pytest.raises(DataError):
        Pieces(folder, vault, 40).read(0, 40)
    with pytest.raises(DataError):
        SealedPart(folder, vault, 40)


def test_an_open_file_is_cut_off_where_it_counts(tmp_path):
    file = tmp_path / "f"
    file.write_bytes(CONTENT[:20])
    part = OpenPart(file, 10)
    part.write(b"more")
    assert part.settle()() == 14
    part.close()
    assert file.read_bytes() == CONTENT[:10] + b"more"


def test_what_lies_open_is_sealed_in_place_with_its_names(job, vault, tmp_path):
    (job / "parts" / "half").write_bytes(CONTENT[:20])
    left = {"Doe, Jane/1.dcm": CONTENT[:50], "a.csv": b"", "Doe, Jane/ct/2.dcm": CONTENT}
    for name, blob in left.items():
        (job / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (job / "files" / name).write_bytes(blob)
    assert seal_jobs(tmp_path / "site" / "console", vault) == 4
    assert seal_jobs(tmp_path / "site" / "console", vault) == 0
    for file in job.rglob("*"):
        assert "Doe" not in str(file)
        assert not file.is_file() or not any(
            s in file.read_bytes() for s in (CONTENT[:9], b"Doe, Jane")
        )
    names = names_in(job, vault)
    assert dict(names.values()) == {n: len(b) for n, b in left.items()}
    for part, (name, length) in names.items():
        found = Pieces(folder_of(job / "parts" / part), vault, length)
        assert found.read(0, length) == left[name]
    part = SealedPart(folder_of(job / "parts" / "half"), vault, 18)
    assert add(part, CONTENT[18:30]) == 30
    assert Pieces(folder_of(job / "parts" / "half"), vault, 30).read(0, 30) == CONTENT[:30]


@pytest.fixture
def memory(tmp_path, monkeypatch):
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(memory_folders, "MEMORY", folder)
    monkeypatch.setattr(private_files, "_VAULTS", {})
    return folder


def test_sealed_files_are_read_where_their_names_say_and_take_no_room(job, vault, memory):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in.dcm", CONTENT * 9)
    blobs = {"p/ct.mhd": b"ElementDataFile = other.bin", "p/other.bin": CONTENT, "p/no.bin": b"n",
             "a.zip": buffer.getvalue()}  # fmt: skip
    names = {}
    for number, (name, blob) in enumerate(blobs.items()):
        sealed_whole(job, vault, str(number), blob)
        names[str(number)] = (name, len(blob))
    write_names(job, names, vault)
    with laid_out(job, names_in(job, vault), vault) as files:
        for name, blob in blobs.items():
            path = files / name
            assert path.stat().st_size == size(path) == len(blob)
            assert path.read_bytes() == bytes(len(blob)), "a file that takes no room"
            assert content(path) == blob
            assert bytes(stretch(path, 3, 20)) == blob[3:23]
        assert sha256(files / "a.zip") == private_files.hashlib.sha256(blobs["a.zip"]).hexdigest()
        with zipfile.ZipFile(seekable(files / "a.zip")) as archive:
            assert archive.read("in.dcm") == CONTENT * 9
        with readable(files / "p" / "ct.mhd", lambda _: ["other.bin"]) as path:
            found = {f.name: f.read_bytes() for f in path.parent.iterdir()}
        assert found == {"ct.mhd": blobs["p/ct.mhd"], "other.bin": CONTENT}
    assert not list(memory.iterdir())
    assert not private_files._VAULTS


def test_a_changed_piece_is_an_error_of_the_disk_to_whoever_reads_a_file(job, vault, memory):
    folder = sealed_whole(job, vault, "f", CONTENT)
    last = folder / f"{len(CONTENT) // 16 - 1:06d}"
    *kept, end = last.read_bytes()
    last.write_bytes(bytes([*kept, end ^ 1]))
    with (
        laid_out(job, {"f": ("a.zip", len(CONTENT))}, vault) as files,
        seekable(files / "a.zip") as file,
        pytest.raises(OSError, match="changed"),
    ):
        file.read()


def test_files_that_were_sealed_before_a_kill_are_not_sealed_twice(job, vault, monkeypatch):
    (job / "files").mkdir()
    (job / "files" / "a.csv").write_bytes(CONTENT)

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parts.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            parts.seal_job(job, vault)
    parts.seal_job(job, vault)
    names = names_in(job, vault)
    assert [name for name, _ in names.values()] == ["a.csv"]
    assert not (job / "files").exists()
    twice = {**names, "another": ("a.csv", len(CONTENT))}
    with laid_out(job, twice, vault) as files:
        assert content(files / "a.csv") == CONTENT
