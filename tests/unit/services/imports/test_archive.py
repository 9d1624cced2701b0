"""Import from a PACS, seen from the site: half a series is none, and originals do not stay.

The PACS here hands out a folder's files; real ones are asked in tests/integration/test_pacs.py.
"""

import os
import shutil

import pytest
from unit.connectors.dicom_files import ramp, uid, write_series

from medfed.connectors.pacs import PacsError, PacsSeries, Query
from medfed.connectors.pacs.query import missing
from medfed.core.errors import DataError, SiteError
from medfed.services.imports import import_from_pacs, list_scans
from medfed.services.imports.archive import LOCK
from medfed.services.imports.place import only_one
from medfed.services.sites import create_site


class FolderPacs:
    """Series from folders; ``keep_back`` leaves so many objects of each series out."""

    def __init__(self, root, keep_back=None, broken=False):
        self.root, self.keep_back, self.broken = root, keep_back or {}, broken

    def find(self, query):
        names = sorted(path.name for path in self.root.iterdir())
        return [PacsSeries("1.2", uid(name, "series"), name, "CT", "", 6) for name in names]

    def fetch(self, series, folder, progress=None):
        assert folder.stat().st_mode & 0o777 == 0o700
        if self.broken:
            raise OSError(28, os.strerror(28))
        files = sorted((self.root / series.date).iterdir())
        wanted = files[: len(files) - self.keep_back.get(series.date, 0)]
        for file in wanted:
            shutil.copy(file, folder)
        if len(wanted) < len(files):
            raise missing(len(wanted), len(files))
        return len(wanted)


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b"):
        write_series(tmp_path / "pacs" / name, ramp((6, 8, 10)), series=name, patient=name)
    return tmp_path / "pacs"


@pytest.fixture
def site(tmp_path):
    create_site(tmp_path / "site", "north", None)
    return tmp_path / "site"


def test_half_a_series_is_none_and_the_rest_goes_on(site, root):
    report = import_from_pacs(site, FolderPacs(root, {"a": 1}), Query())
    assert len(report.imported) == 1
    assert [one.name for one in report.refused] == ["incomplete"]
    assert not list(site.glob(".fetched-*"))
    told = []
    report = import_from_pacs(site, FolderPacs(root), Query(), None, lambda *at: told.append(at))
    assert (len(report.imported), len(report.unchanged)) == (1, 1)
    assert told == [(1, "imported"), (2, "seen")]
    assert len(list_scans(site)[1]) == 2


def test_what_an_import_that_was_killed_had_fetched_is_removed(site, root):
    (site / ".fetched-old").mkdir()
    shutil.copytree(root / "a", site / ".fetched-old" / "a")
    import_from_pacs(site, FolderPacs(root), Query())
    assert not list(site.glob(".fetched-*"))


def test_a_full_disk_and_an_empty_answer_are_said(site, root, tmp_path):
    with pytest.raises(DataError, match="No space left"):
        import_from_pacs(site, FolderPacs(root, broken=True), Query())
    (tmp_path / "none").mkdir()
    with pytest.raises(PacsError, match=r"no series.*pacs find"):
        import_from_pacs(site, FolderPacs(tmp_path / "none"), Query())
    with only_one(site, LOCK), pytest.raises(SiteError, match="at work"):
        import_from_pacs(site, FolderPacs(root), Query())
