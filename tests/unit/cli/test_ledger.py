"""``medfed ledger``, as a person calls it."""

import pytest

from medfed.cli import main
from medfed.core.ledger import Spend
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.services.sites import create_site, open_ledger


@pytest.fixture
def site(tmp_path):
    create_site(tmp_path / "site", "north", None)
    return tmp_path / "site"


def set_limit(site, epsilon: str, delta: str = "1e-5") -> int | str | None:
    words = ("--epsilon", epsilon, "--delta", delta, "--unit", "record")
    try:
        main(["ledger", "set-limit", "--site", str(site), *words])
    except SystemExit as ended:
        return ended.code
    return 0


def test_a_limit_is_set_for_its_unit_alone(site, capsys):
    assert set_limit(site, "4", "1e-6") == 0
    assert "A record may spend ε = 4 at δ = 1e-06; 0 is spent." in capsys.readouterr().out
    book = open_ledger(site)
    assert [book.balance(unit).limit for unit in ("record", "patient")] == [4.0, 10.0]


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
