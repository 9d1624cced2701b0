"""Facts of a model, noised: near the truth, never of a held-out patient, and paid for."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from integration.federated import SITES, go, text_of
from unit.privacy.test_local_dp import least_epsilon

from medfed.core.data import SiteData
from medfed.core.errors import PartError, SiteError, StudyError
from medfed.core.split import HashSplit
from medfed.core.study_file import parse_study
from medfed.privacy import accountant, words
from medfed.privacy.statistics import noise as noising
from medfed.privacy.statistics.facts import NoisyMoments, NoisyValues
from medfed.services.sites import open_ledger
from medfed.storage.ledger import LEDGER
from medfed.storage.ledger_head import HEAD

RANGES = {"b": [0, 100], "a": [-1, 1]}
PUBLIC = """
one_class = "train"
facts_epsilon = {epsilon}
public_ranges = {{ "mean texture" = [0, 60], "mean smoothness" = [0, 0.4] }}
"""


def site(frame, test=()):
    """A site with a table, some of its patients held out."""
    sets = {"train": tuple(p for p in frame.index if p not in test), "test": tuple(test)}
    return SiteData("north", SimpleNamespace(load=lambda who: frame.loc[list(who)]), sets)


def people(count=4000):
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.2, 0.1, count), rng.normal(70, 9, count)
    b[:50] = np.nan
    sex = np.where(rng.random(count) < 0.7, "f", "m")
    return pd.DataFrame({"a": a, "b": b, "sex": sex}, index=[f"p{i}" for i in range(count)])


def fitted(query, frame, test=()):
    return query.next(query.local(site(frame, test), {}))


def test_moments_come_near_the_truth_and_the_columns_keep_their_names():
    frame = people()
    found = fitted(NoisyMoments(ranges=RANGES, epsilon=3.0), frame)
    assert set(found) == {"a", "b"}
    for column in found:
        width = RANGES[column][1] - RANGES[column][0]
        assert found[column]["mean"] == pytest.approx(frame[column].mean(), abs=0.02 * width)
        assert found[column]["std"] == pytest.approx(frame[column].std(), abs=0.05 * width)
        assert found[column]["fill"] == found[column]["mean"]


def test_the_most_common_value_is_found():
    found = fitted(NoisyValues(values={"sex": ["m", "f"]}, epsilon=1.0), people())
    assert found == {"sex": {"fill": "f"}}


def test_held_out_patients_do_not_count():
    frame = people(400)
    test = frame.index[:200]
    frame.loc[test, "b"] = 100.0
    query = NoisyMoments(ranges={"b": [0, 100]}, epsilon=100.0)
    data = site(frame, tuple(test))
    assert query.of(data) == ("train",)
    mean = query.next(query.local(data, {}))["b"]["mean"]
    assert mean == pytest.approx(frame.drop(test)["b"].mean(), abs=2)


def test_few_patients_and_much_noise_never_break_a_scale():
    query = NoisyMoments(ranges=RANGES, epsilon=0.01)
    for _ in range(20):
        for column, row in fitted(query, people(3)).items():
            low, high = RANGES[column]
            assert low <= row["mean"] <= high
            assert 0.02 * (high - low) < row["std"] <= high - low


@pytest.mark.parametrize("given", [{}, {"a": [1, 0]}, {"a": [1]}])
def test_ranges_that_are_none_are_refused(given):
    with pytest.raises(PartError):
        NoisyMoments(ranges=given, epsilon=1.0)
    with pytest.raises(PartError):
        NoisyValues(values={"a": []}, epsilon=1.0)


def test_the_price_is_that_of_all_columns_together():
    for query, figures in (
        (NoisyMoments(ranges=RANGES, epsilon=2.0), 6),
        (NoisyValues(values={"sex": ["m", "f"], "site": ["x"]}, epsilon=2.0), 2),
    ):
        assert query.moved == figures
        assert accountant.epsilon(query.cost().answers, 1e-12) == pytest.approx(2.0, rel=0.01)


@pytest.mark.slow
def test_the_claim_is_met_and_cut_noise_is_seen(monkeypatch):
    """A patient at the highest bounds, there or not, in a thousand tables."""
    query, times, plain = NoisyMoments(ranges={"a": [0, 1]}, epsilon=1.5), 40_000, noising.noised
    everybody = [f"p{i}" for i in range(60)]

    def figures(people, share):
        """What leaves, drawn many times: from the split to the noise as a site does it."""
        frame = pd.DataFrame({"a": [0.5] * len(people)}, index=people)
        frame.loc[frame.index == added, "a"] = math.inf  # which counts as the highest bound
        source = SimpleNamespace(
            patients=lambda: tuple(people), strata=lambda: None, load=lambda w: frame.loc[list(w)]
        )
        data = SiteData.split("north", source, HashSplit(), 3)
        many = lambda f, kind, scale: plain(np.tile(f, times), kind, share * scale)  # noqa: E731  # one line, used at once
        monkeypatch.setattr(noising, "noised", many)
        return query.local(data, {}).stats["figures"].reshape(times, 3)

    added = next(p for p in everybody if p in trained(everybody))
    others = [p for p in everybody if p != added]

    def seen(share=1.0):
        least = [len(trained(others)) + 1.0, 1.0, 1.0]
        drawn = [figures(people, share) for people in (everybody, others)]
        return least_epsilon(*((one >= least).all(axis=1) for one in drawn))

    assert 0.6 * 1.5 < seen() <= 1.5
    assert seen(0.7) > 1.5, "the alarm"


def trained(people):
    """Who of some people trains, by the hash."""
    return [people[i] for i in HashSplit().assign(people, None, 3)["train"]]


def test_one_patient_more_must_not_move_others_into_training():
    shuffled = study_text().replace('name = "hash"', 'name = "shuffle"')
    with pytest.raises(StudyError, match="lets one patient decide where others fall"):
        parse_study(shuffled)


def test_infinity_counts_as_a_bound_and_never_shows(monkeypatch):
    monkeypatch.setattr(noising, "noised", lambda f, kind, scale: f)
    frame = pd.DataFrame({"a": [0.0, np.inf, -np.inf, 1e308]}, index=list("pqrs"))
    (found,) = [NoisyMoments(ranges={"a": [-1, 1]}, epsilon=1.0).local(site(frame), {})]
    assert found.stats["figures"].tolist() == [4, 1, 3]
    for range_ in ([0, math.inf], [-1.7e308, 1.7e308], [0, 5e-324], [math.nan, 1]):
        with pytest.raises(PartError, match="two numbers"):
            NoisyMoments(ranges={"a": range_}, epsilon=1.0)
    assert noising.on_grid(np.array([[np.nan], [1.0]])).tolist() == [noising.GRID]


def test_nobody_moves_a_figure_by_more_than_one_whatever_a_statistic_makes_of_them():
    assert noising.on_grid(np.array([[7.0, -7.0]])).tolist() == [noising.GRID, -noising.GRID]
    assert noising.on_grid(np.array([[np.inf, 1e300]])).tolist() == [noising.GRID] * 2


def test_values_count_however_a_table_or_a_study_writes_them(monkeypatch):
    """By the key by which a model's inputs know them."""
    monkeypatch.setattr(noising, "noised", lambda f, kind, scale: f)
    frame = pd.DataFrame({"x": ["1.0", " 1", "true", "2", None]}, index=list("pqrst"))
    for known in (["1", "2"], ["1.0", " 2"]):
        found = NoisyValues(values={"x": known}, epsilon=1.0).local(site(frame), {})
        assert found.stats["figures"].tolist() == [3, 1]


def study_text(epsilon=2.0, **changes):
    text = text_of(**changes)
    return text.replace("hidden =", f"{PUBLIC.format(epsilon=epsilon)}\nhidden =")


def study(*args, **changes):
    return parse_study(study_text(*args, **changes))


def test_a_run_fits_and_pays_for_its_facts_once(tmp_path):
    asked = study(rounds=2)
    go(asked, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "facts.json").read_text())["moments"]
    assert 15 < facts["mean texture"]["mean"] < 24, "declared is 30"
    for one in SITES:
        entries = open_ledger(tmp_path / "run" / "sites" / one).entries()
        assert [entry.purpose for entry in entries] == ["query"]
        assert sum(a.times for a in entries[0].answers) == 6
    promised = dict(words.all_promises(asked))["facts"]
    assert "ε = 2" in " ".join(promised)
    assert math.isclose(2.0, accountant.epsilon(entries[0].answers, 1e-12), rel_tol=0.01)


def test_a_ledger_that_is_gone_with_its_head_is_missed_where_receipts_name_it(tmp_path):
    go(study(rounds=1), tmp_path / "run")
    plain = parse_study(text_of(rounds=1))
    go(plain, tmp_path / "plain")
    for run in ("run", "plain"):
        for name in (LEDGER, HEAD):
            (tmp_path / run / "sites" / "north" / name).unlink(missing_ok=True)
    with pytest.raises(SiteError, match="took part in private work"):
        open_ledger(tmp_path / "run" / "sites" / "north")
    assert open_ledger(tmp_path / "plain" / "sites" / "north").entries() == []


def test_undeclared_columns_are_refused():
    text = text_of().replace("hidden =", "facts_epsilon = 1.0\nhidden =")
    with pytest.raises(StudyError, match="mean texture"):
        parse_study(text)
