"""``medfed data import``, ``list``, ``inspect`` and ``pacs``, as a person calls them."""

import io
import json

import pytest
from PIL import Image
from unit.connectors.dicom_files import ramp, uid, write_series

from medfed.cli import main
from medfed.services.imports.inspection import histogram
from medfed.services.sites import create_site

SHAPE = (6, 16, 12)


@pytest.fixture
def site(tmp_path):
    create_site(tmp_path / "site", "north", None)
    return tmp_path / "site"


@pytest.fixture
def medfed(capsys):
    """Call the command line; its exit code, what it printed, what it complained."""

    def call(*words):
        try:
            main([str(word) for word in words])
            code = 0
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr()

    return call


def test_import_and_list_say_what_is_there(medfed, site, tmp_path):
    write_series(tmp_path / "in" / "a", ramp(SHAPE), patient="MRN-1")
    write_series(tmp_path / "in" / "b", ramp(SHAPE), series="holes", missing=[3])
    assert "Nothing was imported" in medfed("data", "list", "--site", site)[1]
    code, out, _ = medfed("data", "import", tmp_path / "in", "--site", site)
    assert code == 0
    assert "north: 1 imported; in" in out
    assert "missing-slices: " in out
    assert "it may name patients" in out
    assert "MRN-1" not in out
    code, out, _ = medfed("data", "list", "--site", site)
    assert "DICOM, 12×16×6 of 0.7×0.8×2.5 mm, medfed tests" in out
    assert "1 scan of 1 patient" in out
    _, out, _ = medfed("data", "import", tmp_path / "in" / "a", "--site", site)
    assert "1 already there" in out
    assert "Nothing changed." in out


def test_both_speak_json(medfed, site, tmp_path):
    write_series(tmp_path / "in", ramp(SHAPE))
    code, out, _ = medfed("data", "import", tmp_path / "in", "--site", site, "--json")
    report = json.loads(out)
    assert (code, report["schema"], len(report["imported"])) == (0, 1, 1)
    code, out, _ = medfed("data", "list", "--site", site, "--json")
    (scan,) = json.loads(out)["scans"]
    assert scan["scan"] == report["imported"][0]
    assert scan["shape"] == list(SHAPE)
    assert all(len(one["sha256"]) == 64 for one in scan["objects"])
    assert scan["bytes"] == sum(one["bytes"] for one in scan["objects"])


def test_an_import_of_nothing_usable_fails(medfed, site, tmp_path):
    write_series(tmp_path / "in", ramp(SHAPE), modality="MR")
    code, out, _ = medfed("data", "import", tmp_path / "in", "--site", site)
    assert code == 3
    assert "nothing imported" in out
    assert "Left out: 1 not-ct" in out
    assert medfed("data", "import", "--site", site)[0] == 2
    assert medfed("data", "import", tmp_path, "--from", "A@b:1", "--site", site)[0] == 2
    code, _, err = medfed("data", "import", tmp_path / "none", "--site", site)
    assert (code, "no such file or folder" in err) == (3, True)
    code, _, err = medfed("data", "import", tmp_path / "in", "--site", tmp_path / "nowhere")
    assert (code, "medfed site init" in err) == (4, True)


def test_a_scan_is_looked_at(medfed, tmp_path):
    write_series(tmp_path / "in", ramp((40, 16, 12)))
    picture = tmp_path / "look.png"
    code, out, _ = medfed("data", "inspect", tmp_path / "in", "--picture", picture)
    assert code == 0
    for words in ("CT, 40 slices", "usable", "12 × 16 × 40", "0.7 × 0.8 × 2.5 mm", "HU", "█"):
        assert words in out, words
    with Image.open(io.BytesIO(picture.read_bytes())) as image:
        assert image.format == "PNG"
        wide, high = image.size
        assert wide > 3 * 10
        assert high >= 2 * 60, "100 mm from head to foot, at 1.5 mm and two pixels each"
    assert picture.stat().st_mode & 0o077 == 0
    code, out, _ = medfed("data", "inspect", tmp_path / "in", "--json")
    about = json.loads(out)
    scan = about["scan"]
    assert (scan["form"], scan["shape_zyx"]) == ("DICOM", [40, 16, 12])
    assert sum(scan["hu"]["counts"]) == 40 * 16 * 12
    assert about["series"][0]["uid"] == uid("ct", "series") == scan["series"]


def test_what_is_wrong_with_a_scan_is_said(medfed, tmp_path):
    write_series(tmp_path / "in", ramp(SHAPE), missing=[3])
    code, out, err = medfed("data", "inspect", tmp_path / "in")
    assert code == 3
    assert "missing-slices" in out
    assert "missing between the first and the last" in err
    code, out, _ = medfed("data", "inspect", tmp_path / "in", "--json")
    about = json.loads(out)
    assert (code, about["scan"], about["problem"]["name"]) == (3, None, "missing-slices")
    assert medfed("data", "inspect", tmp_path / "nothing")[0] == 3


def test_a_histogram_counts_every_voxel(tmp_path):
    import numpy as np

    from medfed.imaging.geometry import Volume

    hu = np.array([-3024, -1000, -850, -100, 40, 700, 3071, 5000], np.int16).reshape(2, 2, 2)
    found = histogram(Volume(hu, (1.0, 1.0, 1.0)))
    assert sum(found["counts"]) == 8
    assert (found["least"], found["greatest"], found["percentiles"]["50"]) == (-3024, 5000, -100)
    assert set(found["shares"].values()) == {0.125, 0.25}
    assert np.isclose(found["mean"], hu.mean())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "nowhere"), "not the address of a PACS"),
        (("check", "https://me:secret@pacs/dicom-web"), "user name or password"),
        (("check", "http://192.0.2.7/dicom-web"), "not encrypted"),
        (("check", "PACS@host:99999"), "not the address of a PACS"),
        (("check", "TOO-LONG-A-TITLE-FOR-DICOM@host:104"), "no application entity title"),
        (("check", "PACS@host:104", "--title", "\\"), "no application entity title"),
        (("check", "PACS@host:104", "--ca", "/no/file"), "no certificate"),
        (("find", "PACS@host:104", "--dates", "May"), "no dates"),
        (("find", "PACS@host:104", "--study", "abc"), "is no UID"),
    ],
)
def test_a_pacs_that_cannot_be_meant_is_refused_before_anything_is_sent(medfed, words, said):
    code, _, err = medfed("data", "pacs", *words)
    assert code == 3
    assert said in err
    assert "secret" not in err
