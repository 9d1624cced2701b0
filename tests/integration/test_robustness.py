"""Two hostile hospitals of eleven, in real runs: the mean is ruined, the robust rules hold."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent.parent / "benchmarks"
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def accuracy(monkeypatch):
    """The benchmark's own figure, after fewer rounds."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import robustness

    return lambda rule, attack: robustness.accuracy(rule, attack, seed=1, rounds=5)


@pytest.mark.slow
def test_the_mean_is_ruined_by_a_flipped_sign_and_not_without_it(accuracy):
    assert accuracy("mean", "none") > 0.88
    assert accuracy("mean", "sign flip") < 0.6


@pytest.mark.parametrize(
    "rule",
    [
        "centred-clipping",
        *(
            pytest.param(rule, marks=pytest.mark.slow)
            for rule in ("multi-krum", "nnm-trimmed-mean")
        ),
    ],
)
def test_robust_rules_hold_where_the_mean_does_not(rule, accuracy):
    assert accuracy(rule, "sign flip") > 0.88


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["label flip", "sign flip", "scaling", "IPM", "ALIE"])
@pytest.mark.parametrize(
    "rule",
    [
        "mean, norm_limit = 3",
        "median",
        "trimmed-mean",
        "centred-clipping",
        "multi-krum",
        "nnm-trimmed-mean",
    ],
)
def test_every_robust_rule_holds_under_every_attack(rule, attack, accuracy):
    """Not the geometric median: it believes the patients that hostile sites claim to have."""
    assert accuracy(rule, attack) > 0.8


def test_the_table_is_written_between_its_marks(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import robustness

    cells = {("mean", attack): [90.0, 92.0] for attack in robustness.ATTACKS}
    page = tmp_path / "page.md"
    page.write_text(f"before\n{robustness.BEGIN}\nold\n{robustness.END}\nafter\n")
    robustness.write_docs(page, robustness.table(cells))
    text = page.read_text()
    assert "| `mean` | 91 ± 1 |" in text
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "old" not in text
    rows = robustness.rows_of(cells)
    assert {row["name"] for row in rows} >= {
        "mean, ALIE: accuracy",
        "mean, ALIE: spread over seeds",
    }
