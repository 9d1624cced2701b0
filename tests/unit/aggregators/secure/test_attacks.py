"""A coordinator that lies: honest sites say no; with the defence off, it gets what it wants.

Each attack is a function that returns what the coordinator learnt: a site's update, where the
attack is one that gives it away, or True where a site went along with what it must refuse.
"""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from unit.aggregators.secure.talking import Drawer, Hospitals, Liar, rounded, updates_of

from medfed.aggregators.secure import keys, rules, seated, site
from medfed.aggregators.secure.layout import Layout
from medfed.aggregators.secure.masks import Reader, Stream
from medfed.aggregators.secure.messages import decoded, message
from medfed.aggregators.secure.rules import Advert, sign_of
from medfed.aggregators.secure.sum import SecureSum
from medfed.core.errors import Refused, WireError

VICTIM = "s05"
STEPS = ("shares", "masked", "agree", "unmask")


@pytest.fixture
def off(monkeypatch):
    """Switches for the defences."""

    def without(*defences):
        for defence in defences:
            defence(monkeypatch)

    return without


def steps_in_order(patch):
    """Off: a step is answered as often as asked, and secrets are kept after the last."""

    def talk(self, asked):
        found = self.seat.drawer[seated.DRAWER]
        found.phase = asked
        return found

    patch.setattr(seated.SeatedSite, "_talk", talk)
    patch.setattr(Drawer, "pop", lambda self, key, default=None: default, raising=False)
    kept = site.SecureSite._words

    def words(self, talk, roster):
        update = talk.update
        try:
            return kept(self, talk, roster)
        finally:
            talk.update = update

    patch.setattr(site.SecureSite, "_words", words)


def one_sum_a_question(patch):
    """Off: a question may be summed over any sites."""
    patch.setattr(seated.SeatedSite, "_check_question", lambda self, talk: None)


def enough_sites(patch):
    """Off: any number of sites will do."""
    patch.setattr(seated.SeatedSite, "_check_enough", lambda self, sites, threshold: None)


def more_than_two_thirds(patch):
    """Off: half of the sites are enough."""
    patch.setattr(rules, "threshold", lambda sites: sites // 2)


def signatures(patch):
    """Off: anybody may have signed."""
    patch.setattr(seated.SeatedSite, "_verify", lambda self, who, signature, what: None)


def own_mask(patch):
    """Off: parts are masked in pairs only, as in the first half of the paper."""
    kept = site.SecureSite._streams
    patch.setattr(site.SecureSite, "_streams", lambda *given: kept(*given)[1:])


def counted_parts(patch):
    """Off: a part is summed whoever has it."""
    patch.setattr(seated.SeatedSite, "_check_parts", lambda self, roster, among: None)


def bound_shares(patch):
    """Off: sealed shares are bound to nothing but the two keys."""
    patch.setattr(rules.Roster, "share_key", lambda self, secret, one, other: secret)
    patch.setattr(rules.Roster, "bound", lambda self, sender, receiver: [])


def sealing(patch):
    """Off: shares are taken whatever their seal says."""
    patch.setattr(keys, "open_shares", lambda key, sealed, bound: bytes(2 * keys.SEED))


def learnt(roster, part, streams):
    """The first tensor of a part with masks taken off, in whole steps."""
    words = part.tensors["secure/narrow"].copy()
    Reader(streams).onto(words)
    flat = words.view(np.int32).astype(np.int64)
    named = {p.key: a for p, a in roster.layout.narrow.arrays(flat)}
    return named["t:model/a"]


def seed_from(roster, tables, which, who):
    """A seed from shares that sites gave away."""
    shares = [
        (roster.sites.index(holder), decoded(table[which], who, keys.SEED))
        for holder, table in tables.items()
    ]
    return keys.join(shares[: roster.threshold])


def streams_off(roster, victim, mask_seed, self_seed, sharers):
    """The masks on a victim's part, as a coordinator makes them that has both seeds."""
    streams = [Stream(roster.self_key(self_seed, victim), -1)] if self_seed else []
    for peer in sharers:
        if peer != victim:
            secret = keys.shared(mask_seed, roster.adverts[peer].mask)
            streams.append(Stream(roster.pair_key(secret, victim, peer), -sign_of(victim, peer)))
    return streams


def found_out(hospitals, got):
    wanted = rounded(hospitals.updates[VICTIM], "model/a", len(hospitals.updates))
    return bool(np.array_equal(got, wanted))


# --- the same site alive and dead -----------------------------------------------------------------


def asks_twice(hospitals):
    """All are alive: their own masks come off. Then one is dead: its masks with others come off."""
    liar = Liar(hospitals).keys().shares().masked()
    alive = liar.unmask(liar.agree(liar.sites))
    others = [s for s in liar.sites if s != VICTIM]
    dead = liar.unmask(liar.agree(others))
    roster = liar.roster()
    mask, own = seed_from(roster, dead, "masks", VICTIM), seed_from(roster, alive, "selves", VICTIM)
    streams = streams_off(roster, VICTIM, mask, own, liar.sites)
    return found_out(hospitals, learnt(roster, liar.parts[VICTIM], streams))


def tells_two_stories(hospitals):
    """Half of the sites hear that all are alive; the other half that one is dead."""
    liar = Liar(hospitals).keys().shares().masked()
    ours = [VICTIM, *liar.sites[:2]]
    theirs = [s for s in liar.sites if s not in ours]
    alive = liar.unmask(liar.agree(liar.sites, ours), ours)
    others = [s for s in liar.sites if s != VICTIM]
    dead = liar.unmask(liar.agree(others, theirs), theirs)
    roster = liar.roster()
    mask, own = seed_from(roster, dead, "masks", VICTIM), seed_from(roster, alive, "selves", VICTIM)
    streams = streams_off(roster, VICTIM, mask, own, liar.sites)
    return found_out(hospitals, learnt(roster, liar.parts[VICTIM], streams))


# --- uploads --------------------------------------------------------------------------------------


def takes_a_late_part(hospitals):
    """A site is given up for dead, its masks with others come off; then its part arrives."""
    liar = Liar(hospitals).keys().shares()
    others = [s for s in liar.sites if s != VICTIM]
    liar.masked(others)
    dead = liar.unmask(liar.agree(others))
    late = liar.send("masked", VICTIM, liar.inbox(VICTIM))
    roster = liar.roster()
    mask = seed_from(roster, dead, "masks", VICTIM)
    streams = streams_off(roster, VICTIM, mask, None, liar.sites)
    return found_out(hospitals, learnt(roster, late, streams))


def has_masks_used_twice(hospitals):
    """The same masks over two sets of sites: the difference is a mask, and no secret any more."""
    liar = Liar(hospitals).keys().shares().masked()
    box = liar.inbox(VICTIM)
    box["sealed"].pop(liar.sites[0])
    return bool(liar.send("masked", VICTIM, box))


def wants_a_part_after_the_survivors_are_fixed(hospitals):
    liar = Liar(hospitals).keys().shares().masked()
    liar.agree(liar.sites)
    return bool(liar.send("masked", VICTIM, liar.inbox(VICTIM)))


# --- shares ---------------------------------------------------------------------------------------


def replays_shares(hospitals):
    """Shares of an earlier conversation, in a later one."""
    earlier = Liar(hospitals).keys().shares()
    later = Liar(hospitals).keys().shares()
    later.sealed["s00"][VICTIM] = earlier.sealed["s00"][VICTIM]
    return bool(later.masked([VICTIM]))


def gives_shares_back_to_their_sender(hospitals):
    """What a site sealed for another, as though the other had sealed it."""
    liar = Liar(hospitals).keys().shares()
    liar.sealed["s00"][VICTIM] = liar.sealed[VICTIM]["s00"]
    return bool(liar.masked([VICTIM]))


# --- who takes part -------------------------------------------------------------------------------


def stranger(liar, name="s99"):
    """An advert that the coordinator made itself, for a site that does not exist."""
    seeds = [keys.new_seed() for _ in range(3)]
    key = Ed25519PrivateKey.generate()
    parts = (keys.public_bytes(seeds[0]), keys.public_bytes(seeds[1]), keys.commitment(seeds[2]))
    session = bytes.fromhex(liar.tables[liar.sites[0]]["session"])
    named = tuple(rules.marks(session, Layout.from_json(liar.layout)).values())
    signature = key.sign(Advert(*parts, named).signed(session, name))
    return key, Advert(*parts, named, signature).to_json(), seeds


def makes_up_a_site(hospitals):
    """A roster with a site of the coordinator's own."""
    liar = Liar(hospitals).keys()
    key, liar.adverts["s99"], _ = stranger(liar)
    for name in liar.sites if hospitals.naive else ():
        known = hospitals.seats[name].peers
        hospitals.change(name, peers={**known, "s99": key.public_key().public_bytes_raw()})
    return bool(liar.shares())


def swaps_keys(hospitals):
    """Every other site's keys are the coordinator's own: it can make all masks of the victim."""
    liar = Liar(hospitals).keys()
    true, seeds = dict(liar.adverts), {}
    for name in liar.sites:
        if name != VICTIM:
            _, liar.adverts[name], seeds[name] = stranger(liar, name)
    liar.shares([VICTIM])
    roster, own = liar.roster(), liar.sealed[VICTIM]
    shares = []
    for name, (seal, _mask, _own) in seeds.items():
        secret = keys.shared(seal, bytes.fromhex(true[VICTIM]["seal"]))
        opened = keys.open_shares(
            roster.share_key(secret, VICTIM, name),
            bytes.fromhex(own[name]),
            roster.bound(VICTIM, name),
        )
        shares.append((roster.sites.index(name), opened))
    enough = shares[: roster.threshold]
    mask, own_seed = (keys.join([(i, both[cut]) for i, both in enough]) for cut in CUTS)
    box = {}
    for name, (seal, _mask, _own) in seeds.items():
        secret = keys.shared(seal, bytes.fromhex(true[VICTIM]["seal"]))
        key, bound = roster.share_key(secret, name, VICTIM), roster.bound(name, VICTIM)
        box[name] = keys.seal_shares(key, bytes(32), bound).hex()
    part = liar.send("masked", VICTIM, {"sealed": box})
    streams = streams_off(roster, VICTIM, mask, own_seed, liar.sites)
    return found_out(hospitals, learnt(roster, part, streams))


CUTS = (slice(0, keys.SEED), slice(keys.SEED, 2 * keys.SEED))


def lists_a_site_under_two_names(hospitals):
    liar = Liar(hospitals).keys()
    liar.adverts["s00"] = dict(liar.adverts["s01"])
    return bool(liar.shares([VICTIM]))


def sums_over_two_sites(hospitals):
    """A roster of two: the other's part subtracted leaves the victim's."""
    liar = Liar(hospitals).keys()
    liar.adverts = {name: liar.adverts[name] for name in ("s00", VICTIM)}
    return bool(liar.shares(list(liar.adverts)))


def takes_the_masks_off_for_few(hospitals):
    """More sites are called dead than the threshold allows."""
    liar = Liar(hospitals).keys().shares().masked()
    few = ["s00", "s01", VICTIM]
    return bool(liar.unmask(liar.agree(few)))


def unmasks_with_few_signatures(hospitals):
    liar = Liar(hospitals).keys().shares().masked()
    signed = liar.agree(liar.sites)
    return bool(liar.unmask({name: signed[name] for name in ("s00", VICTIM)}, [VICTIM]))


def forges_signatures(hospitals):
    liar = Liar(hospitals).keys().shares().masked()
    liar.agree(liar.sites)
    return bool(liar.unmask(dict.fromkeys(liar.sites, "ab" * 64), [VICTIM]))


def sums_the_same_over_others(hospitals):
    """The round again, without the victim: the two sums differ by what it sent."""
    liar = Liar(hospitals).keys().shares().masked()
    liar.unmask(liar.agree(liar.sites))
    again = Liar(hospitals).keys().shares().masked()
    others = [name for name in again.sites if name != VICTIM]
    return bool(again.unmask(again.agree(others)))


RARE = '["diagnosis", "rare"]'


def asks_for_what_one_site_has(hospitals):
    """A category that only the victim has, in the layout: its count is a sum over one site."""
    whole = hospitals.updates[VICTIM]
    hospitals.updates[VICTIM] = replace(whole, stats={**whole.stats, RARE: np.array([1.0])})
    liar = Liar(hospitals).keys()
    liar.layout = liar.tables[VICTIM]["layout"]
    return bool(liar.shares().masked().unmask(liar.agree(liar.sites)))


def asks_for_what_few_of_the_survivors_have(hospitals):
    """Three have it, and two of these are called dead."""
    for name in (VICTIM, "s00"):
        whole = hospitals.updates[name]
        hospitals.updates[name] = replace(whole, stats={**whole.stats, RARE: np.array([1.0])})
    whole = hospitals.updates["s01"]
    hospitals.updates["s01"] = replace(whole, stats={**whole.stats, RARE: np.array([2.0])})
    liar = Liar(hospitals).keys()
    liar.layout = liar.tables[VICTIM]["layout"]
    liar.shares().masked()
    return bool(liar.agree([name for name in liar.sites if name != "s00"]))


def has_a_part_counted_that_nobody_signed(hospitals):
    """The other sites' lists of parts are changed on the way."""
    whole = hospitals.updates[VICTIM]
    hospitals.updates[VICTIM] = replace(whole, stats={**whole.stats, RARE: np.array([1.0])})
    liar = Liar(hospitals).keys()
    liar.layout = liar.tables[VICTIM]["layout"]
    parts = liar.adverts[VICTIM]["parts"]
    liar.adverts = {name: {**one, "parts": parts} for name, one in liar.adverts.items()}
    return bool(liar.shares().masked().unmask(liar.agree(liar.sites)))


ATTACKS = {
    asks_twice: ((steps_in_order, one_sum_a_question), "lost-conversation"),
    tells_two_stories: ((more_than_two_thirds,), "unsafe-sum"),
    takes_a_late_part: ((own_mask,), None),
    has_masks_used_twice: ((steps_in_order,), "unsafe-sum"),
    wants_a_part_after_the_survivors_are_fixed: ((steps_in_order,), "unsafe-sum"),
    replays_shares: ((sealing,), "unsafe-sum"),
    gives_shares_back_to_their_sender: ((bound_shares,), "unsafe-sum"),
    swaps_keys: ((signatures,), "unsafe-sum"),
    sums_over_two_sites: ((enough_sites, counted_parts), "unsafe-sum"),
    takes_the_masks_off_for_few: ((enough_sites,), "unsafe-sum"),
    unmasks_with_few_signatures: ((enough_sites,), "unsafe-sum"),
    forges_signatures: ((signatures,), "unsafe-sum"),
    sums_the_same_over_others: ((one_sum_a_question,), "unsafe-sum"),
    asks_for_what_one_site_has: ((counted_parts,), "unsafe-sum"),
    asks_for_what_few_of_the_survivors_have: ((counted_parts,), "unsafe-sum"),
    has_a_part_counted_that_nobody_signed: ((signatures,), "unsafe-sum"),
}
"""Each attack, the defences that stop it, and the name of the refusal (None: it learns nothing)."""


@contextmanager
def refused_as(name):
    with pytest.raises(Refused) as no:
        yield
    assert no.value.name == name


def hospitals(naive=False):
    found = Hospitals(updates_of(6, size=400))
    found.naive = naive
    return found


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_sites_say_no(attack):
    _, name = ATTACKS[attack]
    if name is None:
        assert not attack(hospitals())
    else:
        with refused_as(name):
            attack(hospitals())


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_without_the_defence_the_attack_succeeds(attack, off):
    off(*ATTACKS[attack][0])
    assert attack(hospitals())


@pytest.mark.parametrize("left", [0, 1])
def test_either_of_two_defences_is_enough_against_a_site_alive_and_dead(left, off):
    off(ATTACKS[asks_twice][0][1 - left])
    with pytest.raises(Refused):
        asks_twice(hospitals())


def test_a_made_up_site_is_refused_unless_somebody_pinned_it():
    with refused_as("unknown-peer"):
        makes_up_a_site(hospitals())
    assert makes_up_a_site(hospitals(naive=True))


def test_a_list_that_lacks_the_site_is_refused():
    """It would divide its secrets among others, and mask with nobody who can take its masks off."""
    liar = Liar(hospitals()).keys()
    liar.adverts.pop(VICTIM)
    with refused_as("unsafe-sum"):
        liar.shares([VICTIM])


def test_a_list_with_other_keys_of_the_site_is_refused():
    """Keys that it signed for the same conversation and has forgotten since."""
    federation, name = hospitals(), "0123456789abcdef"
    earlier, liar = (Liar(federation, name).keys() for _ in range(2))
    liar.adverts[VICTIM] = earlier.adverts[VICTIM]
    with refused_as("unsafe-sum"):
        liar.shares([VICTIM])


@pytest.mark.parametrize(
    "change",
    [
        lambda key, shape: [2 * n for n in shape] if key == "t:model/a" else shape,
        lambda key, shape: [3, 4, 1] if key == "t:model/b.weight" else shape,
        lambda key, shape: [seated.MORE + 500] if key == "s:sum" else shape,
    ],
)
def test_a_layout_of_other_shapes_is_refused(change, off):
    liar = Liar(hospitals()).keys()
    liar.layout = [[key, change(key, shape), dtype] for key, shape, dtype in liar.layout]
    off(counted_parts)  # it would be noticed there too: nobody signed such parts
    with refused_as("malformed-order"):
        liar.shares([VICTIM])


def test_a_layout_far_beyond_what_the_site_was_asked_is_refused(off):
    """Zeros for parts of others are made in memory: the coordinator does not choose how many."""
    liar = Liar(hospitals()).keys()
    liar.layout = sorted([*liar.layout, ["s:more", [seated.MORE + 1], "float64"]])
    off(counted_parts)
    with refused_as("malformed-order"):
        liar.shares([VICTIM])


def test_a_site_under_two_names_is_refused(off):
    with refused_as("unsafe-sum"):
        lists_a_site_under_two_names(hospitals())
    off(signatures)  # its keys are looked at all the same
    with refused_as("unsafe-sum"):
        lists_a_site_under_two_names(hospitals())


def test_different_rosters_for_different_sites_do_not_fit_together():
    liar = Liar(hospitals()).keys()
    everybody = dict(liar.adverts)
    liar.adverts = {name: everybody[name] for name in liar.sites if name != "s04"}
    liar.shares(["s00", "s01"])
    sealed = liar.sealed
    liar.adverts = everybody
    liar.shares(["s02", "s03", "s04", VICTIM])
    liar.sealed |= sealed
    with refused_as("unsafe-sum"):
        liar.masked([VICTIM])


def test_what_a_site_refused_to_sign_it_does_not_open():
    """It asks for more sites that have a part than the others do, and these are enough to sign."""
    federation = Hospitals(updates_of(7))
    for name in ("s00", "s01", "s02", VICTIM):
        whole = federation.updates[name]
        federation.updates[name] = replace(whole, stats={**whole.stats, RARE: np.array([1.0])})
    federation.change(VICTIM, least=4)
    liar = Liar(federation).keys()
    liar.layout = liar.tables[VICTIM]["layout"]
    liar.shares().masked()
    alive = liar.sites[1:]
    signed = liar.agree(alive, [name for name in alive if name != VICTIM])
    for step in (lambda: liar.agree(alive, [VICTIM]), lambda: liar.unmask(signed, [VICTIM])):
        with refused_as("unsafe-sum"):
            step()


@pytest.mark.parametrize(
    "survivors",
    [
        ["s00", "s01", "s02", "s03", VICTIM, "s99"],  # nobody's
        ["s00", "s01", "s02", "s03", VICTIM, "s04"],  # who sent no shares, and so has no masks
    ],
)
def test_a_list_of_survivors_that_the_site_knows_to_be_false_is_not_signed(survivors):
    liar = Liar(hospitals()).keys().shares()
    del liar.sealed["s04"]
    with_shares = [name for name in liar.sites if name != "s04"]
    liar.masked(with_shares).agree(with_shares, ["s00"])
    with refused_as("unsafe-sum"):
        liar.agree(survivors, [VICTIM])


def test_a_site_that_sent_its_part_does_not_sign_that_it_is_lost():
    liar = Liar(hospitals()).keys().shares().masked()
    others = [name for name in liar.sites if name != VICTIM]
    assert liar.agree(others), "they are enough"
    with refused_as("unsafe-sum"):
        liar.agree(others, [VICTIM])


def test_shares_of_few_and_of_somebody_who_is_not_listed_are_refused():
    for change in (
        lambda box: {name: box[name] for name in ("s00", "s01")},
        lambda box: {**box, "s99": box["s00"]},
    ):
        liar = Liar(hospitals()).keys().shares()
        with refused_as("unsafe-sum"):
            liar.send("masked", VICTIM, {"sealed": change(liar.inbox(VICTIM)["sealed"])})


def test_who_is_lost_has_no_say_in_who_is_not():
    """A site that helps the coordinator signs a list that it is not on."""
    liar = Liar(hospitals()).keys().shares().masked()
    alive = liar.sites[1:]
    signed = liar.agree(alive)
    what = liar.roster().survivors_signed(liar.sites, alive)
    signed["s00"] = liar.hospitals.keys["s00"].sign(what).hex()
    with refused_as("unsafe-sum"):
        liar.unmask(signed, [VICTIM])


def test_the_same_over_other_sites_is_not_even_signed():
    liar = Liar(hospitals()).keys().shares().masked()
    liar.unmask(liar.agree(liar.sites))
    again = Liar(liar.hospitals).keys().shares().masked()
    others = [name for name in again.sites if name != "s00"]
    with refused_as("unsafe-sum"):
        again.agree(others, [VICTIM])


def test_what_was_summed_while_it_was_being_agreed_is_looked_at_again():
    """Another process of the site, which was moved or started twice, may have been quicker."""
    liar = Liar(hospitals()).keys().shares().masked()
    signed = liar.agree(liar.sites)
    liar.hospitals.summed[VICTIM] = "s00, s01, s02, s03"
    with refused_as("unsafe-sum"):
        liar.unmask(signed, [VICTIM])


def test_a_step_that_was_refused_is_not_tried_again():
    """What it takes from an order before it says no must not be built upon."""
    liar = Liar(hospitals()).keys().shares().masked()
    few = ["s00", "s01", VICTIM]
    for survivors in (few, liar.sites):
        with refused_as("unsafe-sum"):
            liar.agree(survivors, [VICTIM])
    liar = Liar(hospitals()).keys().shares()
    box, spoilt = liar.inbox(VICTIM), liar.inbox(VICTIM)
    spoilt["sealed"]["s00"] = "00" * keys.SEALED
    for each in (spoilt, box):
        with refused_as("unsafe-sum"):
            liar.send("masked", VICTIM, each)


def test_no_mask_is_ever_made_again(monkeypatch):
    """Over many conversations every stream has a key of its own; the two ends share each pair's."""
    made = []
    kept = Stream.__init__

    def noting(self, key, sign):
        made.append(key)
        kept(self, key, sign)

    monkeypatch.setattr(site, "Stream", type("Noted", (Stream,), {"__init__": noting}))
    federation = hospitals()
    for _ in range(3):
        federation.gather()
    keys_of_pairs, own = 3 * 6 * 5 // 2, 3 * 6
    assert len(made) == 2 * keys_of_pairs + own
    assert len(set(made)) == keys_of_pairs + own


def test_a_site_that_pinned_too_few_says_so_before_it_works():
    federation = hospitals()
    known = federation.seats[VICTIM].peers
    federation.change(VICTIM, peers={name: known[name] for name in ("s00", VICTIM)})
    federation.updates[VICTIM] = None
    with refused_as("unknown-peer"):
        federation.order(VICTIM, "keys-0123456789abcdef")


def test_a_study_may_insist_on_more_sites_than_its_hospitals():
    federation = Hospitals(updates_of(6), rule=SecureSum(least=6))
    liar = Liar(federation).keys()
    assert {table["fewest"] for table in liar.tables.values()} == {6}
    liar.adverts.pop("s00")
    with refused_as("unsafe-sum"):
        liar.shares([VICTIM])


def test_nobody_can_ask_for_a_sum_of_two():
    federation = Hospitals(updates_of(6, size=400), rule=SecureSum(least=1))
    for name in federation.seats:
        federation.change(name, least=1)
    with refused_as("unsafe-sum"):
        sums_over_two_sites(federation)


def test_a_site_may_insist_on_more_sites_than_the_study():
    federation = hospitals()
    federation.change(VICTIM, least=7)
    with refused_as("unknown-peer"):
        federation.order(VICTIM, "keys-0123456789abcdef")
    federation.change(VICTIM, least=6)
    liar = Liar(federation).keys()
    liar.adverts.pop("s00")
    with refused_as("unsafe-sum"):
        liar.shares([VICTIM])


@pytest.mark.parametrize(
    "phase", ["update", "keys", "keys-1", "masked-" + "g" * 16, "keys-" + 40 * "a"]
)
def test_unknown_phases_are_refused(phase):
    with refused_as("malformed-order"):
        hospitals().order(VICTIM, phase)


@pytest.mark.parametrize("step", STEPS[1:])
def test_no_step_can_be_left_out(step):
    with refused_as("unsafe-sum"):
        Liar(hospitals()).keys().send(step, VICTIM, {})


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"adverts": 3},
        {"adverts": {"s00": {}}},
        {"adverts": {}, "layout": [["x"]]},
        {"survivors": [[]]},
    ],
)
@pytest.mark.parametrize("step", STEPS)
def test_malformed_messages_are_refused_in_words(step, table):
    liar = Liar(hospitals()).keys()
    if step != "shares":
        liar.shares()
    if step in ("agree", "unmask"):
        liar.masked()
    if step == "unmask":
        liar.agree(liar.sites)
    with pytest.raises((Refused, WireError)):
        liar.hospitals.order(VICTIM, f"{step}-{liar.name}", message(table))
