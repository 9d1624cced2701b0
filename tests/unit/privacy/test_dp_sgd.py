"""What DP-SGD refuses when a study is read, and how it counts."""

import numpy as np
import pytest
from integration.federated import text_of
from integration.test_private_runs import PRIVATE, private_text
from unit.privacy.noisy import has_deviation

from medfed.core.errors import StudyError
from medfed.core.mechanism import Cost, NoisyAnswer, merge
from medfed.core.registry import make
from medfed.core.rehearsal import site_plan
from medfed.core.study_file import parse_study
from medfed.privacy.accountant import epsilon
from medfed.privacy.dp_sgd import DpSgd
from medfed.privacy.noise import SecretRandom
from medfed.privacy.schedule import shares
from medfed.privacy.words import all_promises

GOOD = private_text()


def problems(text):
    with pytest.raises(StudyError) as refused:
        parse_study(text)
    return {p.field: f"{p.message}. {p.remedy}" for p in refused.value.problems}


def put(old, new, text=GOOD):
    assert text.count(old) == 1, old
    return text.replace(old, new)


BAD = {
    "facts from the sites": (text_of(tables=PRIVATE), "task.public_ranges", "mean texture"),
    "a refusal that tells": (put('one_class = "train"', ""), "task.one_class", "same label"),
    "one's own scaling": (
        put('one_class = "train"', 'one_class = "train"\nscaling = "local"'),
        "task.scaling",
        "one patient would change",
    ),
    "batch statistics": (put('norm = "none"', 'norm = "batch"'), "task.norm", "mixes patients"),
    "a shuffled split": (put('name = "hash"', 'name = "shuffle"'), "split.name", "hash"),
    "patients by row": (
        put('name = "breast-cancer"\nskew = 0.7', 'name = "csv"'),
        "source.patient",
        "Name the column that identifies patients",
    ),
    "a personal strategy": (put('name = "fedavg"', 'name = "ditto"'), "strategy.name", "stay"),
    "an asynchronous one": (put('name = "fedavg"', 'name = "fedbuff"'), "strategy.name", "cost"),
    "early stopping": (GOOD + '\n[stop]\nmetric = "auc"\n', "stop", "validation patients"),
    "choosing the best": (put("rounds = 3", 'rounds = 3\nkeep = "best"'), "keep", "validation"),
    "a site forgotten": (put(", south = 110", ""), "privacy[0].patients", "south"),
    "no number": (put("south = 110", "south = 1.5"), "privacy[0].patients", "number per site"),
    "too large a delta": (put("delta = 1e-4", "delta = 0.01"), "privacy[0].delta", "below 1/110"),
    "endless noise": (put("noise = 2.0", "noise = 1e200"), "privacy[0].noise", "10000.0 or less"),
    "two ways to say it": (
        put("noise = 2.0", "noise = 2.0\nepsilon = 1.0"),
        "privacy[0]",
        "needs one of epsilon and noise",
    ),
    "neither": (put("noise = 2.0\n", ""), "privacy[0]", "needs one of epsilon and noise"),
    "twice": (GOOD + PRIVATE, "privacy[1].name", "twice"),
}


@pytest.mark.parametrize(("text", "field", "words"), BAD.values(), ids=BAD)
def test_contradictions_are_refused_when_the_study_is_read(text, field, words):
    found = problems(text)
    assert field in found, found
    assert words in found[field]


def test_a_table_that_names_its_patients_is_taken():
    parse_study(put('name = "breast-cancer"\nskew = 0.7', 'name = "csv"\npatient = "id"'))


def made(how, rounds=3, **changes):
    study = parse_study(put("noise = 2.0", how, private_text(rounds=rounds, **changes)))
    return make("mechanism", study.privacy[0]), study


def test_the_rate_and_the_steps_come_from_public_numbers():
    dp, study = made("noise = 2.0", rounds=5)
    (answer,) = dp.cost(site_plan(study, "north")).answers
    assert (answer.noise, answer.rate, answer.times) == (2.0, 64 / 110, 5 * 2)


@pytest.mark.parametrize("budget", ["constant", pytest.param("rising", marks=pytest.mark.slow)])
def test_the_noise_follows_from_epsilon(budget):
    dp, study = made(f'epsilon = 4.0\nbudget = "{budget}"', rounds=6)
    plan = site_plan(study, "north")
    cost = dp.cost(plan)
    assert 3.99 < epsilon(cost.answers, 1e-4) <= 4.0
    rounds = [dp.answer(plan, plan.work[0], r) for r in range(1, 7)]
    assert epsilon(rounds, 1e-4) == epsilon(cost.answers, 1e-4), "what is paid is what was said"
    noises = [a.noise for a in rounds]
    assert noises == sorted(noises, reverse=True)
    assert (len(set(noises)) > 1) == (budget == "rising")


def test_what_a_schedule_costs_is_what_its_rounds_pay():
    dp, study = made('noise = 2.0\nbudget = "rising"', rounds=6)
    plan = site_plan(study, "north")
    paid = [dp.answer(plan, plan.work[0], r) for r in range(1, 7)]
    assert dp.cost(plan).answers == merge(paid)
    assert len(dp.cost(plan).answers) > 1


def test_schedules_are_fixed_beforehand():
    assert shares("constant", 4) == (1.0,) * 4
    rising = shares("rising", 8)
    assert rising[0] == pytest.approx(2 * rising[-1])
    assert len(set(rising)) == 4
    assert shares("rising", 1) == (1.0,)


def test_scaffold_and_fedsgd_are_counted_as_they_ask():
    for strategy, rate in (("scaffold", 64 / 110), ("fedsgd", 1.0)):
        text = private_text(strategy)
        text = text.replace("batch_size = 64\n", "") if strategy == "fedsgd" else text
        study = parse_study(text)
        (answer,) = make("mechanism", study.privacy[0]).cost(site_plan(study, "north")).answers
        assert answer.rate == rate


class Till:
    round = 1

    def __init__(self):
        self.paid = []

    def pay(self, cost, on="train"):
        self.paid.append((cost, on))


def test_final_scores_get_the_noise_that_is_paid_for(monkeypatch):
    dp = DpSgd(patients={"north": 110}, noise=2.0, scores="noised", score_epsilon=0.5)
    till, counts = Till(), np.full((4, 1000), 7.0)
    answer = NoisyAnswer("gaussian", dp.score_answer().noise)
    assert 0.49 < epsilon([answer], dp.delta) <= 0.5
    drawn = dp.noised(counts, "test", till) - counts
    assert till.paid == [(Cost("patient", (answer,)), "test")]
    assert has_deviation(drawn, answer.noise)
    drawer = SecretRandom.gaussian
    monkeypatch.setattr(SecretRandom, "gaussian", lambda self, count: 0.8 * drawer(self, count))
    assert not has_deviation(dp.noised(counts, "test", till) - counts, answer.noise)


def test_the_promise_names_whom_it_protects_from_whom_and_what_not():
    ((name, sentences),) = all_promises(parse_study(GOOD))
    text = " ".join(sentences)
    assert name == "dp-sgd"
    for words in ("unit", "the coordinator", "ε = ", "Does not hide", "north / centre / south"):
        assert words in text
