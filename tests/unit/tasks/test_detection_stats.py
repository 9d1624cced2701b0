import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.update import add_stats
from medfed.imaging.froc import RATES, Scored, froc
from medfed.tasks.detection_stats import (
    AT_RATES,
    BINS,
    HIGHER_IS_BETTER,
    SPAN,
    cpm_error,
    detection_metrics,
    figures,
    histogram,
    patient_draws,
    patient_stats,
)


def stats_of(scans, site="north", first=0):
    return add_stats(
        patient_stats([s], 0.5, 1, patient_draws(1, site, first + i)) for i, s in enumerate(scans)
    )


def some_scans(count, seed=0):
    rng = np.random.default_rng(seed)
    scans = []
    for _ in range(count):
        hits = tuple(rng.normal(1.5, 1.5, rng.integers(0, 4)))
        false = tuple(rng.normal(-1.0, 1.5, rng.integers(0, 12)))
        scans.append(Scored(hits, false, len(hits) + int(rng.integers(0, 2))))
    return scans


def test_hand_made_scans_give_the_figures_done_by_hand():
    scans = [Scored((2.0, 1.0), (1.5,), 3), Scored((-1.0,), (0.5, 0.0), 1)]
    found = detection_metrics(stats_of(scans))
    expected = dict(zip(AT_RATES, (0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 0.75), strict=True))
    assert {name: found[name].value for name in AT_RATES} == pytest.approx(expected)
    assert found["cpm"].value == pytest.approx(np.mean(list(expected.values())))
    assert found["reach"].value == 0.75
    assert found["loss"].value == 0.5
    assert set(found) == set(HIGHER_IS_BETTER)


def test_the_names_say_the_rates():
    assert len(AT_RATES) == len(RATES)
    assert AT_RATES[0] == "sensitivity_at_1_8"
    assert AT_RATES[-1] == "sensitivity_at_8"


logits = st.lists(st.floats(-12, 12), max_size=5)
scored = st.builds(
    lambda hits, false, missed: Scored(tuple(hits), tuple(false), len(hits) + missed),
    logits,
    logits,
    st.integers(0, 2),
)


@given(st.lists(scored, min_size=1, max_size=6).filter(lambda s: any(o.nodules for o in s)))
def test_the_binned_cpm_is_as_near_to_the_exact_one_as_it_says(scans):
    total = add_stats(patient_stats([s], 0.0, 1) for s in scans)
    binned = detection_metrics(total)["cpm"].value
    exact = froc(scans, draws=1).cpm.value
    assert abs(binned - exact) <= cpm_error(total) + 1e-9


@given(logits)
def test_every_score_falls_into_one_bin_and_the_order_stays(scores):
    assert histogram(scores).sum() == len(scores)
    bins = [int(histogram([score]).argmax()) for score in sorted(scores)]
    assert bins == sorted(bins)
    for score in scores:
        middle = (int(histogram([score]).argmax()) + 0.5) * 2 * SPAN / BINS - SPAN
        assert abs(np.clip(score, -SPAN, SPAN) - middle) <= SPAN / BINS + 1e-9


def test_hospitals_add_up_to_one():
    scans = some_scans(12)
    north, south = stats_of(scans[:5], "north"), stats_of(scans[5:], "south")
    together = detection_metrics(add_stats([north, south]), intervals=True)
    exact = froc(scans, draws=1)
    assert together["cpm"].value == pytest.approx(exact.cpm.value, abs=0.01)
    for name, expected in zip(AT_RATES, exact.at_rates, strict=True):
        assert together[name].value == pytest.approx(expected.value, abs=0.03)


def test_the_interval_is_about_that_of_the_challenges_bootstrap():
    scans = some_scans(60, seed=4)
    found = detection_metrics(
        add_stats([stats_of(scans[:30], "north"), stats_of(scans[30:], "south")]), intervals=True
    )
    exact = froc(scans)
    assert found["cpm"].low < found["cpm"].value < found["cpm"].high
    assert found["cpm"].low == pytest.approx(exact.cpm.low, abs=0.025)
    assert found["cpm"].high == pytest.approx(exact.cpm.high, abs=0.025)
    assert found["loss"].low is None


def test_all_scans_of_a_patient_are_drawn_together():
    drawn = patient_draws(1, "north", 0)
    scans = [Scored((1.0,), (), 1), Scored((), (0.0,), 1)]
    stats = patient_stats(scans, 0.0, 2, drawn)
    assert np.array_equal(stats["drawn_scans"], 2 * drawn)
    assert np.array_equal(stats["drawn_nodules"], 2 * drawn)
    assert np.array_equal(stats["drawn_hits"].sum(axis=1), drawn)
    assert stats["patients"] == 1


def test_patients_and_sites_are_drawn_independently_and_always_the_same():
    draws = [patient_draws(1, "north", 0), patient_draws(1, "north", 1), patient_draws(1, "s", 0)]
    assert np.array_equal(draws[0], patient_draws(1, "north", 0))
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 0.15
    assert np.mean(draws) == pytest.approx(1, abs=0.06)


def test_many_totals_at_once_give_what_each_gives():
    totals = [stats_of(some_scans(8, seed)) for seed in range(3)]
    stacked = {name: np.stack([t[name] for t in totals]) for name in totals[0]}
    many = figures(stacked)
    for row, total in enumerate(totals):
        for name, figure in detection_metrics(total).items():
            assert many[name][row] == pytest.approx(figure.value)


def test_what_is_undefined_is_left_out():
    assert detection_metrics({}) == {}
    without = detection_metrics(add_stats([patient_stats([Scored((), (0.0,), 0)], 1.0, 1)]))
    assert set(without) == {"loss"}
    nothing = detection_metrics(add_stats([patient_stats([Scored((), (), 2)], 0.0, 0)]))
    assert nothing["cpm"].value == nothing["reach"].value == 0
    assert "loss" not in nothing
