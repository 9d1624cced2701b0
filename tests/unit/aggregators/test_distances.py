"""Centred clipping, multi-Krum and mixing: against dense references, and against wrong sites."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integration.federated import text_of
from unit.aggregators import dense

from medfed.aggregators import distances
from medfed.aggregators.centred_clipping import CentredClipping
from medfed.aggregators.krum import MultiKrum
from medfed.aggregators.mixing import MixedTrimmedMean
from medfed.core.errors import RunError, StudyError
from medfed.core.packing import PackedUpdate, pack_half
from medfed.core.registry import Part, make
from medfed.core.study_file import parse_study
from medfed.core.update import Update

RULES = {
    "centred-clipping": (CentredClipping(), lambda x: dense.centred_clipping(x, 0 * x[0], 0, 5)),
    "centred-clipping, τ": (
        CentredClipping(radius=1.5, steps=2),
        lambda x: dense.centred_clipping(x, 0 * x[0], 1.5, 2),
    ),
    "multi-krum": (MultiKrum(), lambda x: dense.multi_krum(x, 1, len(x) - 1)),
    "krum": (MultiKrum(keep=1), lambda x: dense.multi_krum(x, 1, 1)),
    "multi-krum, 2 wrong": (MultiKrum(wrong=2), lambda x: dense.multi_krum(x, 2, len(x) - 2)),
    "nnm": (MixedTrimmedMean(), lambda x: dense.nnm_trimmed_mean(x, 1)),
    "nnm, 3 wrong": (MixedTrimmedMean(wrong=3), lambda x: dense.nnm_trimmed_mean(x, 3)),
}
EACH = pytest.mark.parametrize("name", RULES)


def updates_of(x, weights):
    """Updates whose means are the rows of x, cut into two tensors."""
    return [
        PackedUpdate(
            f"s{i}",
            Update({"model/a": w * row[:3].reshape(1, 3), "model/b": w * row[3:]}, {"model": w}),
        )
        for i, (row, w) in enumerate(zip(x, weights, strict=True))
    ]


def result(rule, x, weights=None, memory=None):
    weights = np.ones(len(x)) if weights is None else weights
    found = rule.gather(lambda phase, each: updates_of(x, weights), memory or {})
    mean = found.total.mean("model")
    assert found.total.weights["model"] == pytest.approx(float(np.sum(weights)))
    return np.concatenate([mean["a"].reshape(-1), mean["b"]])


@st.composite
def federations(draw, least=7, most=12):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sites = draw(st.integers(least, most))
    spread = 10.0 ** draw(st.integers(-3, 2))
    x = rng.standard_normal(8) + spread * rng.standard_normal((sites, 8))
    return x, rng.integers(1, 500, sites).astype(float), rng


@EACH
@settings(max_examples=25)
@given(federation=federations())
def test_it_is_what_the_paper_says(name, federation):
    x, weights, _ = federation
    rule, reference = RULES[name]
    np.testing.assert_allclose(result(rule, x, weights), reference(x), rtol=1e-7, atol=1e-9)


@EACH
@settings(max_examples=15)
@given(federation=federations())
def test_the_order_of_the_sites_plays_no_part(name, federation):
    x, weights, rng = federation
    rule, order = RULES[name][0], rng.permutation(len(x))
    one, other = result(rule, x, weights), result(rule, x[order], weights[order])
    np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


@EACH
@settings(max_examples=25)
@given(federation=federations(least=9), size=st.sampled_from([1.0, 30.0, 1e6, 1e30]))
def test_so_many_wrong_sites_cannot_pull_it_away(name, federation, size):
    """As many as the rule is told of; centred clipping bears fewer than half."""
    x, weights, rng = federation
    rule = RULES[name][0]
    clipping = isinstance(rule, CentredClipping)
    wrong = (len(x) - 1) // 2 if clipping else rule.wrong
    right = x[wrong:]
    x[:wrong] = right.mean(axis=0) + size * rng.standard_normal((wrong, 8))
    weights[:wrong] = 1e12
    away = float(np.linalg.norm(result(rule, x, weights) - right.mean(axis=0)))
    if clipping:
        # Each step moves the centre by τ at most, and τ is at most the farthest right site's
        # distance from it (or what it was set to).
        far = float(np.linalg.norm(right, axis=1).max())
        moved = rule.radius * rule.steps if rule.radius else (2.0**rule.steps - 1) * far
        assert away <= far + moved + 1e-6
    else:
        # A wrong site that counts at all lies within sqrt(n - f - 2) diameters of a right one.
        assert away <= np.sqrt(len(x)) * dense.diameter(right) + 1e-6


def test_wrong_sites_that_would_ruin_the_mean():
    rng = np.random.default_rng(4)
    x = 1.0 + 0.1 * rng.standard_normal((11, 8))
    x[:2] = -50.0
    for rule in (CentredClipping(), MultiKrum(wrong=2), MixedTrimmedMean(wrong=2)):
        assert np.linalg.norm(result(rule, x) - 1.0) < 0.6, rule
    assert np.linalg.norm(x.mean(axis=0) - 1.0) > 20


def test_known_answers():
    """Five sites on a line, worked out by hand."""
    x = np.zeros((5, 8))
    x[:, 0] = [0.0, 1.0, 2.0, 4.0, 100.0]
    # Scores of the two nearest: 1+4, 1+1, 1+4, 4+9, 96²+98². Krum takes 1.0.
    assert result(MultiKrum(keep=1), x)[0] == pytest.approx(1.0)
    assert result(MultiKrum(), x)[0] == pytest.approx((0 + 1 + 2 + 4) / 4)
    # Mixed with the three nearest: 7/4 four times and (1+2+4+100)/4; one is left out at either end.
    assert result(MixedTrimmedMean(), x)[0] == pytest.approx(7 / 4)
    # τ = 2 (the median of 0, 1, 2, 4, 100): v = (0 + 1 + 2 + 2 + 2)/5.
    assert result(CentredClipping(steps=1), x)[0] == pytest.approx(1.4)
    assert result(CentredClipping(steps=1, radius=1.0), x)[0] == pytest.approx(0.8)


def test_centred_clipping_begins_where_the_last_round_ended():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((5, 8))
    rule = CentredClipping(radius=0.2, steps=1)
    first = rule.gather(lambda phase, each: updates_of(x, np.ones(5)), {})
    assert set(first.memory) == {"model/a", "model/b"}
    start = result(rule, x)
    again = result(rule, x, memory=first.memory)
    np.testing.assert_allclose(again, dense.centred_clipping(x, start, 0.2, 1), rtol=1e-6)
    assert not np.allclose(again, start)


@EACH
def test_pieces_of_any_length_give_the_same(name, monkeypatch):
    x = np.random.default_rng(3).standard_normal((9, 8))
    rule = RULES[name][0]
    whole = result(rule, x)
    monkeypatch.setattr(distances, "CHUNK", 1)
    monkeypatch.setattr(distances, "PIECE", 2)
    np.testing.assert_allclose(result(rule, x), whole, rtol=1e-12)


@EACH
def test_half_precision_is_unpacked_first(name):
    x = np.random.default_rng(6).standard_normal((9, 8)).astype(np.float32)
    rule = RULES[name][0]

    def packed(phase, each):
        return [
            PackedUpdate(
                u.site,
                Update(
                    {k: v for n in u.names() for k, v in pack_half(n, whole(u, n)).items()},
                    u.weights(),
                ),
            )
            for u in updates_of(x, np.ones(9))
        ]

    halved = rule.gather(packed, {}).total.mean("model")
    np.testing.assert_allclose(halved["b"], result(rule, x)[3:], atol=2e-3)


def whole(update, name):
    size = int(np.prod(update.shape(name)))
    return update.chunk(name, 0, size).reshape(update.shape(name)).astype(np.float32)


@EACH
def test_counters_do_not_drown_the_weights_and_one_wrong_counter_does_no_harm(name):
    rule = RULES[name][0]
    x = np.random.default_rng(8).standard_normal((9, 8))
    plain = result(rule, x)

    def with_counters(phase, each):
        counters = [1e6, 30.0, 31.0, 29.0, 30.0, 30.0, 30.0, 28.0, 30.0]
        return [
            PackedUpdate(
                f"s{i}",
                Update(
                    {"model/a": row[:3], "model/b": row[3:], "buffers/n": np.array(n)},
                    {"model": 1.0, "buffers": 1.0},
                    {"n": np.array(1)},
                ),
            )
            for i, (row, n) in enumerate(zip(x, counters, strict=True))
        ]

    found = rule.gather(with_counters, {})
    np.testing.assert_allclose(found.total.mean("model")["b"], plain[3:], rtol=1e-9)
    assert found.total.mean("buffers")["n"] == 30.0
    assert found.total.stats["n"] == 9
    assert not any(key.startswith("buffers/") for key in found.memory)


@EACH
def test_scores_alone_are_added(name):
    scores = [PackedUpdate(f"s{i}", Update(stats={"n": np.array(i)})) for i in (1, 2)]
    found = RULES[name][0].gather(lambda phase, each: scores, {})
    assert found.total.stats["n"] == 3
    assert RULES[name][0].gather(lambda phase, each: [], {}).participants == ()


@pytest.mark.parametrize("rule", [MultiKrum(), MixedTrimmedMean(wrong=2)])
def test_too_few_replies_end_the_round(rule):
    with pytest.raises(RunError, match="needs 5 usable replies"):
        result(rule, np.ones((4, 8)))


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [("multi-krum", {}, 5), ("multi-krum", {"wrong": 2}, 7), ("nnm-trimmed-mean", {}, 3)],
)
def test_a_study_whose_rounds_may_be_too_small_is_refused(name, options, least):
    assert make("aggregator", Part(name, options)).least_sites == least
    sites = [f"s{i}" for i in range(least)]
    lines = "".join(f"{key} = {value}\n" for key, value in options.items())
    text = text_of(aggregator=name, sites=sites, min_sites=least, tables=lines)
    assert parse_study(text).aggregator.name == name
    with pytest.raises(StudyError) as refusal:
        parse_study(text.replace(f"min_sites = {least}", f"min_sites = {least - 1}"))
    (problem,) = refusal.value.problems
    assert problem.field == "aggregator"
    assert f"from {least} replies on" in problem.message
    assert f"min_sites to {least}" in problem.remedy


@pytest.mark.parametrize("line", ["wrong = 0", "wrong = 1001", "keep = -1", "norm_limit = -1.0"])
def test_bounds_of_options(line):
    sites = [f"s{i}" for i in range(5)]
    text = text_of(aggregator="multi-krum", sites=sites, min_sites=5, tables=line)
    with pytest.raises(StudyError, match="cannot be used: one problem"):
        parse_study(text)
