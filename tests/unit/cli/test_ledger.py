"""``medfed ledger``, as a person calls it."""

import json

import pytest

from medfed.cli import main
from medfed.core.ledger import Balance, Spend, replacing
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.privacy.accountant import epsilon
from medfed.services.sites import create_site, open_ledger


@pytest.fixture
def site(tmp_path):
    create_site(tmp_path / "site", "north", None)
    return tmp_path / "site"


def main_exits(words) -> int | str | None:
    try:
        main(words)
    except SystemExit as ended:
        return ended.code
    return 0


def set_limit(site, epsilon: str, delta: str = "1e-5") -> int | str | None:
    words = ("--epsilon", epsilon, "--delta", delta, "--unit", "record")
    return main_exits(["ledger", "set-limit", "--site", str(site), *words])


def test_a_limit_is_set_for_its_unit_alone(site, capsys):
    assert set_limit(site, "4", "1e-6") == 0
    assert "A record may spend ε = 4 at δ = 1e-06; 0 is spent." in capsys.readouterr().out
    book = open_ledger(site)
    assert [book.balance(unit).limit for unit in ("record", "patient")] == [4.0, 10.0]


def test_what_both_limits_allow_together_is_said_by_both_commands(site, capsys):
    main_exits(["ledger", "show", "--site", str(site)])
    first = capsys.readouterr().out.splitlines()[-1]
    assert (
        "may cost ε = 30 at δ = 0.22, twice what patients may spend and what records may; "
        "a δ as large as that promises next to nothing"
    ) in first
    words = ["ledger", "set-limit", "--site", str(site), "--epsilon", "1.5"]
    main_exits(words)
    second = capsys.readouterr().out
    assert "may cost ε = 4.5 at δ = 6.5e-05" in second, "a record's follows"
    assert "next to nothing" not in second
    assert set_limit(site, "1") == 0
    assert "may cost ε = 4 at δ = 6.5e-05" in capsys.readouterr().out
    main_exits([*words[:-1], "20"])
    assert "may cost ε = 41 at a δ of 1, which promises nothing" in capsys.readouterr().out
    main_exits([*words, "--unit", "hospital"])
    assert "to replace" not in capsys.readouterr().out


def test_replacing_is_two_steps_among_patients_and_one_among_records():
    """Held against the exact cost of Gaussian noise, whose distance doubles."""
    for noise in (0.7, 1.5, 4.0):
        answers = [NoisyAnswer("gaussian", noise)]
        patient = Balance(epsilon(answers, 1e-6), 0.0, 1e-6)
        found, delta = replacing(patient, Balance(0.0, 0.0, 1e-30))
        twice = epsilon([NoisyAnswer("gaussian", noise / 2)], delta)
        assert found == 2 * patient.spent
        assert twice <= found
        assert epsilon([NoisyAnswer("gaussian", noise / 2)], 1e-6) > found, (
            "at the same δ it is more"
        )
    assert replacing(Balance(1.0, 2.0, 1e-9), Balance(3.0, 1.0, 1e-9))[0] == 2 * 2.0 + 3.0
    assert replacing(Balance(0.0, 1e6, 1e-9), Balance(0.0, 1.0, 1e-9))[1] == 1.0


@pytest.mark.parametrize(
    ("epsilon", "delta", "complaint"),
    [
        ("-1", "1e-5", "ε is a number of 0 or more"),
        ("nan", "1e-5", "ε is a number of 0 or more"),
        ("inf", "1e-5", "an endless limit is none"),
        ("5", "0", "δ lies above 0 and is at most 0.1"),
        ("5", "nan", "δ lies above 0 and is at most 0.1"),
    ],
)
def test_what_is_no_limit_is_refused_as_in_the_console(site, capsys, epsilon, delta, complaint):
    assert set_limit(site, epsilon, delta) == 4
    assert complaint.lower() in capsys.readouterr().err.lower()
    assert not (site / "ledger.sqlite").exists()


def test_a_delta_too_large_for_the_patients_is_refused_as_in_the_console(site, capsys):
    patients = tuple(f"p{i}" for i in range(20))
    cost = Cost("record", (NoisyAnswer("gaussian", 20.0, 1.0, 1),))
    open_ledger(site).spend(Spend("study", "A study", "run", "o", 1, "train", "s", patients, cost))
    assert set_limit(site, "4", "0.05") == 4
    assert "too large for the 20 patients" in capsys.readouterr().err
    assert open_ledger(site).balance("record").limit == 10.0


def show(site, capsys, *more) -> str:
    assert main_exits(["ledger", "show", "--site", str(site), *more]) == 0
    return capsys.readouterr().out


def enter(site, *answers) -> None:
    people = tuple(f"p{i}" for i in range(20))
    cost = Cost("patient", answers)
    open_ledger(site).spend(Spend("study", "A study", "run", "o", 1, "train", "s", people, cost))


def test_what_is_left_by_the_filter_is_told_and_what_it_means(site, capsys):
    assert "proven also for studies chosen by what earlier ones gave: 0% of" in show(site, capsys)
    enter(site, NoisyAnswer("gaussian", 20.0, 1.0, 700))
    first = show(site, capsys).splitlines()
    assert "of what a filter of order 3 admits is used" in first[2]
    main_exits(["ledger", "set-limit", "--site", str(site), "--epsilon", "6.3"])
    said = capsys.readouterr().out
    assert "nothing more is admitted" in said
    assert "--rule sum" in said
    assert "This is a new filter, and all that was spent counts against it" in said
    words = ["ledger", "set-limit", "--site", str(site), "--epsilon", "6.3", "--rule", "sum"]
    main_exits(words)
    said = capsys.readouterr().out
    assert "by the sum alone: this limit is only proven if no study was chosen" in said
    assert "new filter" not in said
    main_exits([*words[:-2], "--order", "3"])
    assert open_ledger(site).limit().order == 3
    assert open_ledger(site).limit().rule == "sum", "as before"


def test_a_limit_that_no_filter_can_prove_is_said_in_words(site, capsys):
    enter(site, NoisyAnswer("gaussian", 20.0, 1.0, 7))
    main_exits(["ledger", "set-limit", "--site", str(site), "--epsilon", "0.0001"])
    assert "nothing more is admitted: far more than all of what" in capsys.readouterr().out
    assert json.loads(show(site, capsys, "--json"))["balance"]["patient"]["used"] is None


@pytest.mark.parametrize("order", ["1", "5000", "2.5"])
def test_an_order_is_a_whole_number_in_bounds(site, capsys, order):
    words = ["ledger", "set-limit", "--site", str(site), "--epsilon", "3", "--order", order]
    assert main_exits(words) == 2
    assert not (site / "ledger.sqlite").exists()


def test_all_of_it_is_told_to_programs(site, capsys):
    enter(site, NoisyAnswer("gaussian", 20.0, 1.0, 7))
    main_exits(["ledger", "set-limit", "--site", str(site), "--epsilon", "3", "--rule", "sum"])
    capsys.readouterr()
    told = json.loads(show(site, capsys, "--json"))
    epsilon, delta = replacing(*(open_ledger(site).balance(unit) for unit in ("patient", "record")))
    assert told["replacing_a_patient"] == {"epsilon": epsilon, "delta": delta}
    patient = told["balance"]["patient"]
    assert set(patient) == {"spent", "limit", "delta", "rule", "order", "used"}
    assert (patient["limit"], patient["rule"], patient["order"]) == (3.0, "sum", 7)
    assert 0 < patient["used"] < 0.1
    assert [(one["unit"], one["epsilon"], one["rule"]) for one in told["limits"]] == [
        ("patient", 10.0, "proven"),
        ("hospital", 10.0, "proven"),
        ("patient", 3.0, "sum"),
    ]
    assert len(told["entries"]) == 1
