"""The shipped data set, shared out, and the example study that uses it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medfed.connectors.breast_cancer import TARGET, BreastCancer, _frame
from medfed.core.data import SiteData
from medfed.core.errors import DataError
from medfed.core.registry import make
from medfed.core.study_file import read_study

EXAMPLE = Path(__file__).parents[3] / "examples" / "breast_cancer.toml"


@settings(max_examples=15)
@given(st.integers(1, 9), st.floats(0, 1))
@example(40, 1.0)
def test_sites_are_disjoint_complete_and_have_both_labels(count, skew):
    sites = [f"s{i}" for i in range(count)]
    opened = [BreastCancer(skew=skew).open(None, site, sites) for site in sites]
    patients = [patient for source in opened for patient in source.patients()]
    assert len(set(patients)) == len(patients) == 569
    assert all(set(source.strata()) == {"benign", "malignant"} for source in opened)


def test_skew_makes_sites_differ_and_is_the_same_every_time():
    sites = ["a", "b", "c"]

    def shares(skew):
        tables = [BreastCancer(skew=skew).open(None, site, sites).frame for site in sites]
        return [float(np.mean(table[TARGET] == "malignant")) for table in tables]

    assert np.ptp(shares(0.0)) < 0.15
    assert np.ptp(shares(1.0)) > 0.5
    assert shares(0.5) == shares(0.5)


def test_records_are_the_thirty_figures_and_the_diagnosis():
    source = BreastCancer().open(None, "a", ["a"])
    assert source.patients()[0] == "bc-0001"
    frame = source.load(["bc-0001", "bc-0569"])
    assert frame.shape == (2, 31)
    assert list(frame[TARGET]) == ["malignant", "benign"]
    assert frame.loc["bc-0001", "mean radius"] == 17.99


def test_sites_that_cannot_be():
    with pytest.raises(DataError, match="not a site of the study"):
        BreastCancer().open(None, "x", ["a"])
    with pytest.raises(DataError, match="too many"):
        BreastCancer().open(None, "s0", [f"s{i}" for i in range(41)])


def test_the_example_opens_at_every_site():
    study = read_study(EXAMPLE)
    opener, split, task = (
        make("source", study.source),
        make("split", study.split),
        study.make_task(),
    )
    sites = [
        SiteData.split(s, opener.open(None, s, study.sites), split, study.seed) for s in study.sites
    ]
    query = task.prepare()[0]
    assert all(query.local(site, {}).stats["patients"][0] > 80 for site in sites)
    assert all(site.count("test") > 30 for site in sites)


def test_the_table_is_that_of_scikit_learn_which_need_not_be_imported_for_it():
    from sklearn.datasets import load_breast_cancer

    wanted = load_breast_cancer()
    frame = _frame()
    inputs = frame.drop(columns=TARGET)
    assert list(inputs.columns) == list(wanted.feature_names)
    assert (inputs.to_numpy() == wanted.data).all()
    names = [str(wanted.target_names[each]) for each in wanted.target]
    assert list(frame[TARGET]) == names
