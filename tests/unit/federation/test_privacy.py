"""What a site looks at before it takes up a private study."""

from dataclasses import replace

import pytest
from counting import Counting
from integration.test_private_runs import PRIVATE, private_text
from integration.test_statistics import ASKED

from medfed.core.data import SiteData
from medfed.core.errors import Refused
from medfed.core.study_file import parse_study
from medfed.federation.privacy import SitePrivacy
from medfed.storage.ledger import SqliteLedger

NOISED = PRIVATE.replace('"none"', '"noised"').replace("1e-4", "0.005")
STATISTIC = ASKED.replace('"gaussian"', '"gaussian"\ndelta = 0.01')


def people(**counts):
    sets = {on: tuple(f"{on}{i}" for i in range(many)) for on, many in counts.items()}
    return SiteData("north", None, sets)


def refusal(study, data, tmp_path):
    """Why the site does not take it up; nothing where it does."""
    try:
        SitePrivacy(study, data, SqliteLedger(tmp_path / "ledger.sqlite", Counting()))
    except Refused as no:
        return f"{no.name}: {no}"
    return ""


CASES = {
    "training": (
        private_text(privacy=NOISED),
        {"train": 199},
        "train",
        "patients for the δ of the",
    ),
    "scores": (
        private_text(privacy=NOISED),
        {"train": 100, "test": 199},
        "test",
        "too many test patients for the δ of noised scores",
    ),
    "a statistic of all sets": (
        private_text(privacy=STATISTIC),
        {"train": 33, "valid": 33, "test": 33},
        "valid",
        "too many patients for the δ of a statistic",
    ),
}


@pytest.mark.parametrize(("text", "counts", "grown", "words"), CASES.values(), ids=CASES)
def test_each_delta_is_below_one_by_the_number_of_its_patients(
    text, counts, grown, words, tmp_path
):
    study = parse_study(text)
    assert refusal(study, people(**counts), tmp_path) == ""
    more = people(**{**counts, grown: counts[grown] + 1})
    assert words in refusal(study, more, tmp_path)
    assert "smaller delta" in refusal(study, more, tmp_path)


def test_scores_that_do_not_leave_have_no_delta(tmp_path):
    study = parse_study(private_text(privacy=NOISED.replace('"noised"', '"none"')))
    assert refusal(study, people(train=100, test=5000), tmp_path) == ""


def test_noised_facts_have_one_for_training_patients(tmp_path, monkeypatch):
    text = private_text(privacy="").replace("hidden =", "facts_epsilon = 1.0\nhidden =")
    study = parse_study(text)
    privacy = SitePrivacy(
        study, people(train=50, test=5000), SqliteLedger(tmp_path / "l", Counting())
    )
    (part, query), *_ = privacy.queries.items()
    assert query.of(privacy.data) == ("train",)
    privacy.queries[part] = replace(query, delta=0.02)
    with pytest.raises(Refused, match="noised fact"):
        privacy._check_people()
