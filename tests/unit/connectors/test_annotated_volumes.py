import shutil

import numpy as np
import pytest

from medfed.connectors.annotated_volumes import AnnotatedVolumes
from medfed.connectors.phantom import make_phantom
from medfed.core.errors import DataError
from medfed.tasks.detection_cases import AnnotatedScan

SITES = ("north",)
HEADER = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_phantom(tmp_path_factory.mktemp("made") / "out", SITES, 2, "small", seed=3).out


@pytest.fixture
def root(made, tmp_path):
    root = shutil.copytree(made, tmp_path / "data")
    (root / "north" / "annotations_excluded.csv").unlink(missing_ok=True)
    return root


def opened(root, **options):
    source = AnnotatedVolumes(**options).open(root, "north", SITES)
    return source.load(source.patients())


def middle(case):
    grid = case.volume().geometry
    return ",".join(f"{v:.2f}" for v in grid.to_world(np.asarray(grid.shape) / 2))


def test_every_scan_has_its_nodules_where_its_mask_has_them(root):
    cases = opened(root)
    lines = (root / "north" / "annotations.csv").read_text().splitlines()[1:]
    assert sum(len(case.findings()) for case in cases) == len(lines) > 0
    for case in cases:
        assert isinstance(case, AnnotatedScan)
        mask, grid = case.mask(), case.volume().geometry
        for finding in case.findings():
            assert finding.relevant
            z, y, x = np.rint(grid.to_index(finding.centre_mm)).astype(int)
            assert mask[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].any()
    assert "synthetic" in AnnotatedVolumes().open(root, "north", SITES).notice


def test_excluded_findings_count_neither_way_and_may_lack_a_size(root):
    case = opened(root)[0]
    lines = f"{case.patient},{middle(case)},-1\nsomebody-else,0,0,0,5\n"
    (root / "north" / "annotations_excluded.csv").write_text(HEADER + lines)
    known = len(case.findings())
    found = opened(root)[0].findings()
    assert len(found) == known + 1
    assert (found[-1].relevant, found[-1].radius_mm) == (False, 5.0)
    assert len(opened(root, excluded="")[0].findings()) == known


def test_several_scans_of_a_patient_are_told_apart_by_their_folders(root):
    patient = root / "north" / "north-0001"
    for name in ("before", "after"):
        shutil.copytree(patient, root / "moved" / name)
    shutil.rmtree(patient)
    shutil.move(root / "moved", patient)
    where = middle(opened(root)[0])
    (root / "north" / "annotations.csv").write_text(f"{HEADER}after,{where},6\n")
    counts = {c.case.path.parent.name: len(c.findings()) for c in opened(root)}
    assert counts == {"after": 1, "before": 0, "north-0002": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no annotations.csv"),
        ("seriesuid,coordX\n", "lacks coordY"),
        (HEADER + "north-0001,1,2,three,4\n", "line 2: coordinates"),
        (HEADER + "north-0001,1,2,3,-1\n", "finite centre and a size"),
        (HEADER + "north-0001,1,2,inf,4\n", "finite centre and a size"),
        (HEADER + "elsewhere,1,2,3,4\n", "names none of its scans"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_and_no_patient_is(root, text, message):
    table = root / "north" / "annotations.csv"
    table.unlink()
    if text is not None:
        table.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        opened(root)
    assert "north-0001" not in str(caught.value)


def test_a_finding_outside_of_its_scan_is_an_error(root):
    (root / "north" / "annotations.csv").write_text(f"{HEADER}north-0001,9999,0,0,6\n")
    with pytest.raises(DataError, match="1 findings lie outside") as caught:
        opened(root)[0].findings()
    assert "0001" not in str(caught.value)


def test_pictures_of_bytes_are_no_table(root):
    (root / "north" / "annotations.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as a CSV table"):
        opened(root)
