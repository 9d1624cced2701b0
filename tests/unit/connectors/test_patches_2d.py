import numpy as np
import pytest

from medfed.connectors.patches_2d import FILE, MsdLungPatches
from medfed.core.errors import DataError

SITES = ("a", "b", "c")


def test_patients_are_dealt_out_once_each_and_always_the_same(need):
    root = need(f"msd-lung-patches-val/{FILE.name}").parent.parent
    shares = [MsdLungPatches().open(root, site, SITES).patients() for site in SITES]
    assert [len(share) for share in shares] == [5, 4, 4]
    assert len({p for share in shares for p in share}) == 13
    assert shares[1] == MsdLungPatches().open(root, "b", SITES).patients()
    other = [MsdLungPatches(seed=1).open(root, site, SITES).patients() for site in SITES]
    assert other != shares


def test_a_patient_has_ten_patches_with_tumour_in_most(need):
    root = need(f"msd-lung-patches-val/{FILE.name}").parent
    source = MsdLungPatches().open(root, "all", ("all",))
    cases = source.load(source.patients())
    assert len(cases) == 13
    for case in cases:
        assert case.images.shape == case.masks.shape == (10, 48, 48)
        assert case.images.dtype == np.float32
        assert 0 <= case.images.min() <= case.images.max() <= 1
        assert set(np.unique(case.masks)) == {0, 1}
        assert case.masks.any(axis=(1, 2)).sum() >= 7


def test_blocks_of_ten_are_patients(need):
    """The file does not number its patients; patches of a block are much more alike."""
    source = MsdLungPatches().open(need("msd-lung-patches-val"), "all", ("all",))
    images = np.stack([case.images for case in source.load(source.patients())]).reshape(130, -1)
    centred = images - images.mean(axis=1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    alike = (centred @ centred.T).reshape(13, 10, 13, 10).mean(axis=(1, 3))
    assert (alike.argmax(axis=0) == np.arange(13)).all()


def test_it_says_what_is_missing_or_wrong(tmp_path):
    with pytest.raises(DataError, match="were not found"):
        MsdLungPatches().open(tmp_path, "a", SITES)
    with pytest.raises(DataError, match="no data folder"):
        MsdLungPatches().open(None, "a", SITES)
    (tmp_path / FILE.name).write_bytes(b"other")
    with pytest.raises(DataError, match="was altered"):
        MsdLungPatches().open(tmp_path, "a", SITES)
    with pytest.raises(DataError, match="cannot be dealt out"):
        MsdLungPatches().open(tmp_path, "0", tuple(map(str, range(14))))
