"""Local privacy: what is claimed is met, what is promised is said, and too little noise is seen."""

import dataclasses
import math
import shutil

import numpy as np
import pytest
import torch
from integration.federated import SITES, Recorder, go
from integration.test_private_runs import PUBLIC_FACTS, text_of
from limits import allow

from medfed.core.errors import PartError, QuorumError, Refused, StudyError
from medfed.core.ledger import Spend
from medfed.core.mechanism import Bounds, Cost, NoisyAnswer, merge
from medfed.core.rehearsal import site_plan
from medfed.core.study_file import parse_study
from medfed.core.task import Execution
from medfed.federation.spool import decode_update
from medfed.frameworks.examples import TensorExamples
from medfed.frameworks.records import RecordsJob
from medfed.frameworks.torch_job import Learning, TorchJob
from medfed.privacy import accountant
from medfed.privacy.dp_sgd import DpSgd
from medfed.privacy.local_dp import LocalDp
from medfed.privacy.statistics import noise as noising
from medfed.services import run_sites
from medfed.services.sites import open_ledger, open_site
from medfed.storage.ledger import SqliteLedger

LOCAL = """
[[privacy]]
name = "local-dp"
epsilon = {epsilon}
{more}
"""


def local_text(epsilon=4.0, more="label_epsilon = 2.0", **changes):
    text = text_of(tables=LOCAL.format(epsilon=epsilon, more=more), **changes)
    return text.replace("hidden =", f"{PUBLIC_FACTS}\nhidden =")


def local_study(*args, **changes):
    return parse_study(local_text(*args, **changes))


# --- the claim, measured --------------------------------------------------------------------------

DRAWS = 100_000
SURE = 1.0 - 1e-6


def least_epsilon(one, other):
    """The least ε that explains how often an event is seen under each of two records."""
    from scipy.stats import beta

    seen, hits = int(np.sum(one)), int(np.sum(other))
    low = beta.ppf(1.0 - SURE, seen, len(one) - seen + 1)
    high = beta.ppf(SURE, hits + 1, len(other) - hits)
    return math.log(low / high)


def audited(mechanism, inputs):
    """A lower bound on the ε of two records that differ as far as they can, in every input."""
    bounds = Bounds(inputs, -2.0, 2.0)
    high = mechanism.records(np.full((DRAWS, inputs), 9.0, np.float32), bounds)
    low = mechanism.records(np.full((DRAWS, inputs), -9.0, np.float32), bounds)
    return least_epsilon((high >= 2.0).all(axis=1), (low >= 2.0).all(axis=1))


@pytest.mark.parametrize(
    ("epsilon", "inputs"),
    [(1.0, 1), pytest.param(2.0, 2, marks=pytest.mark.slow)],
)
def test_the_claimed_epsilon_is_met_and_cut_noise_is_seen(epsilon, inputs, monkeypatch):
    found = audited(LocalDp(epsilon=epsilon), inputs)
    assert 0.8 * epsilon < found <= epsilon
    plain = noising.noised
    monkeypatch.setattr(noising, "noised", lambda f, kind, noise: plain(f, kind, 0.8 * noise))
    assert audited(LocalDp(epsilon=epsilon), inputs) > epsilon, "the alarm"


@pytest.mark.slow
def test_an_epsilon_given_to_each_input_and_not_shared_out_is_seen(monkeypatch):
    monkeypatch.setattr(LocalDp, "noise", lambda self, bounds: 1.0 / self.epsilon)
    assert audited(LocalDp(epsilon=2.0), 2) > 2.0


def test_outcomes_are_turned_over_as_often_as_claimed(monkeypatch):
    def audit(mechanism):
        labels = np.repeat(np.float32([0, 1]), DRAWS)
        told = mechanism.outcomes(labels)
        assert told.dtype == labels.dtype
        return least_epsilon(told[DRAWS:] == 1, told[:DRAWS] == 1)

    assert 0.9 < audit(LocalDp(epsilon=1.0, label_epsilon=1.0)) <= 1.0
    monkeypatch.setattr(LocalDp, "turned", property(lambda self: 0.22))  # it should be 0.27
    assert audit(LocalDp(epsilon=1.0, label_epsilon=1.0)) > 1.0, "the alarm"


def test_records_beyond_the_bounds_count_as_the_bound_and_noise_is_never_the_same():
    bounds, wide = Bounds(2, -2.0, 2.0), LocalDp(epsilon=2000.0)
    given = np.float32([[-5, 0.5], [7, 2]])
    found = wide.records(given, bounds)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.clip(given, -2, 2), atol=0.1)
    assert not np.array_equal(found, wide.records(given, bounds))


# --- what it costs --------------------------------------------------------------------------------


def test_it_costs_its_epsilon_once_however_many_rounds():
    for rounds in (1, 30):
        study = local_study(4.0, "", rounds=rounds)
        cost = LocalDp(epsilon=4.0).cost(site_plan(study, "north"))
        assert cost.unit == "record"
        assert accountant.epsilon(cost.answers, 1e-12) == pytest.approx(4.0, rel=0.01)


def test_an_outcome_that_is_turned_over_is_paid_for_beside_the_inputs():
    plan = site_plan(local_study(4.0, ""), "north")
    inputs = LocalDp(epsilon=4.0).cost(plan).answers
    both = LocalDp(epsilon=4.0, label_epsilon=2.0)
    assert both.cost(plan).answers == merge([*inputs, *both._outcome()])
    assert accountant.epsilon(both.cost(plan).answers, 1e-12) > 6.0


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 8.0])
def test_what_stands_for_an_outcome_tells_no_less_than_it(epsilon):
    (answer,) = LocalDp(epsilon=1.0, label_epsilon=epsilon)._outcome()
    grown = math.exp(epsilon)
    for at in np.linspace(0.0, epsilon, 7):
        responses = max(0.0, (grown - math.exp(at)) / (1.0 + grown))
        assert accountant.delta([answer], float(at)) >= responses - 1e-9
    tight = [NoisyAnswer("laplace", 1.0 / epsilon)]
    assert accountant.delta(tight, 0.0) < (grown - 1.0) / (1.0 + grown), "ε alone would not do"


# --- whole runs -----------------------------------------------------------------------------------


def test_a_run_pays_once_learns_from_noise_and_lets_no_figure_out(tmp_path, monkeypatch):
    passed, drawn = [], []

    class Channel(run_sites.LocalChannel):
        def replies(self, timeout):
            for delivery in super().replies(timeout):
                passed.append(decode_update(delivery.reply.payload))
                yield delivery

    plain = RecordsJob._draw

    def watched(job):
        before = job.sets["train"]
        plain(job)
        drawn.append((before, job.sets["train"]))

    monkeypatch.setattr(run_sites, "LocalChannel", Channel)
    monkeypatch.setattr(RecordsJob, "_draw", watched)
    study = local_study(rounds=3)
    result = go(study, tmp_path / "run")
    fresh = [(before, after) for before, after in drawn if before is not after]
    assert len(fresh) == len(SITES), "once a site"
    for before, after in fresh:
        assert not np.isclose(before.features, after.features).any()
        assert 0 < (before.labels != after.labels).float().mean() < 0.5
    assert len(drawn) == 3 * len(SITES), "and every round learns from it"
    assert not any(name.startswith("score/") for update in passed for name in update.stats)
    assert result["metrics"]["overall"] == {}
    for site in SITES:
        (entry,) = open_ledger(tmp_path / "run" / "sites" / site).entries()
        assert entry.purpose == "train"
        assert set(entry.answers) == set(
            LocalDp(epsilon=4.0, label_epsilon=2.0).cost(site_plan(study, site)).answers
        )


def test_a_study_is_held_to_its_price_and_may_draw_anew_as_often_as_allowed(tmp_path):
    study = local_study(2.0, "", rounds=1)
    sites = tmp_path / "one"
    go(study, sites)
    home = sites / "sites"
    shutil.copytree(sites / "coordinator", home / "coordinator")
    for turn in range(4):
        watch = Recorder()
        try:
            go(study, tmp_path / f"again-{turn}", watch, sites=home)
        except QuorumError:
            assert turn == 3, "three repeats are allowed, and no more"
            assert {why for _, _, why in watch.missing()} == {"budget-spent"}
        else:
            assert turn < 3


def test_a_site_that_serves_another_study_in_between_keeps_what_it_drew(tmp_path):
    """Else it would draw, and pay, anew in every round."""
    local, other = local_study(rounds=1), parse_study(text_of(top='question = "another"'))
    go(local, tmp_path / "run")
    site = open_site(tmp_path / "run" / "sites" / "north")
    first, passing = site._desk("local", local), site._desk("other", other)
    assert site._desk("local", local) is first
    assert site._desk("other", other) is passing
    site._desk("third", other)
    assert site._desk("local", local) is first
    assert site._desk("other", other) is not passing, "others still go: they cost memory only"


def test_it_is_refused_where_a_part_of_the_record_would_be_learnt_as_it_is():
    def complaint(*changes):
        text = local_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        with pytest.raises(StudyError) as no:
            parse_study(text)
        return str(no.value)

    assert "mean texture" in complaint(('"mean texture" = [9, 32], ', ""))
    assert "scaling" in complaint(("hidden =", 'scaling = "none"\nhidden ='))
    assert "missing" in complaint(("hidden =", "indicate_missing = true\nhidden ="))
    several = ("hidden =", 'categorical = ["worst area"]\nhidden =')
    values = ("public_ranges =", 'public_values = { "worst area" = ["1", "2"] }\npublic_ranges =')
    assert "worst area" in complaint(several, values)
    assert "keep" in complaint(("[source]", 'keep = "best"\n[source]'))
    chosen = '[cohort]\nwhere = ["mean texture > 20"]\n\n[source]'
    assert "how many patients fulfil it" in complaint(("[source]", chosen))
    with pytest.raises(PartError, match="nothing can be seen"):
        LocalDp(epsilon=1e-6)


@pytest.mark.parametrize("local_first", [True, False])
def test_a_second_mechanism_never_throws_the_first_away(local_first, tmp_path):
    """Neither by a study, nor by a workplace that was opened in spite of it."""
    from integration.test_private_runs import PRIVATE

    tables = [LOCAL.format(epsilon=4.0, more=""), PRIVATE]
    text = text_of(tables="".join(tables if local_first else tables[::-1]))
    text = text.replace("hidden =", f"{PUBLIC_FACTS}\nhidden =")
    with pytest.raises(StudyError, match="dp-sgd and local-dp both protect patients"):
        parse_study(text)
    alone = local_study()
    other = DpSgd(noise=2.0, patients={"north": 110})
    both = [LocalDp(epsilon=4.0), other] if local_first else [other, LocalDp(epsilon=4.0)]
    plan, till = site_plan(alone, "north"), None
    job = workplace()
    once = both[0].wrap(job, plan, till)
    with pytest.raises(Refused, match="cannot be at work together") as no:
        both[1].wrap(once, plan, till)
    assert no.value.name == "not-private"


def workplace():
    """A small table's workplace, with 8 patients of two inputs."""
    patients = TensorExamples(torch.zeros(8, 2), torch.zeros(8))
    learning = Learning(loss=lambda model, batch: model(batch[0])[:, 0], evaluate=lambda *_: {})
    return TorchJob("north", torch.nn.Linear(2, 1), {"train": patients}, learning, 3, Execution())


def test_a_value_that_is_no_number_is_hidden_as_others_are():
    """As a whole number it would be the lowest there is."""
    found = LocalDp(epsilon=2000.0).records(
        np.float32([[np.nan, np.inf], [-np.inf, 0.0]]), Bounds(2, -2.0, 2.0)
    )
    np.testing.assert_allclose(found, [[0, 2], [-2, 0]], atol=0.1)


def test_records_have_a_sum_of_their_own(tmp_path):
    """To replace a record is another relation than to add a patient: they have no common sum."""
    book = SqliteLedger(tmp_path / "ledger.sqlite", accountant.LossAccountant())
    answers = (NoisyAnswer("laplace", 1.0),)

    def spend(unit):
        cost = Cost(unit, answers)
        return book.spend(Spend("d", "t", "r", "o", 1, "train", "s", ("p", "q"), cost))

    allow(book, 1.5, 1e-5)
    assert spend("record").spent == pytest.approx(1.0, rel=0.01)
    assert spend("patient").spent == pytest.approx(1.0, rel=0.01), "not two"
    assert book.balance("record").limit == 1.5, "the patients' limit, until it has its own"
    with pytest.raises(Refused) as no:
        spend("record")
    assert "a record would have spent" in no.value.inside
    allow(book, 4.0, 1e-5, "record")
    spend("record")
    assert book.balance("patient").limit == 1.5


def test_the_check_says_what_it_protects_costs_and_leaves_open():
    study = local_study()
    mechanism = LocalDp(epsilon=4.0, label_epsilon=2.0)
    words = " ".join(mechanism.promise(study))
    for part in (
        "its inputs and its outcome",
        "Not against the hospital itself",
        "ε = 6",
        "2 each",
        "for 2 inputs",
        "turned over in 11.9%",
        "once a run",
        "adds it up by itself",
        "Does not hide who is among",
    ):
        assert part in words, part
    bare = " ".join(LocalDp(epsilon=4.0).promise(study))
    assert "Not the outcome" in bare
    assert "outcome, turned" not in bare
    assert mechanism.warnings(study) == []
    (drowned,) = LocalDp(epsilon=0.5).warnings(study)
    assert "little can be learnt" in drowned
    (weak,) = dataclasses.replace(mechanism, epsilon=30.0).warnings(study)
    assert "promises little" in weak
