"""``medfed study check --site``: whether what a study costs fits what is left at a hospital."""

import json

import pytest
from accounting import EXAMPLES
from limits import allow

from medfed.cli import main
from medfed.core.ledger import Spend, comparable
from medfed.core.mechanism import Cost
from medfed.core.study_file import read_study
from medfed.privacy.accountant import epsilon
from medfed.services.prices import prices
from medfed.services.sites import create_site, open_ledger

FILE = EXAMPLES / "breast_cancer_dp.toml"
STUDY = read_study(FILE)
ANSWERS = next(price.answers for price in prices(STUDY) if price.site == "north")


@pytest.fixture
def site(tmp_path):
    create_site(tmp_path / "site", "north", None)
    return tmp_path / "site"


def check(site, capsys, *more, file=FILE) -> str:
    main(["study", "check", str(file), "--site", str(site), *more])
    return " ".join(capsys.readouterr().out.replace("\n- ", " ").split())


def pay(site, study="another"):
    patients = tuple(f"p{i}" for i in range(20))
    cost = Cost("patient", ANSWERS)
    work = Spend(study, "A", "r", "o", 1, "train", comparable(STUDY.source), patients, cost)
    open_ledger(site).spend(work)


def test_a_study_that_fits_says_what_is_left_then(site, capsys):
    one, two = epsilon(ANSWERS, 1e-5), epsilon([*ANSWERS, *ANSWERS], 1e-5)
    said = check(site, capsys)
    assert f"costs a training patient ε = {one:.3g} (at δ = 1e-05)" in said
    assert f"With a whole run of it at most {one:.3g} would be spent, and {10 - one:.3g}" in said
    assert said.endswith("There is room for it here.")
    assert not (site / "ledger.sqlite").exists(), "nothing is entered"
    pay(site)
    said = check(site, capsys)
    assert f"at most {one:.3g} is spent, and {10 - one:.3g} is left" in said
    assert f"at most {two:.3g} would be spent, and {10 - two:.3g} would be left" in said


def test_a_study_that_does_not_fit_is_told_so(site, capsys):
    pay(site)
    book = open_ledger(site)
    two = epsilon([*ANSWERS, *ANSWERS], 1e-5)
    allow(book, two - 0.01, 1e-5, rule="sum")
    assert check(site, capsys).endswith("would refuse the rounds that pass the limit.")
    allow(book, two + 0.01, 1e-5)
    assert check(site, capsys).endswith("There is room for it here.")
    allow(book, two + 0.01, 1e-5, rule="proven")
    said = check(site, capsys)
    assert "there is room for it, and not by the filter" in said
    assert said.endswith("would refuse the rounds that pass the limit.")


def test_what_the_study_has_spent_is_told(site, capsys):
    pay(site, STUDY.digest)
    said = check(site, capsys)
    assert f"Runs of this study have spent ε = {epsilon(ANSWERS, 1e-5):.3g}." in said
    assert "would be spent" not in said


def test_programs_are_told_the_same(site, capsys):
    (told,) = json.loads(check(site, capsys, "--json"))["outlook"]
    one = pytest.approx(epsilon(ANSWERS, 1e-5))
    assert (told["unit"], told["fits"], told["limit"], told["spent"]) == ("patient", True, 10, 0)
    assert (told["alone"], told["after"], 10 - told["left_after"]) == (one, one, one)
    main(["study", "check", str(FILE), "--json"])
    assert "outlook" not in json.loads(capsys.readouterr().out)


def test_a_study_without_a_price_spends_nothing(site, capsys):
    said = check(site, capsys, file=EXAMPLES / "breast_cancer.toml")
    assert said.endswith("Nothing in this study has a price: it spends nothing.")


def test_another_hospitals_folder_is_refused(tmp_path, capsys):
    create_site(tmp_path / "site", "elsewhere", None)
    with pytest.raises(SystemExit):
        check(tmp_path / "site", capsys)
    said = capsys.readouterr().err
    assert "the study has no site elsewhere" in said
    assert "Give the folder of one of north, centre, south" in said
