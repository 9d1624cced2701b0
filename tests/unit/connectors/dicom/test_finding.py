"""Finding and choosing series; files and zips that are not what they should be."""

import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from unit.connectors.dicom_files import ramp, uid, write_series

from medfed.connectors.dicom import find_series
from medfed.connectors.dicom.series import survey
from medfed.connectors.scans import ScanError, read_scan
from medfed.connectors.scans.stores import open_store
from medfed.imaging.geometry import Geometry

HU = ramp()
TALL = ramp((26, 4, 4))


def grid(spacing: float, shape: tuple[int, int, int] = TALL.shape) -> Geometry:
    return Geometry(shape, (spacing, 0.8, 0.7))


def packed(folder: Path, path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"inside/{file.relative_to(folder)}")
    return path


def refused(path: Path, name: str, series_uid: str | None = None) -> ScanError:
    with pytest.raises(ScanError) as caught:
        read_scan(path, series_uid)
    assert caught.value.name == name
    return caught.value


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Five series: which is the chest CT?"""
    out = tmp_path / "archive"
    write_series(out / "a", TALL, grid(6), series="thick")
    write_series(out / "b", TALL, grid(5), series="thin")
    write_series(out / "c", TALL, grid(4), series="head", description="HEAD", edit=head)
    write_series(out / "d", TALL, grid(4), series="broken", missing=[5, 9])
    write_series(out / "e", TALL[:4], grid(0.5), series="few")
    write_series(out / "f", TALL, grid(4), series="mr", modality="MR")
    return out


def head(k: int, dataset: object) -> None:
    dataset.BodyPartExamined = "HEAD"


def test_every_series_is_found_with_its_state(archive: Path) -> None:
    found = {s.uid: s for s in find_series(archive)}
    assert len(found) == 6
    thin = found[uid("thin", "series")]
    assert (thin.modality, thin.description, thin.slices) == ("CT", "CHEST 3.0 B70f", 26)
    assert thin.spacing_mm == pytest.approx((5.0, 0.8, 0.7))
    assert thin.usable
    assert thin.geometry is not None
    assert thin.shape == TALL.shape
    assert len(thin.files) == 26
    broken = found[uid("broken", "series")]
    assert ([p.name for p in broken.problems], broken.usable) == (["missing-slices"], False)
    assert broken.spacing_mm == pytest.approx((4.0, 0.8, 0.7))
    assert [p.name for p in found[uid("mr", "series")].problems] == ["not-ct"]


def test_the_chest_ct_with_the_thinnest_spacing_is_chosen(archive: Path) -> None:
    scan = read_scan(archive)
    assert scan.series.uid == uid("thin", "series")
    assert scan.notes == (
        (
            "Chose one of 6 series: of the 3 usable chest CT series the one with the thinnest "
            "spacing, 26 slices 5 mm apart."
        ),
    )
    assert read_scan(archive, uid("head", "series")).volume.spacing_mm[0] == pytest.approx(4)


def test_without_a_chest_ct_the_note_says_so(archive: Path) -> None:
    for name in "abde":
        shutil.rmtree(archive / name)
    assert "none of them named a chest CT" in read_scan(archive).notes[0]


def test_a_series_that_is_not_there_or_not_usable(archive: Path) -> None:
    refused(archive, "no-series", "1.2.3")
    refused(archive, "missing-slices", uid("broken", "series"))
    for name in "abce":
        shutil.rmtree(archive / name)
    refused(archive, "missing-slices")
    write_series(archive / "g", HU, series="tilted", tilt_degrees=5)
    error = refused(archive, "no-usable-series")
    assert "missing-slices (1)" in error.message
    assert "tilted-gantry (1)" in error.message


def test_bad_files_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU)
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "letter.doc").write_bytes(b"Dear colleague" * 100)
    (folder / "notes.txt").write_text("left out silently")
    (folder / ".hidden").write_bytes(b"x")
    good = (folder / "0001.dcm").read_bytes()
    (folder / "broken.dcm").write_bytes(good[:400])
    (tmp_path / "secret.dcm").write_bytes(good)
    (folder / "link.dcm").symlink_to(tmp_path / "secret.dcm")
    assert (read_scan(folder).volume.hu == HU).all()
    with open_store(folder) as store:
        problems = {p.name: p for p in survey(store).problems}
    assert problems["empty-file"].files == ("empty.dcm",)
    assert problems["not-dicom"].files == ("letter.doc",)
    assert not problems["not-dicom"].fatal
    assert problems["no-uid"].files == ("broken.dcm",)
    assert problems["outside-folder"].files == ("link.dcm",)
    assert len(problems) == 4
    notes = read_scan(folder).notes
    assert "Left out: a file is empty (files: 1)." in notes
    assert not any("no DICOM" in note for note in notes)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip_is_read_as_its_folder(tmp_path: Path, method: int) -> None:
    folder = write_series(tmp_path / "ct", HU)
    path = packed(folder, tmp_path / "ct.zip", method)
    scan = read_scan(path)
    assert (scan.volume.hu == HU).all()
    assert len(find_series(path)[0].files) == len(HU)
    path.rename(tmp_path / "upload")
    assert (read_scan(tmp_path / "upload").volume.hu == HU).all()


def test_zips_that_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU)
    path = tmp_path / "ct.zip"
    path.write_bytes(b"PK\x03\x04 no zip")
    refused(path, "bad-zip")
    packed(folder, path)
    path.write_bytes(path.read_bytes()[:-500])
    refused(path, "bad-zip")
    for name in ("../out.dcm", "/etc/out.dcm", "a/../../out.dcm", "..\\out.dcm"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"x")
        refused(path, "unsafe-zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", b"x" * 100)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"a.dcm", b"\0.dcm"))  # a name ends at the first zero
    refused(path, "bad-zip")
    path.write_bytes(whole)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, "encrypted-zip")


def test_a_zip_with_a_damaged_member(tmp_path: Path) -> None:
    path = packed(write_series(tmp_path / "ct", HU), tmp_path / "ct.zip", zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04", 1000) - 20] ^= 0xFF
    path.write_bytes(data)
    with open_store(path) as store:
        (problem,) = survey(store).problems
    assert (problem.name, problem.files) == ("bad-zip", ("inside/0000.dcm",))


def test_pixels_that_are_damaged_in_a_zip(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", ramp((3, 200, 200)))
    path = packed(folder, tmp_path / "ct.zip", zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04", 1000) - 20] ^= 0xFF
    path.write_bytes(data)
    refused(path, "bad-zip")


def test_a_zip_that_would_unpack_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(1000))
    data = bytearray(path.read_bytes())
    # The sizes that the directory declares: 3 GB from some bytes; then more than one file may have.
    at = data.index(b"PK\x01\x02") + 24
    for size in (3 * 1024**3, 2**32 - 2):
        data[at : at + 4] = struct.pack("<I", size)
        path.write_bytes(data)
        refused(path, "decompression-bomb")


def test_folders_without_a_scan(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, "not-a-scan")
    (empty / "readme.txt").write_text("nothing here")
    refused(empty / "readme.txt", "not-a-scan")
    refused(tmp_path / "nowhere", "missing-file")
    (empty / "a.pdf").write_bytes(b"%PDF" * 100)
    refused(empty, "not-a-scan")
    refused(empty / "a.pdf", "not-a-scan")
    (tmp_path / "nothing.dcm").write_bytes(b"")
    refused(tmp_path / "nothing.dcm", "empty-file")


def test_a_file_packed_as_a_whole_is_not_unpacked(tmp_path: Path) -> None:
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    def change(k: int, dataset: object) -> None:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    folder = write_series(tmp_path / "ct", HU, syntax="1.2.840.10008.1.2.1", edit=change)
    refused(folder, "unsupported-compression")


def test_a_header_longer_than_the_first_bytes(tmp_path: Path) -> None:
    def long(k: int, dataset: object) -> None:
        dataset.add_new(0x00091001, "OB", bytes(200_000))
        dataset.add_new(0x00090010, "LO", "MEDFED TESTS")

    folder = write_series(tmp_path / "ct", HU, edit=long)
    assert (read_scan(folder).volume.hu == HU).all()
    assert (read_scan(packed(folder, tmp_path / "ct.zip")).volume.hu == HU).all()


def test_files_without_a_preamble(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(read_scan(folder).volume.hu, HU)
