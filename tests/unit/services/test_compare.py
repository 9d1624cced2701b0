"""Comparisons: the same patients, honest intervals, nothing of the site left out, no run twice."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from limits import allow
from unit.services.pages import check_page

from medfed.connectors.pooled import Chain, Gathered, PooledSplit
from medfed.core.data import SiteData
from medfed.core.errors import DataError, QuorumError, RunError, SiteError, StudyError
from medfed.core.events import ComparedRun, RoundStarted
from medfed.core.registry import Part
from medfed.core.study_file import parse_study
from medfed.core.task import Execution, Interval
from medfed.federation.coordinator import Coordinator
from medfed.privacy.accountant import epsilon
from medfed.services.comparison import CompareOptions, compare, runner, scoring
from medfed.services.comparison.recipes import fixed_split, make_recipes
from medfed.services.comparison.statistics import (
    ALL,
    MEAN,
    Redrawn,
    differences,
    interval,
    is_shown,
    many_figures,
    recipe_table,
)
from medfed.services.prices import prices
from medfed.services.sites import create_site, open_ledger
from medfed.storage.models import read_model
from medfed.storage.run_folder import RunFolder
from medfed.tasks.metrics import classification_metrics, score_stats

TEXT = """
title = "Two hospitals"
sites = ["north", "south"]
rounds = 2
seed = 5
[source]
name = "breast-cancer"
skew = 0.7
[split]
name = "hash"
test = 0.3
[task]
name = "tabular-classification"
target = "diagnosis"
positive = "= malignant"
numeric = ["mean texture", "mean smoothness", "mean symmetry"]
[strategy]
name = "fedavg"
batch_size = 64
"""
RECIPES = ("federated", "local", "leave-one-out", "pooled")


def study_of(text=TEXT, **changes):
    return parse_study(text).evolve(**changes)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    return compare(study_of(), CompareOptions(out=out, seeds=(5, 6))), out


class MeanTask:
    """One metric: the mean of a number."""

    higher_is_better: ClassVar = {"mean": True}

    def figures(self, totals):
        return {"mean": totals["sum"] / totals["count"]}


class SlowMeanTask:
    higher_is_better: ClassVar = {"mean": True}

    def summarise(self, total):
        return {"mean": Interval(float(total["sum"] / total["count"]))}


def records(**sites):
    return {
        site: {"sum": np.array(values, float), "count": np.ones(len(values))}
        for site, values in sites.items()
    }


# --- statistics -----------------------------------------------------------------------------------


def test_a_constant_gain_is_shown_exactly_however_wide_the_figures_are():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=30), rng.normal(size=50)
    redrawn = Redrawn.draw({"a": 30, "b": 50}, seeds=2)
    ours = recipe_table(MeanTask(), [records(a=a + 0.1, b=b + 0.1)] * 2, redrawn)
    theirs = recipe_table(MeanTask(), [records(a=a, b=b)] * 2, redrawn)
    assert interval(theirs["mean"][MEAN]).high - interval(theirs["mean"][MEAN]).low > 0.3
    for place, draws in differences(ours["mean"], theirs["mean"]).items():
        found = interval(draws)
        assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1)), place
        assert is_shown(found, seeds=2)
        assert not is_shown(found, seeds=1)


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation():
    values = np.random.default_rng(1).normal(size=400)
    redrawn = Redrawn.draw({"a": 400}, seeds=1, draws=4000)
    found = interval(recipe_table(MeanTask(), [records(a=values)], redrawn)["mean"]["a"])
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_seeds_are_redrawn_too():
    redrawn = Redrawn.draw({"a": 3}, seeds=2)
    seeds = [records(a=[0.0, 0.0, 0.0]), records(a=[1.0, 1.0, 1.0])]
    found = interval(recipe_table(MeanTask(), seeds, redrawn)["mean"]["a"])
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_hospitals_count_once_in_their_mean_and_by_patients_in_all():
    redrawn = Redrawn.draw({"a": 1, "b": 3}, seeds=1)
    table = recipe_table(MeanTask(), [records(a=[1.0], b=[0.0, 0.0, 0.0])], redrawn)
    assert table["mean"][MEAN][0] == 0.5
    assert table["mean"][ALL][0] == 0.25


def test_a_difference_is_over_the_sites_that_both_recipes_have():
    ours = {"a": np.array([1.0, 1.0]), "b": np.array([5.0, 5.0])}
    found = differences(ours, {"a": np.array([0.5, 0.5])})
    assert set(found) == {"a", MEAN}
    assert found[MEAN][0] == 0.5


def test_undefined_draws_are_left_out_of_the_interval():
    assert interval(np.array([0.5, np.nan, 0.5, 0.5])) == Interval(0.5, 0.5, 0.5)
    assert interval(np.array([0.5, np.nan])) == Interval(0.5)


def test_a_task_without_figures_for_many_gives_the_same():
    totals = {"sum": np.array([1.0, 3.0]), "count": np.array([2.0, 4.0])}
    fast, slow = many_figures(MeanTask(), totals), many_figures(SlowMeanTask(), totals)
    np.testing.assert_allclose(fast["mean"], slow["mean"])


def test_figures_for_many_are_those_of_one():
    rng = np.random.default_rng(2)
    total = score_stats(rng.normal(size=40), rng.random(40) < 0.4)
    task = study_of().make_task()
    many = many_figures(task, {name: np.stack([v, v]) for name, v in total.items()})
    for name, one in classification_metrics(total).items():
        assert many[name] == pytest.approx([one.value] * 2)


# --- per-patient records --------------------------------------------------------------------------


def test_patients_sum_up_to_the_site_whatever_the_job_offers(monkeypatch):
    study = fixed_split(study_of())
    data = scoring.open_sites(study, None)["north"]
    data = replace(data, sets={**data.sets, "test": data.sets["test"][:12]})
    columns = ("mean texture", "mean smoothness", "mean symmetry")
    facts = {"moments": {c: {"mean": 1.0, "std": 2.0, "fill": 1.0} for c in columns}}
    task = study.make_task()
    model = {"head.weight": np.full((1, 3), 0.2, np.float32), "head.bias": np.zeros(1, np.float32)}
    given = scoring.patient_stats(task, data, facts, model, 5, Execution())
    job = task.job(data, facts, 5, Execution())
    monkeypatch.setattr(type(job), "evaluate_each", lambda *_: None)
    slowly = scoring.patient_stats(task, data, facts, model, 5, Execution())
    whole = job.evaluate(model, "test")
    assert len(given) == len(slowly) == 12
    for name, value in whole.items():
        np.testing.assert_allclose(sum(row[name] for row in given), value, rtol=1e-6)
        np.testing.assert_allclose(sum(row[name] for row in slowly), value, rtol=1e-6)


# --- recipes --------------------------------------------------------------------------------------


def test_every_recipe_keeps_the_split_of_the_study_whatever_the_seed():
    fixed = fixed_split(study_of())
    assert fixed.split.options["seed"] == 5
    before = scoring.open_sites(study_of(), None)
    for recipe in make_recipes(fixed, ("federated", "local", "leave-one-out"), ()):
        for fit in recipe.fits(9):
            assert fit.study.seed == 9
            for site, data in scoring.open_sites(fit.study, None).items():
                assert data.sets == before[site].sets


def test_pooled_has_every_patient_in_the_set_of_the_own_site():
    fixed = fixed_split(study_of())
    (fit,) = make_recipes(fixed, ("pooled",), ())[0].fits(5)
    (pooled,) = scoring.open_sites(fit.study, None).values()
    own = scoring.open_sites(fixed, None)
    for name in ("train", "valid", "test"):
        expected = {f"{name}:{s}:{p}" for s, data in own.items() for p in data.sets[name]}
        assert set(pooled.sets[name]) == expected
    order = [pooled.sets["test"][i] for i in (3, -1, 0)]
    frame = pooled.source.load(order)
    assert [f"test:{name}" for name in frame.index] == order
    patient = order[1].split(":")[2]
    again = own["south"].source.load([patient])["mean texture"].item()
    assert frame["mean texture"].iloc[1] == again


def test_the_cohort_holds_for_pooled_too():
    text = TEXT + '[cohort]\nwhere = ["mean texture >= 20"]\n'
    fixed = fixed_split(study_of(text))
    (fit,) = make_recipes(fixed, ("pooled",), ())[0].fits(5)
    (pooled,) = scoring.open_sites(fit.study, None).values()
    frame = pooled.load("train")
    assert frame["mean texture"].min() >= 20
    own = scoring.open_sites(fixed, None)
    assert len(frame) == sum(data.count("train") for data in own.values())


def test_pooled_steps_are_those_of_all_sites_together():
    text = TEXT + "local_steps = 4\nmomentum = 0.5\n"
    fixed = fixed_split(study_of(text))
    pooled, local = make_recipes(fixed, ("pooled", "local"), ())
    assert pooled.fits(1)[0].study.strategy.options["local_steps"] == 8
    assert local.fits(1)[0].study.strategy.options["local_steps"] == 4
    assert local.fits(1)[0].study.strategy.options["momentum"] == 0.5


def steps_of(recipe):
    study = recipe.fits(1)[0].study
    return study.rounds, study.strategy.options["local_steps"]


def test_baselines_take_their_steps_in_fewer_rounds():
    text = re.sub("rounds = .*", "rounds = 40", TEXT) + "local_steps = 4\n"
    names = ("federated", "local", "pooled", "leave-one-out")
    made = make_recipes(fixed_split(study_of(text)), names, ())
    assert [steps_of(recipe) for recipe in made] == [(40, 4), (10, 16), (10, 32), (40, 4)]


@pytest.mark.parametrize(
    "more", ['lr_schedule = "step"\n', '[stop]\nmetric = "auc"\npatience = 3\n']
)
def test_what_counts_in_rounds_keeps_them(more):
    text = re.sub("rounds = .*", "rounds = 40", TEXT) + "local_steps = 4\n" + more
    text = text.replace("[split]", "[split]\nvalid = 0.2")
    (local,) = make_recipes(fixed_split(study_of(text)), ("local",), ())
    assert steps_of(local) == (40, 4)


def test_baselines_drop_what_only_many_sites_need():
    text = TEXT.replace('"fedavg"', '"fedadam"') + "lr = 0.3\n[compression]\nname = 'fp16'\n"
    fixed = fixed_split(study_of(text))
    local, without = make_recipes(fixed, ("local", "leave-one-out"), ())
    alone = local.fits(1)[0].study
    assert (alone.strategy.name, alone.compression) == ("fedavg", None)
    assert alone.strategy.options["lr"] == 0.3
    assert without.fits(1)[0].study.strategy.name == "fedadam"
    assert without.fits(1)[0].study.compression is not None


def test_pooled_training_is_steered_by_validation_patients_only(tmp_path):
    text = TEXT.replace("test = 0.3", "test = 0.3\nvalid = 0.2").replace(
        "rounds = 2", 'rounds = 2\nkeep = "best"'
    )
    (fit,) = make_recipes(fixed_split(study_of(text)), ("pooled",), ())[0].fits(5)
    assert Coordinator(fit.study, None, Execution()).scored_on == "valid"


def test_a_chain_reads_like_one_sequence():
    chain = Chain([[1, 2], [], [3]])
    assert [chain[0], chain[-1], len(chain)] == [1, 3, 3]
    assert list(chain) == chain[:] == [1, 2, 3]
    with pytest.raises(IndexError):
        chain[3]


def test_cases_of_several_sites_are_chained():
    class Cases:
        def load(self, patients):
            return [f"case {p}" for p in patients]

    gathered = Gathered({s: SiteData(s, Cases(), {"train": ("1",)}) for s in "ab"})
    assert list(gathered.load(gathered.patients())) == ["case 1", "case 1"]


def test_the_pooled_split_refuses_other_patients():
    with pytest.raises(DataError, match="does not know"):
        PooledSplit().assign(["somebody"], None, 0)


@pytest.mark.parametrize(
    ("recipes", "strategies", "says"),
    [
        (("federate",), (), "no recipe"),
        ((), ("fedavgg",), "unknown strategy"),
        ((), (), "no recipe was given"),
        (("absent.toml",), (), "there is no file"),
    ],
)
def test_unknown_recipes_are_named(recipes, strategies, says):
    with pytest.raises(StudyError, match=says):
        make_recipes(fixed_split(study_of()), recipes, strategies)


def test_one_site_cannot_be_compared():
    with pytest.raises(StudyError, match="two sites"):
        make_recipes(fixed_split(study_of(sites=("north",), min_sites=1)), RECIPES, ())


def test_a_split_without_a_seed_is_refused():
    with pytest.raises(StudyError, match="no option seed"):
        fixed_split(study_of(split=Part("pooled", {})))


def test_another_study_must_have_the_same_patients(tmp_path):
    file = tmp_path / "other.toml"
    file.write_text(TEXT.replace("test = 0.3", "test = 0.4"))
    with pytest.raises(StudyError, match=r"\[split\] differ"):
        make_recipes(fixed_split(study_of()), (str(file),), ())


# --- privacy --------------------------------------------------------------------------------------

PRIVATE = TEXT.replace(
    "[strategy]",
    """one_class = "train"
[task.public_ranges]
"mean texture" = [9, 32]
"mean smoothness" = [0.06, 0.14]
"mean symmetry" = [0.12, 0.26]
[strategy]""",
).replace("batch_size = 64", "batch_size = 64\nlocal_steps = 2")
LINES = """[[privacy]]
name = "dp-sgd"
noise = 2.0
patients = { north = 200, south = 200 }
"""
PUBLIC = PRIVATE + LINES + 'scores = "public"\n'


def refused_private(text, recipes, tmp_path, says):
    options = CompareOptions(out=tmp_path / "out", recipes=recipes)
    with pytest.raises(StudyError, match=says) as caught:
        compare(parse_study(text), options, lambda event: pytest.fail(f"work began: {event}"))
    assert not (tmp_path / "out").exists()
    return caught.value.remedy


@pytest.mark.parametrize("scores", ["none", "noised"])
def test_private_test_patients_are_not_compared_on(scores, tmp_path):
    text = PRIVATE + LINES + f'scores = "{scores}"\n'
    remedy = refused_private(text, ("federated", "leave-one-out"), tmp_path, "not declare these")
    assert 'scores = "public"' in remedy


@pytest.mark.parametrize("plain", ["local", "pooled"])
def test_no_recipe_trains_without_noise_on_private_patients(plain, tmp_path):
    remedy = refused_private(PUBLIC, ("federated", plain), tmp_path, f"{plain} would train without")
    assert "federated,leave-one-out" in remedy


def test_another_study_does_not_lift_privacy(tmp_path):
    """Neither way round: the plain study first, or as the other one."""
    for number, (first, other) in enumerate([(PUBLIC, PRIVATE), (PRIVATE, PUBLIC)]):
        file = tmp_path / f"other{number}.toml"
        file.write_text(other)
        refused_private(first, ("federated", str(file)), tmp_path, "would train without")


def test_what_is_declared_public_is_compared_at_the_price_of_all_runs(tmp_path):
    options = CompareOptions(
        out=tmp_path / "out", recipes=("federated", "leave-one-out"), seeds=(5,)
    )
    study = parse_study(PUBLIC)
    found = compare(study, options)
    assert {row["recipe"] for row in found["rows"]} == {"federated", "leave-one-out"}
    runs = [RunFolder(path) for path in sorted((tmp_path / "out" / "runs").iterdir())]
    assert all(run.study().privacy == study.privacy for run in runs)
    spent = runs[0].result()["privacy"]["spent"]
    one = next(row for row in spent if row["site"] == "north")
    (note,) = [note for note in found["notes"] if "ε" in note]
    told = float(re.search(r"ε = (\S+) at", note)[1])
    answers = [a for p in prices(study) if p.site == "north" for a in p.answers]
    assert told == pytest.approx(epsilon([*answers, *answers], one["delta"]), rel=0.01)
    assert told > one["epsilon"]
    assert "3 runs" in note


@pytest.fixture
def hospitals(tmp_path):
    """Folders of the hospitals' own sites."""
    for name in ("north", "south"):
        create_site(tmp_path / "hospitals" / name, name, None)
    return tmp_path / "hospitals"


def test_the_hospitals_ledgers_pay_for_all_runs(tmp_path, hospitals):
    options = CompareOptions(
        out=tmp_path / "out",
        recipes=("federated", "leave-one-out"),
        seeds=(5,),
        ledgers=hospitals,
    )
    study = parse_study(PUBLIC)
    found = compare(study, options)
    (note,) = [note for note in found["notes"] if "ε" in note]
    assert "paid from the ledgers of the hospitals" in note
    for site in study.sites:
        book = open_ledger(hospitals / site)
        assert len({entry.run for entry in book.entries()}) == 2, "federated, and without the other"
        answers = [a for p in prices(study) if p.site == site for a in p.answers]
        spent = epsilon([*answers, *answers], 1e-5)
        assert book.balance().spent == pytest.approx(spent, rel=1e-3)
    assert not list((tmp_path / "out").rglob("ledger.sqlite")), "and no other"
    spent = len(open_ledger(hospitals / "north").entries())
    assert compare(study, options)["rows"] == found["rows"]
    assert len(open_ledger(hospitals / "north").entries()) == spent, "once"


def test_a_comparison_that_a_ledger_has_no_room_for_is_refused_before_it_begins(
    tmp_path, hospitals
):
    study = parse_study(PUBLIC)
    answers = [a for p in prices(study) if p.site == "south" for a in p.answers]
    one = epsilon(answers, 1e-5)
    allow(open_ledger(hospitals / "south"), 1.3 * one, 1e-5)
    options = CompareOptions(tmp_path / "out", recipes=("federated", "leave-one-out"), seeds=(5,))
    with pytest.raises(StudyError, match="ledger of south has no room for the 3 runs") as no:
        compare(study, replace(options, ledgers=hospitals))
    assert "medfed ledger show" in no.value.remedy
    assert open_ledger(hospitals / "north").entries() == []


def stopped_at(round_, study, options):
    """Begin a comparison that is stopped when its first run sends that round's orders."""

    def stop(event):
        if isinstance(event, RoundStarted) and (event.round, event.purpose) == (round_, "train"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(study, options, stop)


def test_what_is_left_of_unfinished_runs_needs_room_too(tmp_path, hospitals):
    study = parse_study(PUBLIC)
    options = CompareOptions(
        tmp_path / "out", recipes=("federated", "leave-one-out"), seeds=(5,), ledgers=hospitals
    )
    stopped_at(2, study, options)
    book = open_ledger(hospitals / "north")
    whole = [a for p in prices(study) if p.site == "north" for a in p.answers]
    entered = book.entries()
    paid = [answer for entry in entered for answer in entry.answers]
    assert paid
    others = epsilon([*paid, *whole], 1e-5)
    book.set_limit(replace(book.limit(), epsilon=others, rule="sum"))
    with pytest.raises(StudyError, match="ledger of north has no room for what is left"):
        compare(study, options)
    assert book.entries() == entered, "nothing was begun"
    anew = [answer for entry in entered if entry.round > 1 for answer in entry.answers]
    all_of_it = epsilon([*whole, *whole, *anew], 1e-5)
    book.set_limit(replace(book.limit(), epsilon=all_of_it + 1e-6, rule="sum"))
    compare(study, options)
    assert book.balance().left < 1e-5, "what was paid before is not counted twice"


@pytest.mark.parametrize("paid_first", [False, True])
def test_runs_go_on_paying_where_they_began(tmp_path, hospitals, paid_first):
    options = CompareOptions(tmp_path / "out", recipes=("federated", "leave-one-out"), seeds=(5,))
    study, paying = parse_study(PUBLIC), replace(options, ledgers=hospitals)
    first, then = (paying, options) if paid_first else (options, paying)
    found = compare(study, first)
    spent = len(open_ledger(hospitals / "north").entries())
    assert bool(spent) == paid_first
    with pytest.raises(StudyError, match="was begun with") as no:
        compare(study, then)
    assert "--ledgers" in no.value.remedy
    assert compare(study, first)["notes"] == found["notes"]
    assert len(open_ledger(hospitals / "north").entries()) == spent


def test_a_ledger_that_pays_elsewhere_itself_is_refused(tmp_path, hospitals):
    create_site(tmp_path / "between" / "north", "north", None, ledger=hospitals / "north")
    with pytest.raises(SiteError, match="pays elsewhere itself") as no:
        create_site(tmp_path / "last" / "north", "north", None, ledger=tmp_path / "between/north")
    assert "ledger in site.toml" in no.value.remedy


def test_a_ledger_of_another_site_pays_for_nothing(tmp_path, hospitals):
    (hospitals / "north").rename(hospitals / "aside")
    (hospitals / "south").rename(hospitals / "north")
    (hospitals / "aside").rename(hospitals / "south")
    options = CompareOptions(tmp_path / "out", seeds=(5,), recipes=("federated", "leave-one-out"))
    with pytest.raises(SiteError, match="is the folder of site south"):
        compare(parse_study(PUBLIC), replace(options, ledgers=hospitals))


# --- whole comparisons ----------------------------------------------------------------------------


def test_the_answer_keeps_its_contract(compared):
    found, out = compared
    assert found == json.loads((out / "comparison.json").read_text())
    assert {row["recipe"] for row in found["rows"]} == set(RECIPES)
    assert set(found["rows"][0]) == {"recipe", "seed", "site", "metric", "value"}
    places = {row["site"] for row in found["summary"]}
    assert places == {"north", "south", MEAN, ALL}
    assert {(d["recipe"], d["against"]) for d in found["differences"]} == {
        ("federated", other) for other in RECIPES[1:]
    }
    for name in ("sites.png", "sites.svg", "differences.png", "differences.svg"):
        assert (out / name).stat().st_size > 1000
    check_page((out / "comparison.html").read_text("utf-8"))


def test_rows_are_the_figures_of_the_runs_themselves(compared):
    found, out = compared
    for recipe, run in (("federated", "federated-6"), ("local", "local-6-south")):
        result = RunFolder(out / "runs" / run).result()["metrics"]["sites"]["south"]
        own = {
            row["metric"]: row["value"]
            for row in found["rows"]
            if (row["recipe"], row["seed"], row["site"]) == (recipe, 6, "south")
        }
        assert own == {name: pytest.approx(one["value"]) for name, one in result.items()}


def test_statement_speaks_of_each_hospital_and_of_what_is_not_shown(compared):
    statement = compared[0]["statement"]
    assert "for north: federated" in statement
    assert "2 seeds" in statement
    shown = [d["shown"] for d in compared[0]["differences"] if d["metric"] == "auc"]
    assert all(shown) or "no difference shown" in statement


def facts_of(out: Path, run: str):
    return read_model(out / "runs" / run / "model.safetensors")[1]["facts"]["moments"]


def test_facts_come_from_the_sites_that_train_only(compared):
    _, out = compared
    frames = {
        site: data.load("train")
        for site, data in scoring.open_sites(fixed_split(study_of()), None).items()
    }
    for column in ("mean texture", "mean symmetry"):
        own = {site: frame[column].mean() for site, frame in frames.items()}
        assert facts_of(out, "local-5-north")[column]["mean"] == pytest.approx(own["north"])
        left_out = facts_of(out, "leave-one-out-5-north")[column]
        assert left_out["mean"] == pytest.approx(own["south"])
        assert left_out["count"] == len(frames["south"])
        pooled, federated = facts_of(out, "pooled-5"), facts_of(out, "federated-5")
        assert pooled[column] == pytest.approx(federated[column])


def test_with_two_sites_leaving_one_out_is_training_at_the_other_alone(compared):
    _, out = compared
    models = [
        read_model(out / "runs" / run / "model.safetensors")[0]
        for run in ("leave-one-out-5-north", "local-5-south")
    ]
    for name, value in models[0].items():
        np.testing.assert_array_equal(value, models[1][name])


def test_finished_runs_are_not_repeated(compared, monkeypatch):
    found, out = compared
    monkeypatch.setattr(runner, "start", lambda *_: pytest.fail("a run was repeated"))
    monkeypatch.setattr(scoring, "patient_stats", lambda *_: pytest.fail("scored again"))
    assert compare(study_of(), CompareOptions(out=out, seeds=(5, 6))) == found


def test_a_damaged_score_file_is_made_again(compared):
    found, out = compared
    (out / "scores" / "federated-5.npz").write_bytes(b"nonsense")
    assert compare(study_of(), CompareOptions(out=out, seeds=(5, 6)))["rows"] == found["rows"]


def test_the_folder_belongs_to_one_study(compared, tmp_path):
    _, out = compared
    with pytest.raises(RunError, match="another study"):
        compare(study_of(rounds=3), CompareOptions(out=out))
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="not empty"):
        compare(study_of(), CompareOptions(out=tmp_path))


def test_a_stopped_comparison_goes_on_to_the_same_answer(compared, tmp_path):
    options = CompareOptions(out=tmp_path / "out", recipes=("federated", "local"), seeds=(5,))

    def stop(event):
        if isinstance(event, ComparedRun) and event.name == "local-5-north":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(study_of(), options, stop)
    found = compare(study_of(), options)
    wanted = [
        row
        for row in compared[0]["rows"]
        if row["seed"] == 5 and row["recipe"] in ("federated", "local")
    ]
    assert found["rows"] == wanted
    assert "nothing is claimed from one seed" in found["statement"]
    assert not any(d["shown"] for d in found["differences"])


def test_identical_recipes_show_no_difference(tmp_path):
    twin = tmp_path / "twin.toml"
    twin.write_text(TEXT.replace("seed = 5", "seed = 8"))
    options = CompareOptions(out=tmp_path / "out", recipes=("federated", str(twin)), seeds=(5, 6))
    found = compare(study_of(), options)
    assert {(d["value"], d["low"], d["high"], d["shown"]) for d in found["differences"]} == {
        (0.0, 0.0, 0.0, False)
    }
    assert "is better" not in found["statement"]
    assert found["statement"].count("no difference shown") == 3


def test_a_hospital_that_cannot_train_alone_is_said_and_left_out(tmp_path, monkeypatch):
    real = runner.start

    def refusing(study, *rest):
        if study.sites == ("south",):
            raise QuorumError("south: every training patient has the same label")
        return real(study, *rest)

    monkeypatch.setattr(runner, "start", refusing)
    options = CompareOptions(out=tmp_path / "out", recipes=("federated", "local"), seeds=(5,))
    found = compare(study_of(), options)
    assert any("local-5-south was left out" in note for note in found["notes"])
    local = [d for d in found["differences"] if d["against"] == "local"]
    assert {d["site"] for d in local} == {"north", MEAN}


@pytest.mark.parametrize("seeds", [(1, 1), (-1,)])
def test_seeds_must_make_sense(tmp_path, seeds):
    with pytest.raises(StudyError, match="seeds"):
        compare(study_of(), CompareOptions(out=tmp_path / "out", seeds=seeds))


def test_an_unknown_metric_is_named(tmp_path):
    with pytest.raises(StudyError, match="does not report"):
        compare(study_of(), CompareOptions(out=tmp_path / "out", metric="dice"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_processes_give_the_same_figures(compared, tmp_path):
    options = CompareOptions(out=tmp_path / "out", seeds=(5, 6), workers=2)
    assert compare(study_of(), options)["rows"] == compared[0]["rows"]
