import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medfed.connectors.annotations import check_inside, read_annotations
from medfed.connectors.metaimage import read_mask, read_volume
from medfed.connectors.phantom import PRESETS, draw_patient, make_phantom, scanner_of
from medfed.connectors.phantom.grid import Grid
from medfed.connectors.phantom.nodules import draw_sizes
from medfed.connectors.phantom.scanner import acquire
from medfed.core.errors import DataError
from medfed.imaging.lungs import lung_mask
from medfed.imaging.pictures import LUNG_WINDOW

HOSPITALS = ("north", "river", "mill")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "out"
    made = make_phantom(out, HOSPITALS, 2, "small", seed=7)
    assert not made.reused
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(phantom: Path, tmp_path: Path) -> None:
    make_phantom(tmp_path / "again", HOSPITALS, 2, "small", seed=7)
    assert content(tmp_path / "again") == content(phantom)


@pytest.mark.slow
def test_more_patients_leave_the_earlier_ones_alone(phantom: Path, tmp_path: Path) -> None:
    make_phantom(tmp_path / "more", HOSPITALS[:1], 3, "small", seed=7)
    more, less = content(tmp_path / "more"), content(phantom)
    voxels = [n for n in less if n.startswith("north/") and n.endswith((".raw", ".mhd"))]
    assert len(voxels) == 8
    assert all(more[name] == less[name] for name in voxels)
    table = less["north/annotations.csv"]
    assert more["north/annotations.csv"].startswith(table)


def test_another_seed_gives_another_phantom(phantom: Path) -> None:
    other = draw_patient(8, "north", 1, PRESETS[0], "small")
    first = read_volume(phantom / "north" / "north-0001" / "ct.mhd")
    assert not (other.volume.hu == first.hu).all()


def test_annotations_and_masks_agree(phantom: Path) -> None:
    total = 0
    for hospital in HOSPITALS:
        rows = read_annotations(phantom / hospital / "annotations.csv")
        for patient in {row.series for row in rows}:
            volume = read_volume(phantom / hospital / patient / "ct.mhd")
            mask = read_mask(phantom / hospital / patient / "mask.mhd", like=volume.geometry)
            mine = [row for row in rows if row.series == patient]
            check_inside(mine, volume.geometry)
            labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
            assert count == len(mine)
            for row in mine:
                index = np.rint(volume.geometry.to_index(row.centre_mm)).astype(int)
                label = labels[tuple(index)]
                assert label > 0
                millilitres = (labels == label).sum() * np.prod(volume.spacing_mm)
                diameter = np.cbrt(6 * millilitres / np.pi)
                assert diameter == pytest.approx(row.diameter_mm, rel=0.22)
                total += 1
    assert total >= 6
    manifest = json.loads((phantom / "manifest.json").read_bytes())
    assert manifest["nodules"] == total


def test_nodules_lie_in_the_lungs_and_stand_out(phantom: Path) -> None:
    for hospital in HOSPITALS:
        for folder in sorted(p for p in (phantom / hospital).iterdir() if p.is_dir()):
            volume = read_volume(folder / "ct.mhd")
            mask = read_mask(folder / "mask.mhd") > 0
            lungs = ndimage.binary_dilation(lung_mask(volume), iterations=3)
            assert lungs[mask].all()
            assert volume.hu[mask].mean() > -650


@pytest.mark.parametrize("number", range(4))
def test_hounsfield_units_are_near_real_ones(number: int) -> None:
    # Lung with its vessels, and soft tissue with what contrast does to it; finer anchors stand in
    # test_phantom_anchors.py.
    volume = draw_patient(3, f"h{number}", 1, PRESETS[number], "small").volume
    lungs = lung_mask(volume)
    litres = lungs.sum() * np.prod(volume.spacing_mm) / 1e6
    assert 2.5 < litres < 7.5
    inner = ndimage.binary_erosion(lungs, iterations=2)
    assert -925 < np.median(volume.hu[inner]) < -840
    smooth = ndimage.uniform_filter(np.maximum(volume.hu, -1024).astype(np.float32), 3)
    soft = ndimage.binary_erosion((smooth > -20) & (smooth < 100), iterations=2)
    assert soft.sum() > 3000
    assert 30 < np.median(volume.hu[soft]) < 70
    low, high = LUNG_WINDOW
    assert low < np.median(volume.hu[inner]) < high


@pytest.mark.parametrize("preset", PRESETS, ids=lambda s: s.name)
def test_noise_is_as_strong_as_in_real_scans(preset) -> None:
    # Anchors: SD 19 to 41 HU in soft tissue.
    grid = Grid.centred((16, 96, 96), preset.small_mm)
    flat = np.full(grid.shape, 50, np.float32)
    scan = acquire(flat, grid, preset, np.random.default_rng(0))
    middle = scan[:, 44:52, 44:52]
    assert middle.mean() == pytest.approx(50, abs=3)
    assert 17 < middle.std() < 43
    assert middle.std() == pytest.approx(preset.noise_hu, rel=0.12)
    corner = scan[:, 0, 0]
    assert (corner == (preset.padding if preset.padding is not None else corner)).all()
    assert (corner != -1024).all()


def test_every_hospital_has_its_own_scanner(phantom: Path) -> None:
    scanners = [scanner_of(n, f"h{n}", 1) for n in range(9)]
    assert len({str(s.describe()) for s in scanners}) == 9
    assert len({s.small_mm for s in scanners[:4]}) == 4
    written = [json.loads((phantom / h / "scanner.json").read_bytes()) for h in HOSPITALS]
    assert len({w["kernel"] for w in written}) == 3
    assert all(w["synthetic"] is True for w in written)
    padding = [read_volume(phantom / h / f"{h}-0001" / "ct.mhd").hu[0, 0, 0] for h in HOSPITALS]
    assert padding[0] == -2000
    assert padding[1] > -1025
    assert padding[2] == -3024


def test_full_size_nodules_have_the_sizes_of_luna16() -> None:
    rng = np.random.default_rng(0)
    sizes = np.concatenate([draw_sizes(rng, "full", 0.0) for _ in range(4000)])
    found = np.percentile(sizes, (5, 25, 50, 75, 95))
    assert np.allclose(found, (4.1, 5.1, 6.4, 9.7, 19.0), rtol=0.12)
    small = np.concatenate([draw_sizes(rng, "small", 0.0) for _ in range(500)])
    assert small.min() >= 8
    assert small.max() <= 25
    assert len(small) / 500 == pytest.approx(2.0, abs=0.15)


def test_the_folder_says_that_it_is_synthetic(phantom: Path) -> None:
    for hospital in HOSPITALS:
        text = (phantom / hospital / "README.txt").read_text()
        assert "SYNTHETIC" in text
        assert "no person" in text
        with (phantom / hospital / "patients.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["patient_id"] for row in rows] == [f"{hospital}-0001", f"{hospital}-0002"]
        assert all((phantom / hospital / row["folder"] / "ct.mhd").is_file() for row in rows)


def test_the_same_phantom_is_used_again(phantom: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in phantom.rglob("*")}
    made = make_phantom(phantom, HOSPITALS, 2, "small", seed=7)
    assert made.reused
    assert made.nodules >= 6
    assert {p: p.stat().st_mtime_ns for p in phantom.rglob("*")} == before


def test_of_two_that_draw_the_same_at_once_one_uses_the_others(tmp_path: Path) -> None:
    out = tmp_path / "p"

    def another_is_quicker(done: int, of: int, _who: str) -> None:
        if done == of:
            assert not make_phantom(out, 1, 1).reused

    found = make_phantom(out, 1, 1, progress=another_is_quicker)
    assert found.reused
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_nothing_is_overwritten(phantom: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"another phantom .*seed 7 not 8"):
        make_phantom(phantom, HOSPITALS, 2, "small", seed=8)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="is no phantom"):
        make_phantom(mine, 1, 1)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_a_changed_phantom_is_not_used(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()  # an empty folder will do
    make_phantom(out, 1, 1)
    raw = out / "hospital-1" / "hospital-1-0001" / "ct.raw"
    raw.write_bytes(raw.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"ct\.raw was changed"):
        make_phantom(out, 1, 1)


def test_progress_and_a_stop_half_way(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []

    def stop(done: int, total: int, who: str) -> None:
        seen.append((done, total, who))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantom(tmp_path / "out", 2, 1, progress=stop)
    assert seen == [(1, 2, "hospital-1-0001"), (2, 2, "hospital-2-0001")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"hospitals": 0}, "1 to 1000 hospitals"),
        ({"hospitals": "north"}, "a number or a list"),
        ({"hospitals": []}, "at least one hospital"),
        ({"hospitals": ["a", "a"]}, "same name"),
        ({"hospitals": ["../a"]}, "cannot name a hospital"),
        ({"hospitals": ["North"]}, "cannot name a hospital"),
        ({"patients": 0}, "patients per hospital"),
        ({"size": "medium"}, "no phantom size 'medium'"),
        ({"seed": -1}, "a seed is"),
        ({"seed": 1.5}, "a seed is"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path: Path, arguments: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        make_phantom(tmp_path / "out", **arguments)
    assert list(tmp_path.iterdir()) == []
