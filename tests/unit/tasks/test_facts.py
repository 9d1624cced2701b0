"""Federated facts against pandas on the pooled table."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.tasks.helpers import fit, site_of

from medfed.core.errors import DataError, Refused
from medfed.core.options import check
from medfed.core.registry import make, names
from medfed.core.study import part_from_json
from medfed.tasks.facts import Moments, Vocabulary

values = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-100, 100))


def test_both_are_parts():
    assert {"moments", "vocabulary"} <= set(names("query"))


@given(st.lists(st.lists(values, min_size=1, max_size=12), min_size=1, max_size=4))
def test_moments_are_those_of_the_pooled_column(sites):
    pooled = pd.Series([v for site in sites for v in site], dtype=float)
    made = [site_of({"x": pd.Series(v, dtype=float)}, f"s{i}") for i, v in enumerate(sites)]
    if pooled.isna().all():
        with pytest.raises(DataError, match="no training patient of any site has a value of x"):
            fit(Moments(columns=("x",)), made)
        return
    row = fit(Moments(columns=("x",)), made)["x"]
    assert row["mean"] == pytest.approx(pooled.mean(), rel=1e-9, abs=1e-9)
    assert row["std"] == pytest.approx(pooled.std(ddof=0), rel=1e-6, abs=1e-8)
    assert row["count"] == pooled.count()
    assert row["missing"] == pooled.isna().sum()


def test_moments_keep_their_digits_far_from_zero():
    column = 1e12 + np.arange(10.0)
    sites = [site_of({"x": column[:4]}, "a"), site_of({"x": column[4:]}, "b")]
    assert fit(Moments(columns=("x",)), sites)["x"]["std"] == pytest.approx(np.arange(10).std())


def test_moments_see_training_patients_only():
    assert fit(Moments(columns=("x",)), [site_of({"x": [1.0, 3.0, 900.0]}, test=1)])["x"][
        "mean"
    ] == pytest.approx(2.0)


def test_steps_cross_the_wire_as_options():
    site = site_of({"x": [1.0, 3.0]})
    step = Moments(columns=("x",))
    step = step.next(step.local(site, {}))
    given = json.loads(json.dumps({"name": "moments", **step.__dict__}))
    assert make("query", part_from_json(given)) == step
    assert check(Moments, {"columns": ["x"]}, "query")[1] == []


def test_a_site_without_a_column_s_values_adds_nothing():
    sites = [site_of({"x": [np.nan, np.nan]}, "a"), site_of({"x": [1.0, 3.0]}, "b")]
    row = fit(Moments(columns=("x",)), sites)["x"]
    assert (row["mean"], row["std"], row["count"], row["missing"]) == (2.0, 1.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"y": [1.0]}, "no column x"),
        ({"x": ["secret"]}, 'column "x" holds something that is no number'),
        ({"x": [np.inf]}, 'column "x" holds an infinite value'),
    ],
)
def test_complaints_name_the_column_and_show_no_value(frame, message):
    with pytest.raises(DataError, match=message) as caught:
        Moments(columns=("x",)).local(site_of(frame), {})
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nobody_to_train_on_is_refused():
    with pytest.raises(Refused) as caught:
        Moments(columns=("x",)).local(site_of({"x": [1.0]}, test=1), {})
    assert caught.value.name == "no-data"


def test_vocabulary_is_the_same_however_values_are_stored():
    sites = [
        site_of({"x": [1, 0, 0], "s": ["M", " F", "F"]}, "a"),
        site_of({"x": [1.0, np.nan, 2.5], "s": ["M", None, ""]}, "b"),
        site_of({"x": [True, True, False], "s": ["F", "F", "F"]}, "c"),
    ]
    table = fit(Vocabulary(columns=("x", "s")), sites)
    assert table["x"] == {"categories": ["0", "1", "2.5"], "fill": "1", "missing": 1.0}
    assert table["s"] == {"categories": ["F", "M"], "fill": "F", "missing": 2.0}
    assert json.loads(json.dumps(table)) == table


def test_rare_values_never_leave_the_site():
    site = site_of({"x": ["a", "a", "rare"]})
    sent = Vocabulary(columns=("x",), min_count=2).local(site, {})
    assert not any("rare" in name for name in sent.stats)
    assert Vocabulary(columns=("x",), min_count=2).next(sent)["x"]["categories"] == ["a"]


def test_identifiers_are_not_taken_for_categories():
    with pytest.raises(DataError, match='"x" has more than 3 values'):
        Vocabulary(columns=("x",), max_values=3).local(site_of({"x": list("abcd")}), {})


def test_a_category_that_nobody_has_is_complained_of():
    with pytest.raises(DataError, match="has a value of x"):
        fit(Vocabulary(columns=("x",)), [site_of({"x": [None, None]})])
