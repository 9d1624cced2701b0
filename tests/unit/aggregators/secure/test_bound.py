"""Keys, seals and signatures of a conversation are bound to all that it is about."""

from dataclasses import replace

import pytest
from unit.aggregators.secure.talking import Hospitals, Liar, updates_of

from medfed.aggregators.secure import keys
from medfed.aggregators.secure.layout import Layout
from medfed.aggregators.secure.seated import DRAWER


@pytest.fixture(scope="module")
def roster():
    return Liar(Hospitals(updates_of(4))).keys().roster()


def other_keys(roster):
    changed = replace(roster.adverts["s03"], seal=bytes(32))
    return {**roster.adverts, "s03": changed}


OTHERWISE = {
    "session": lambda roster: replace(roster, session=bytes(32)),
    "root": lambda roster: replace(roster, root=bytes(32)),
    "bits": lambda roster: replace(roster, terms=[64, *roster.terms[1:]]),
    "sites": lambda roster: replace(roster, terms=[*roster.terms[:-1], 5]),
    "layout": lambda roster: replace(roster, layout=Layout(roster.layout.parts[1:])),
    "keys of another": lambda roster: replace(roster, adverts=other_keys(roster)),
    "fewer": lambda roster: replace(
        roster, adverts={site: roster.adverts[site] for site in roster.sites[:3]}
    ),
}
MADE = {
    "pair": lambda roster: roster.pair_key(bytes(32), "s00", "s01"),
    "own mask": lambda roster: roster.self_key(bytes(16), "s00"),
    "seal": lambda roster: roster.share_key(bytes(32), "s00", "s01"),
    "sealed": lambda roster: roster.bound("s00", "s01"),
    "signed": lambda roster: roster.survivors_signed(roster.sites, roster.sites[:2]),
    "next round": lambda roster: roster.next_root,
}


@pytest.mark.parametrize("otherwise", OTHERWISE)
@pytest.mark.parametrize("made", MADE)
def test_all_that_is_made_in_a_conversation_is_bound_to_it(made, otherwise, roster):
    other = OTHERWISE[otherwise](roster)
    assert other.digest != roster.digest
    assert MADE[made](other) != MADE[made](roster)
    assert MADE[made](replace(roster)) == MADE[made](roster), "and to nothing else"


def test_each_is_for_those_it_is_for(roster):
    secret, seed = bytes(32), bytes(16)
    pairs = {roster.pair_key(secret, *two) for two in (("s00", "s01"), ("s00", "s02"))}
    assert len(pairs) == 2
    assert roster.pair_key(secret, "s01", "s00") in pairs, "the two have it in common"
    assert roster.self_key(seed, "s00") != roster.self_key(seed, "s01")
    there, back = ("s00", "s01"), ("s01", "s00")
    assert roster.share_key(secret, *there) != roster.share_key(secret, *back)
    assert roster.bound(*there) != roster.bound(*back)
    whole, part = roster.sites, roster.sites[:3]
    lists = [(whole, whole), (whole, part), (part, part), (part, whole)]
    assert len({roster.survivors_signed(*each) for each in lists}) == 4


def test_fewer_shares_than_must_agree_give_no_secret():
    federation = Hospitals(updates_of(7))
    liar = Liar(federation).keys().shares().masked()
    roster = liar.roster()
    assert roster.threshold == 5
    held = {site: federation.seats[site].drawer[DRAWER].shares["s06"] for site in roster.sites[:5]}
    for cut in (slice(keys.SEED), slice(keys.SEED, None)):
        shares = [(roster.sites.index(site), both[cut]) for site, both in held.items()]
        enough, few = keys.join(shares), keys.join(shares[:-1])
        advert = roster.adverts["s06"]
        right = advert.mask, advert.commitment
        assert keys.public_bytes(enough) in right or keys.commitment(enough) in right
        assert keys.public_bytes(few) not in right
        assert keys.commitment(few) not in right


def test_a_site_signs_all_of_what_it_says_at_the_beginning(roster):
    advert, session = roster.adverts["s00"], roster.session
    said = {
        advert.signed(session, "s00"),
        advert.signed(bytes(32), "s00"),
        advert.signed(session, "s01"),
        *(
            replace(advert, **{name: bytes(32)}).signed(session, "s00")
            for name in ("seal", "mask", "commitment")
        ),
        replace(advert, parts=advert.parts[1:]).signed(session, "s00"),
    }
    assert len(said) == 7
