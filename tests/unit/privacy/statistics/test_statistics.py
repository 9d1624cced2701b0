"""Noised statistics: right on average, bounded in what one patient moves, and paid for truly."""

import math

import numpy as np
import pandas as pd
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from hypothesis import given, settings
from hypothesis import strategies as st

from medfed.core.data import SiteData
from medfed.core.errors import DataError, PartError
from medfed.core.registry import Part, make, names
from medfed.core.update import add_updates
from medfed.privacy.accountant import delta as delta_of
from medfed.privacy.accountant import epsilon
from medfed.privacy.statistics import noise as noising
from medfed.privacy.statistics.base import NoisyStatistic
from medfed.privacy.statistics.moments import NoisySum

ALL = {
    "dp-count": {"column": "sex", "values": ("F",)},
    "dp-sum": {"column": "age", "bounds": (-20.0, 100.0)},
    "dp-mean": {"column": "age", "bounds": (0.0, 120.0)},
    "dp-variance": {"column": "age", "bounds": (0.0, 120.0)},
    "dp-histogram": {"column": "age", "bounds": (0.0, 120.0), "bins": 6},
    "dp-quantile": {"column": "age", "bounds": (0.0, 120.0)},
    "dp-contingency": {
        "rows": "sex",
        "row_values": ("F", "M"),
        "by": "ill",
        "by_values": ("0", "1"),
    },
}


def statistic(name, **more):
    return make("query", Part(name, {"epsilon": 1.0, **ALL[name], **more}))


class Frames:
    """A source of one table."""

    def __init__(self, frame):
        self.frame = frame

    def load(self, patients):
        return self.frame.loc[list(patients)]


def people(count, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.normal(60, 12, count),
            "sex": rng.choice(["F", "M"], count),
            "ill": rng.integers(0, 2, count).astype(float),
        },
        index=[f"p{i}" for i in range(count)],
    )


def site_of(frame):
    """A site whose patients fall into three sets."""
    names_ = tuple(frame.index)
    sets = {"train": names_[::2], "valid": names_[1::4], "test": names_[3::4]}
    return SiteData("north", Frames(frame), sets)


def asked(query, frames):
    """The finished statistic over several sites."""
    return query.next(add_updates([query.local(site_of(frame), {}) for frame in frames]))


def test_they_are_all_registered():
    found = {name for name in names("query") if name.startswith("dp-")}
    assert found == set(ALL) | {"dp-moments", "dp-values"}, "the last two: see test_facts"


@pytest.mark.parametrize("kind", ["laplace", "gaussian"])
def test_with_little_noise_they_are_what_they_are_called(kind):
    frames = [people(400, 1), people(300, 2)]
    whole = pd.concat(frames)
    found = {n: asked(statistic(n, epsilon=10.0, noise=kind), frames) for n in ALL}
    assert found["dp-count"]["count"] == pytest.approx((whole.sex == "F").sum(), abs=6)
    assert found["dp-sum"]["sum"] == pytest.approx(whole.age.sum(), abs=300)
    assert found["dp-mean"]["mean"] == pytest.approx(whole.age.mean(), abs=1)
    assert found["dp-variance"]["std"] == pytest.approx(whole.age.std(ddof=0), abs=3)
    counts, _ = np.histogram(whole.age, 6, (0, 120))
    np.testing.assert_allclose(found["dp-histogram"]["counts"], counts, atol=6)
    for at, value in found["dp-quantile"]["quantiles"].items():
        assert value == pytest.approx(whole.age.quantile(float(at)), abs=2)
    for sex in "FM":
        for ill in "01":
            true = ((whole.sex == sex) & (whole.ill == int(ill))).sum()
            assert found["dp-contingency"]["counts"][sex][ill] == pytest.approx(true, abs=6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["laplace", "gaussian"])
def test_the_noise_is_as_large_as_is_told(name, kind):
    """The spread of many answers about the truth; 5 % is four deviations of it."""
    query = statistic(name, epsilon=0.5, noise=kind, delta=1e-5)
    data = site_of(people(50))
    answers = np.array([query.local(data, {}).stats["figures"] for _ in range(100)])
    count = answers.size
    spread = np.sqrt(np.mean((answers - truth(query, data)) ** 2))
    told = noising.spread(kind, query.noise_scale)
    assert spread == pytest.approx(told, rel=6 * (1.2 / math.sqrt(count)))


def truth(query, data):
    return (
        sum(noising.on_grid(query.contributions(data.load(name))) for name in data.sets)
        / noising.GRID
    )


# --- what one patient can do ----------------------------------------------------------------------

ANY = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.text(max_size=4), st.none(), st.booleans()
)


@settings(max_examples=40)
@given(st.sampled_from(sorted(ALL)), ANY, ANY, ANY)
def test_a_patient_moves_no_more_than_is_paid_for_whatever_the_record_holds(name, age, sex, ill):
    query = statistic(name)
    record = pd.DataFrame({"age": [age], "sex": [sex], "ill": [ill]}, dtype=object)
    steps = noising.on_grid(query.contributions(record))
    assert np.abs(steps).max() <= noising.GRID
    assert np.abs(steps).sum() <= query.moved * noising.GRID
    assert (steps**2).sum() <= query.moved * noising.GRID**2
    assert np.count_nonzero(steps) <= query.moved


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["laplace", "gaussian"])
def test_the_cost_is_the_epsilon_that_was_asked_for(name, kind):
    query = statistic(name, epsilon=0.7, noise=kind, delta=1e-6)
    cost = query.cost()
    assert cost.unit == "patient"
    found = epsilon(cost.answers, 1e-6)
    assert found <= 0.7 * 1.005  # the accountant's grid rounds up
    if kind == "gaussian":
        assert found > 0.69


@pytest.mark.parametrize("name", ALL)
def test_opendps_own_map_agrees(name):
    import opendp.prelude as dp

    dp.enable_features("contrib")
    query = statistic(name, epsilon=0.7)
    space, metric = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    measure = dp.m.make_laplace(space, metric, scale=query.noise_scale * noising.GRID)
    assert measure.map(query.moved * noising.GRID) <= 0.7


@pytest.mark.parametrize("noise", [0.5, 1.0, 5.0, 40.0])
def test_discrete_noise_costs_no_more_than_what_is_charged(noise):
    """On a far coarser grid than is used, where the difference to continuous noise is larger."""
    steps = 1000
    charged = noising.answers("laplace", noise, 1)
    exact = pld.from_discrete_laplace_mechanism(
        1.0 / (noise * steps), sensitivity=steps, value_discretization_interval=1e-4
    )
    for at in np.linspace(0.0, 1.0 / noise, 7):
        assert exact.get_delta_for_epsilon(at) <= delta_of(charged, at) + 1e-6


def test_a_sum_that_is_under_noised_is_caught():
    """Five eighths of the noise, seen in 4,000 answers about one patient."""
    query = statistic("dp-sum", epsilon=2.0)
    draws = 4000

    def lower_bound(noise):
        yes = noising.noised(np.full(draws, noising.GRID), "laplace", noise)
        no = noising.noised(np.zeros(draws, np.int64), "laplace", noise)
        hit, false = np.mean(yes > noising.GRID), np.mean(no > noising.GRID)
        slack = 3 * math.sqrt(0.25 / draws)
        return math.log(max(hit - slack, 1e-9) / (false + 3 * math.sqrt(false / draws)))

    assert lower_bound(query.noise_scale) <= 2.0
    assert lower_bound(query.noise_scale * 0.625) > 2.0


# --- what is complained of ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("dp-mean", {"bounds": (3.0, 3.0)}, "lower one first"),
        ("dp-mean", {"bounds": (3.0,)}, "two numbers"),
        ("dp-mean", {"bounds": (0.0, math.inf)}, "two numbers"),
        ("dp-count", {"values": ()}, "belong together"),
        ("dp-quantile", {"at": (1.5,)}, "no quantiles"),
        ("dp-quantile", {"at": ()}, "no quantiles"),
        ("dp-contingency", {"row_values": ("F", "F")}, "named twice"),
        ("dp-sum", {"epsilon": 1e-10}, "nothing can be seen"),
        ("dp-sum", {"epsilon": 1e-10, "noise": "gaussian"}, "nothing can be seen"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_words(name, options, says):
    with pytest.raises(PartError) as error:
        statistic(name, **options)
    assert says in error.value.problems[0].message


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataError, match="no column age"):
        statistic("dp-mean").local(site_of(people(4).drop(columns="age")), {})


def test_several_rows_of_a_patient_are_refused():
    class Twice(Frames):
        def load(self, patients):
            return pd.concat([super().load(patients)] * 2)

    data = SiteData("north", Twice(people(4)), {"train": ("p0", "p1")})
    with pytest.raises(DataError, match="one row per patient"):
        statistic("dp-mean").local(data, {})


def test_what_noise_makes_impossible_is_brought_back():
    """One patient, and noise in the hundreds: no count below zero, no mean beyond the bounds."""
    for seed in range(20):
        for name in ALL:
            found = asked(statistic(name, epsilon=0.01), [people(1, seed)])
            if "count" in found:
                assert found["count"] >= 0
            if "mean" in found:
                assert 0 <= found["mean"] <= 120
            if "variance" in found:
                assert 0 <= found["variance"] <= 60**2


def test_every_statistic_is_one_of_the_family():
    assert all(isinstance(statistic(name), NoisyStatistic) for name in ALL)


def test_what_is_beyond_the_bounds_counts_as_the_bound():
    frame = pd.DataFrame({"a": [5.0, 15.0, 30.0]})
    statistic = NoisySum(column="a", bounds=(10, 20), epsilon=1.0)
    assert statistic.contributions(frame).ravel().tolist() == [0.5, 0.75, 1.0]
