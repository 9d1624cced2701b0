"""The catalogue: all of a scan or nothing, tied to its key, and readable by its owner only."""

import dataclasses
import sqlite3

import pytest

from medfed.core.errors import DataError, SiteError
from medfed.storage.catalogue import Catalogue, CataloguedScan, StoredObject

SCAN = CataloguedScan(
    scan="s-a",
    patient="p-a",
    folder="north/p-a/s-a",
    form="DICOM",
    imported="2026-01-01T00:00:00+00:00",
    shape=(2, 3, 4),
    spacing_mm=(2.5, 0.7, 0.7),
    kernel="B70f",
    doubts=("burned-in-text",),
    objects=(StoredObject("ct/1.dcm", 10, "aa", "x"), StoredObject("ct/2.dcm", 12, "bb", "y")),
)


def test_a_scan_is_kept_as_it_was_put(tmp_path):
    file = tmp_path / "c.sqlite"
    with Catalogue(file, "key") as catalogue:
        assert catalogue.scans() == []
        assert catalogue.find("s-a") is None
        catalogue.put(SCAN)
    assert file.stat().st_mode & 0o777 == 0o600
    with Catalogue(file, "key") as catalogue:
        assert catalogue.scans() == [SCAN] == [catalogue.find("s-a")]
        assert (SCAN.bytes, SCAN.sources) == (22, {"x", "y"})


def test_putting_a_scan_again_replaces_it_with_its_objects(tmp_path):
    with Catalogue(tmp_path / "c.sqlite", "key") as catalogue:
        catalogue.put(SCAN)
        fewer = dataclasses.replace(SCAN, objects=SCAN.objects[:1], mask=True)
        catalogue.put(fewer)
        assert catalogue.scans() == [fewer]


def test_a_put_that_fails_leaves_what_was_there(tmp_path):
    with Catalogue(tmp_path / "c.sqlite", "key") as catalogue:
        catalogue.put(SCAN)
        twice = dataclasses.replace(SCAN, kernel="new", objects=SCAN.objects[:1] * 2)
        with pytest.raises(DataError):
            catalogue.put(twice)
        assert catalogue.scans() == [SCAN]


def test_another_key_is_refused(tmp_path):
    Catalogue(tmp_path / "c.sqlite", "key").close()
    with pytest.raises(SiteError, match=r"another key.*backup"):
        Catalogue(tmp_path / "c.sqlite", "other")


def test_what_is_no_catalogue_is_named(tmp_path):
    (tmp_path / "c.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(DataError, match="is damaged"):
        Catalogue(tmp_path / "c.sqlite", "key")
    with sqlite3.connect(tmp_path / "later.sqlite") as later:
        later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(DataError, match="later medfed"):
        Catalogue(tmp_path / "later.sqlite", "key")
    with pytest.raises(DataError, match="cannot be used"):
        Catalogue(tmp_path, "key")
