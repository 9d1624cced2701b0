"""How many sites may help a coordinator that lies: what is said is what they can and cannot do."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.aggregators.secure.talking import Hospitals, Liar, updates_of

from medfed.aggregators.secure.rules import safe_colluders, threshold
from medfed.aggregators.secure.sum import SecureSum
from medfed.core.errors import Refused

DOCS = Path(__file__).parents[4] / "docs" / "explanation" / "secure-sum.md"


def breaks(sites, fewest, helpers):
    """Whether there is a round, and a way to divide its honest sites, that gives one away."""
    for m in range(fewest, sites + 1):
        honest, needed = m - helpers, threshold(m)
        if honest < 2 or any(
            helpers + one >= needed and helpers + honest - one >= needed
            for one in range(honest + 1)
        ):
            return True
    return False


@given(st.integers(3, 40), st.data())
def test_the_number_is_the_last_before_a_round_can_be_broken(sites, data):
    fewest = data.draw(st.integers(3, sites))
    safe = safe_colluders(sites, fewest)
    assert not any(breaks(sites, fewest, helpers) for helpers in range(1, safe + 1))
    assert breaks(sites, fewest, safe + 1)


def two_stories(helpers):
    """Shares of both kinds that a coordinator gets in a round of five of ten sites."""
    hospitals = Hospitals(updates_of(10))
    liar = Liar(hospitals)
    liar.sites = [f"s0{i}" for i in range(5)]
    bad, honest = liar.sites[5 - helpers :], liar.sites[: 5 - helpers]
    liar.keys().shares().masked()
    roster, lost = liar.roster(), honest[0]
    half = (len(honest) + 1) // 2
    found = {}
    for which, ears, story in (
        ("selves", honest[:half], liar.sites),
        ("masks", honest[half:], [site for site in liar.sites if site != lost]),
    ):
        what = roster.survivors_signed(liar.sites, story)
        signed = {site: hospitals.keys[site].sign(what).hex() for site in bad}
        opened = liar.unmask({**liar.agree(story, ears), **signed}, ears)
        found[which] = helpers + sum(lost in table[which] for table in opened.values())
    return min(found.values()), roster.threshold


def test_three_helpers_break_a_round_of_five_that_the_coordinator_chose_of_ten():
    got, needed = two_stories(3)
    assert got >= needed
    assert safe_colluders(10, 3) < safe_colluders(10, 5) == 2


def test_two_do_not():
    with pytest.raises(Refused, match="must be among"):
        two_stories(2)


def test_the_documentation_has_the_numbers():
    rows = re.findall(r"^\| (\d+) \| ([\d or]+) \| (\d+) \|$", DOCS.read_text(), re.MULTILINE)
    assert len(rows) == 8
    for sites, fewest, safe in rows:
        for one in fewest.split(" or "):
            assert safe_colluders(int(sites), int(one)) == int(safe)
    rounds = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", DOCS.read_text(), re.MULTILINE)
    assert len(rounds) == 7
    for sites, needed, lost, helpers in ([int(n) for n in row] for row in rounds):
        assert threshold(sites) == needed == sites - lost
        assert 2 * needed - sites - 1 == helpers


@pytest.mark.parametrize(("least", "min_sites", "says"), [(3, 5, "2 of the 10"), (3, 3, "one of")])
def test_the_words_have_the_studys_number(least, min_sites, says):
    words = " ".join(SecureSum(least=least).protection(10, min_sites))
    assert f"together with more than {says}" in words
    assert f"down to {min_sites} sites" in words
