"""Figures and units as people read them."""

import pytest

from medfed.services.reports import words
from medfed.services.reports.page import marked


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        ({"value": 0.98643, "low": 0.5, "high": 1.0}, "0.99 [0.50–1.00]"),
        ({"value": 0.98643, "low": 0.97123, "high": 0.99421}, "0.986 [0.971–0.994]"),
        ({"value": 0.0123, "low": 0.0101, "high": 0.0149}, "0.0123 [0.0101–0.0149]"),
        ({"value": -0.2, "low": -0.5, "high": 0.1}, "−0.20 [−0.50 to 0.10]"),
        ({"value": 0.5, "low": None, "high": None}, "0.500"),
        ({"value": 1.0, "low": 1.0, "high": 1.0}, "1.00 [1.00–1.00]"),
        ({"value": float("nan"), "low": 0.0, "high": 1.0}, "– [0.00–1.00]"),
        (None, "–"),
    ],
)
def test_figures_get_the_digits_they_deserve(figure, text):
    assert words.figure_text(figure) == text


def test_units_are_those_that_people_use():
    assert [words.bytes_text(n) for n in (0, 999, 1500, 1.2e6, 3.45e9)] == [
        "0 bytes", "999 bytes", "1.5 kB", "1.2 MB", "3.45 GB",
    ]  # fmt: skip
    assert [words.duration_text(s) for s in (0.04, 2.44, 59.97, 83, 7260)] == [
        "40 ms", "2.4 s", "1 min", "1 min 23 s", "2 h 1 min",
    ]  # fmt: skip
    assert words.rounds_text([1, 2, 3, 7]) == "1–3, 7"
    assert words.listing(["a", "b", "c"], 2) == "a, b and 1 more"
    assert words.metric_name("balanced_accuracy") == "balanced accuracy"


def test_code_in_a_sentence_is_shown_as_code_and_nothing_else_is_markup():
    assert marked("see `a`, ``b/`` and <i>") == (
        "see <code>a</code>, <code>b/</code> and &lt;i&gt;"
    )
    assert marked("a ` alone") == "a ` alone"
    assert "<b>" not in marked("`<b>`")
