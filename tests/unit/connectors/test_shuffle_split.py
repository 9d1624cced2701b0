"""The split ``shuffle``: balanced, seeded, and FLamby's where it is asked for."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from medfed.connectors.heart_disease import PATIENTS, HeartDisease
from medfed.connectors.shuffle_split import ShuffleSplit
from medfed.core.data import SiteData
from medfed.core.errors import DataError, PartError

SITES = tuple(PATIENTS)


def people(count: int) -> list[str]:
    return [f"p{i}" for i in range(count)]


@pytest.mark.parametrize("site", SITES)
def test_flambys_sets_come_out_row_by_row(site, need):
    path = need("heart-disease-uci/flamby_split.csv")
    theirs = pd.read_csv(path).query("center == @site")
    source = HeartDisease(variant="flamby").open(path.parent.parent, site, SITES)
    ours = SiteData.split(site, source, ShuffleSplit(test=0.34, seed=43), seed=7)
    for name in ("train", "test"):
        rows = theirs.loc[theirs["set"] == name, "row_in_file"]
        assert ours.sets[name] == tuple(f"row-{row + 1}" for row in sorted(rows))


def test_sets_are_disjoint_cover_everybody_and_keep_the_balance():
    strata = ["ill"] * 30 + ["well"] * 70
    sets = ShuffleSplit(test=0.2, valid=0.1).assign(people(100), strata, 5)
    assert sorted(np.concatenate(list(sets.values()))) == list(range(100))
    counts = {name: Counter(strata[i] for i in rows) for name, rows in sets.items()}
    assert counts["test"] == {"ill": 6, "well": 14}
    assert counts["valid"] == {"ill": 3, "well": 7}
    assert counts["train"] == {"ill": 21, "well": 49}


def test_the_seed_is_the_splits_own_or_the_studys():
    def test_set(study: int, own: int | None = None) -> list[int]:
        sets = ShuffleSplit(seed=own).assign(people(50), None, study)
        return [int(i) for i in sets["test"]]

    assert test_set(1) == test_set(1) != test_set(2)
    assert test_set(1, own=9) == test_set(2, own=9)
    assert len(test_set(2**40)) == 10


@pytest.mark.parametrize(
    "strata",
    [None, ["ill"] * 20, ["ill"] * 18 + ["well"] * 2, people(20)],
    ids=["unknown", "one class", "a rare class", "all different"],
)
def test_what_cannot_be_balanced_is_drawn_plainly(strata):
    plain = ShuffleSplit(stratify=False).assign(people(20), strata, 3)
    drawn = ShuffleSplit().assign(people(20), strata, 3)
    assert all(np.array_equal(plain[name], drawn[name]) for name in plain)


def test_nothing_held_out_leaves_everybody_to_train_on():
    sets = ShuffleSplit(test=0).assign(people(3), None, 0)
    assert [len(sets[name]) for name in ("train", "valid", "test")] == [3, 0, 0]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_patients_are_said_to_be_so(count):
    with pytest.raises(DataError, match="too few"):
        ShuffleSplit().assign(people(count), None, 0)


def test_shares_must_leave_somebody_to_train_on():
    with pytest.raises(PartError, match="cannot be used"):
        ShuffleSplit(test=0.6, valid=0.4)
