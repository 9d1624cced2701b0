import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from medfed.imaging.froc import (
    RATES,
    Finding,
    Mark,
    Scored,
    curve,
    froc,
    match,
    sensitivities,
)


def at(x, score):
    return Mark((x, 0.0, 0.0), score)


def nodule(x, diameter=10.0, relevant=True):
    return Finding((x, 0.0, 0.0), diameter, relevant)


def test_a_mark_hits_what_it_lies_in_and_every_other_one_is_false():
    found = match([at(4.9, 0.9), at(25.0, 0.4)], [nodule(0.0), nodule(40.0)])
    assert found == Scored(hits=(0.9,), false=(0.4,), nodules=2)


def test_a_mark_right_at_the_radius_is_no_hit():
    assert match([at(5.0, 0.9)], [nodule(0.0)]).false == (0.9,)
    assert match([at(4.999, 0.9)], [nodule(0.0)]).hits == (0.9,)


def test_of_several_marks_on_a_nodule_the_best_counts_and_the_others_for_nothing():
    found = match([at(1.0, 0.3), at(-1.0, 0.8), at(2.0, 0.5)], [nodule(0.0)])
    assert found == Scored(hits=(0.8,), false=(), nodules=1, duplicates=2)


def test_a_mark_on_an_irrelevant_finding_counts_for_nothing():
    findings = [nodule(0.0, relevant=False), nodule(40.0)]
    assert match([at(1.0, 0.9)], findings) == Scored((), (), nodules=1, ignored=1)


def test_an_irrelevant_finding_without_a_diameter_is_10_mm_wide():
    findings = [nodule(0.0, diameter=-1.0, relevant=False)]
    assert match([at(4.9, 0.9)], findings).ignored == 1
    assert match([at(5.1, 0.9)], findings).false == (0.9,)


def test_a_mark_on_a_nodule_is_a_hit_whatever_else_is_there():
    findings = [nodule(1.0, relevant=False), nodule(0.0)]
    assert match([at(1.0, 0.9)], findings) == Scored((0.9,), (), nodules=1)


def test_a_mark_on_two_nodules_finds_both():
    found = match([at(3.0, 0.9)], [nodule(0.0), nodule(6.0)])
    assert found == Scored((0.9, 0.9), (), nodules=2)


def test_of_too_many_marks_only_those_above_the_next_best_count():
    marks = [at(100.0 + i, 0.9) for i in range(2)] + [at(0.0, 0.5), at(300.0, 0.5)]
    assert match(marks, [nodule(0.0)], most=2).false == (0.9, 0.9)
    # The third best has the score of the fourth: LUNA16 takes neither.
    assert match(marks, [nodule(0.0)], most=3) == Scored((), (0.9, 0.9), nodules=1)
    assert match(marks, [nodule(0.0)], most=4).hits == (0.5,)


def test_the_curve_of_a_hand_made_case():
    # Two scans with four nodules; by falling score: hit, false, hit, false, false, hit.
    scans = [
        Scored(hits=(0.9, 0.7), false=(0.8,), nodules=3),
        Scored(hits=(0.4,), false=(0.6, 0.5), nodules=1),
    ]
    found = froc(scans, draws=10)
    assert found.false_positives == pytest.approx([0, 0, 0.5, 0.5, 1, 1.5, 1.5])
    assert found.sensitivity == pytest.approx([0, 0.25, 0.25, 0.5, 0.5, 0.5, 0.75])
    expected = [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 0.75]
    assert [i.value for i in found.at_rates] == pytest.approx(expected)
    assert found.cpm.value == pytest.approx(np.mean(expected))


def test_ties_are_one_step_with_a_straight_line():
    # One hit and two false positives of the same score, in one scan.
    found = froc([Scored((0.5,), (0.5, 0.5), 1)], draws=2)
    expected = np.minimum(np.array(RATES) / 2, 1)
    assert [i.value for i in found.at_rates] == pytest.approx(list(expected))


def test_one_perfect_detection_scores_one_and_none_scores_zero():
    assert froc([Scored((0.9,), (), 1)]).cpm.value == 1
    assert froc([Scored((), (), 1)]).cpm.value == 0
    assert froc([Scored((), (0.9,), 1)]).cpm.value == 0


def test_a_scan_without_a_nodule_counts_for_the_false_positives():
    one = [Scored((0.5,), (0.9,), 1)]
    many = one + [Scored((), (), 0)] * 9
    assert froc(one).at_rates[0].value == pytest.approx(0)
    assert froc(many).at_rates[0].value == 1


def test_without_a_nodule_there_is_no_figure():
    with pytest.raises(ValueError, match="without a nodule"):
        froc([Scored((), (0.5,), 0)])
    assert np.isnan(sensitivities([1], [0], 0, 1)).all()


scores = st.sampled_from((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7))
scored = st.builds(
    lambda hits, false, missed: Scored(tuple(hits), tuple(false), len(hits) + missed),
    st.lists(scores, max_size=4),
    st.lists(scores, max_size=6),
    st.integers(0, 3),
)
several = st.lists(scored, min_size=1, max_size=6).filter(lambda s: any(one.nodules for one in s))


@given(several)
def test_the_curve_is_that_of_the_challenge(scans):
    """Its way: scikit-learn's ROC curve of hits against false positives, rescaled."""
    hits = [h for s in scans for h in s.hits]
    false = [f for s in scans for f in s.false]
    nodules = sum(s.nodules for s in scans)
    if not hits or not false:
        return  # there the challenge's script has border cases of its own
    labels = [1] * len(hits) + [0] * len(false)
    fpr, tpr, _ = roc_curve(labels, hits + false)
    expected = np.interp(RATES, fpr * len(false) / len(scans), tpr * len(hits) / nodules)
    found = froc(scans, draws=1)
    assert [i.value for i in found.at_rates] == pytest.approx(list(expected))
    assert found.cpm.value == pytest.approx(expected.mean())


@given(several)
def test_finer_scores_stay_between_the_best_and_the_worst_order(scans):
    """Scores rounded to halves bound the figures of the scores themselves."""
    exact = [i.value for i in froc(scans, draws=1).at_rates]
    hits, false = np.zeros((2, 2))
    for s in scans:
        for score in s.hits:
            hits[int(score > 0.35)] += 1
        for score in s.false:
            false[int(score > 0.35)] += 1
    nodules, count = sum(s.nodules for s in scans), len(scans)
    low = sensitivities(hits, false, nodules, count, "worst")
    high = sensitivities(hits, false, nodules, count, "best")
    assert (low <= np.array(exact) + 1e-12).all()
    assert (np.array(exact) <= high + 1e-12).all()
    tied = sensitivities(hits, false, nodules, count)
    assert (low <= tied + 1e-12).all()
    assert (tied <= high + 1e-12).all()


@given(several)
def test_a_curve_rises(scans):
    found = froc(scans, draws=1)
    assert (np.diff(found.false_positives) >= 0).all()
    assert (np.diff(found.sensitivity) >= 0).all()
    assert found.sensitivity[-1] <= 1


def test_the_interval_is_that_of_scans_drawn_again():
    rng = np.random.default_rng(3)
    scans = []
    for _ in range(30):
        hits = tuple(rng.normal(1.0, 1.0, rng.integers(0, 4)))
        false = tuple(rng.normal(0.0, 1.0, rng.integers(0, 8)))
        scans.append(Scored(hits, false, len(hits) + int(rng.integers(0, 2))))
    found = froc(scans, draws=400)
    drawn = [
        froc([scans[i] for i in rng.integers(0, 30, 30)], draws=1).cpm.value for _ in range(400)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert found.cpm.low < found.cpm.value < found.cpm.high
    assert found.cpm.low == pytest.approx(low, abs=0.04)
    assert found.cpm.high == pytest.approx(high, abs=0.04)
    assert froc(scans, draws=400).cpm == found.cpm


def test_points_of_one_score_have_a_best_and_a_worst_order():
    best = curve([1], [1], 1, 1, "best")
    worst = curve([1], [1], 1, 1, "worst")
    assert [p.tolist() for p in best] == [[0, 0, 1], [0, 1, 1]]
    assert [p.tolist() for p in worst] == [[0, 1, 1], [0, 0, 1]]
