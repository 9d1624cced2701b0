"""Conditions that nobody can meet together are found; others are left alone."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.connectors.tables import matching
from medfed.core.conditions import COMPARISONS, impossible

NUMBERS = range(-2, 3)
CONDITIONS = st.one_of(
    st.builds("age {} {}".format, st.sampled_from(COMPARISONS), st.sampled_from(NUMBERS)),
    st.sampled_from(["age is missing", "age is not missing"]),
)


@given(CONDITIONS, CONDITIONS)
def test_two_conditions_are_impossible_where_no_value_meets_both(one, other):
    halves = [None, *(n / 2 for n in range(-7, 8))]  # on, between and beyond all the numbers
    table = pd.DataFrame({"age": pd.Series(halves, dtype=float)})
    nobody = not matching(table, [one, other]).any()
    assert impossible([one, other]) == ([(one, other)] if nobody else [])


@pytest.mark.parametrize(
    ("where", "nobody"),
    [
        (['sex = "F"', 'sex = "M"'], True),
        (['sex = "F"', 'sex != "M"'], False),
        (["age > 60", "size < 40"], False),
        (["age > 60", "`age` < 40"], True),
        (["age > 60", 'age = "old"'], True),
        (["age > 20", "age < 90", "age < 20"], True),
        ([], False),
    ],
)
def test_conditions_of_text_and_of_several_columns(where, nobody):
    assert bool(impossible(where)) is nobody
