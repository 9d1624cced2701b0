"""Readers take any bytes: a scan, or a `ScanError`, and never more memory than a scan needs."""

import gzip
import random
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless
from unit.connectors.dicom_files import encoded, ramp, write_enhanced, write_series

from medfed.connectors.dicom import decoder
from medfed.connectors.dicom.codecs import decoded_frames
from medfed.connectors.dicom.decoder import Decoders
from medfed.connectors.dicom.headers import guarded, quiet
from medfed.connectors.dicom.planes import Layout
from medfed.connectors.scans import ScanError, read_scan

HU = ramp((3, 6, 8))


def by_simpleitk(path: Path, packed: bool = False) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(HU), str(path), useCompression=packed)


def zipped(folder: Path) -> None:
    write_series(folder / "s", HU)
    shutil.make_archive(str(folder / "ct"), "zip", folder / "s")
    shutil.rmtree(folder / "s")


MAKERS = {
    "mhd": lambda folder: by_simpleitk(folder / "ct.mhd"),
    "zraw": lambda folder: by_simpleitk(folder / "ct.mhd", packed=True),
    "mha": lambda folder: by_simpleitk(folder / "ct.mha", packed=True),
    "nii": lambda folder: by_simpleitk(folder / "ct.nii"),
    "nii.gz": lambda folder: by_simpleitk(folder / "ct.nii.gz"),
    "dicom": lambda folder: write_series(folder, HU),
    "enhanced": lambda folder: write_enhanced(folder / "ct.dcm", HU),
    "zip": zipped,
    "rle": lambda folder: write_series(folder, HU, syntax=RLELossless),
}


@pytest.fixture(scope="module", params=MAKERS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    MAKERS[request.param](folder)
    return folder


def attempt(folder: Path) -> None:
    """Read; anything but a volume or a `ScanError` fails the test."""
    # A folder of one file is also read as the file.
    names = sorted(folder.iterdir())
    headers = [p for p in names if p.suffix in {".mhd", ".zip"}] or names
    for path in (folder, headers[0]):
        with suppress(ScanError):
            volume = read_scan(path).volume
            assert volume.hu.dtype == np.int16
            assert volume.hu.size < 10_000_000


edits = st.lists(
    st.tuples(
        st.sampled_from(("flip", "set", "cut", "double", "zero", "insert")),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def harm(data: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    out = bytearray(data)
    for what, where, value in changes:
        at = int(where * len(out))
        if not out:
            break
        if what == "flip":
            out[at] ^= 1 << (value % 8)
        elif what == "set":
            out[at] = value
        elif what == "cut":
            del out[at : at + value]
        elif what == "double":
            out[at:at] = out[at : at + value]
        elif what == "zero":
            out[at : at + 4] = bytes([0, 255])[value % 2 : value % 2 + 1] * 4
        else:
            out[at:at] = bytes([value])
    return bytes(out)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=edits, pick=st.integers(0, 99), early=st.booleans())
def test_changed_bytes(
    whole: Path, tmp_path: Path, changes: list[tuple[str, float, int]], pick: int, early: bool
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    try:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        path = files[pick % len(files)]
        data = path.read_bytes()
        head = 1500 if early else len(data)
        data = harm(data[:head], changes) + data[head:]
        if path.name.endswith(".nii.gz") and early:
            # Behind the packing lies another header.
            data = gzip.compress(harm(gzip.decompress(path.read_bytes()), changes), 1)
        path.write_bytes(data)
        attempt(folder)
    finally:
        shutil.rmtree(folder)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=600), suffix=st.sampled_from((".mhd", ".mha", ".nii", ".dcm", "")))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    for start in (b"", bytes(128) + b"DICM", b"PK\x03\x04", b"\x1f\x8b", b"NDims = 3\n"):
        (folder / f"x{suffix}").write_bytes(start + data)
        attempt(folder)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless, RLELossless])
def test_changed_bytes_of_compressed_pixels(syntax: str) -> None:
    """Some of these end GDCM with the process that it runs in: not with ours."""
    hu = ramp((1, 16, 16))[0]
    layout = Layout(16, 16, 16, 16, True, True, False, syntax, "MONOCHROME2", 1)
    good = encapsulate([encoded(hu, syntax, True, 16)])
    draw = random.Random(7)
    outcomes = set()
    decoders = Decoders()
    with quiet():
        for count in (0, *[draw.randint(1, 8) for _ in range(30)]):
            data = bytearray(good)
            for _ in range(count):
                data[draw.randrange(16, len(data))] = draw.choice((0, 255, draw.randrange(256)))
            try:
                with guarded("bad-pixels"):
                    (values,) = decoded_frames(bytes(data), layout, [0], decoders)
            except ScanError as error:
                outcomes.add(error.name)
            else:
                assert values.shape == (16, 16)
                assert count or (values == hu).all()
                outcomes.add("read")
    decoders.close()
    assert {"read", "bad-pixels"} <= outcomes


@pytest.mark.parametrize("program", ["import os; os.abort()", "import time; time.sleep(60)", ""])
def test_a_decoder_that_dies_or_hangs_is_a_damaged_frame(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    layout = Layout(4, 4, 16, 16, True, True, False, JPEG2000Lossless, "MONOCHROME2", 1)
    start = subprocess.Popen
    monkeypatch.setattr(decoder, "LONGEST_FRAME_S", 0.5)
    monkeypatch.setattr(
        decoder.subprocess,
        "Popen",
        lambda command, **pipes: start([sys.executable, "-c", program], **pipes),
    )
    decoders = Decoders()
    with pytest.raises(ScanError) as caught:
        decoders.decode(b"frame", layout)
    assert caught.value.name == "bad-pixels"
    decoders.close()


def make_bombs(folder: Path) -> None:
    """Small files that unpack to 150 MB, or say that they do."""
    much = bytes(150_000_000)
    packed = zlib.compress(much, 1)
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header.set_data_shape((1000, 1000, 1000))
    (folder / "a.nii.gz").write_bytes(gzip.compress(bytes(header.binaryblock) + bytes(4), 1))
    header.set_data_shape((10, 10, 10))
    (folder / "b.nii.gz").write_bytes(gzip.compress(bytes(header.binaryblock) + much, 1))
    words = "NDims = 3\nDimSize = 9 9 9\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
    words += "CompressedData = True\nElementDataFile = LOCAL\n"
    (folder / "c.mha").write_bytes(words.encode() + packed)
    (folder / "d.mha").write_bytes(words.replace("9 9 9", "900 900 900").encode() + packed[:1000])
    endless = bytes(128) + b"DICM" + struct.pack("<HH2sHI", 9, 0x1001, b"OB", 0, 2**32 - 2)
    (folder / "e.dcm").write_bytes(endless)
    with zipfile.ZipFile(folder / "f.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.dcm", endless + much)
        archive.writestr("b.dcm", much)


READ_ALL = """
import resource, sys
from pathlib import Path
import nibabel, pydicom
from medfed.connectors.dicom import find_series
from medfed.connectors.scans import ScanError, read_scan
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_scan(path)
    except ScanError as error:
        print(path.name, error.name)
now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((now - before) // (1024 if sys.platform == "linux" else 1024**2))
"""


def test_what_would_unpack_to_much_takes_little_memory(tmp_path: Path) -> None:
    make_bombs(tmp_path)
    command = [sys.executable, "-c", READ_ALL, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    *told, grown = ran.stdout.splitlines()
    assert told == [
        "a.nii.gz cut-off",
        "b.nii.gz too-long",
        "c.mha too-long",
        "d.mha cut-off",
        "e.dcm no-uid",
        "f.zip bad-header",
    ]
    assert int(grown) < 140  # MB: a header may take 64, and its parser as much again


def test_a_decoder_that_ended_while_it_was_idle_is_replaced() -> None:
    hu = ramp((1, 16, 16))[0]
    layout = Layout(16, 16, 16, 16, True, True, False, JPEG2000Lossless, "MONOCHROME2", 1)
    frame = encoded(hu, JPEG2000Lossless, True, 16)
    decoders = Decoders()
    assert (decoders.decode(frame, layout) == hu).all()
    (child,) = decoders._idle
    child.kill()
    assert (decoders.decode(frame, layout) == hu).all()
    decoders.close()
    assert child.returncode
