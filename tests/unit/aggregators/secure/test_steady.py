"""Rounds that go on from one another: three exchanges, the same sums, and nothing given away."""

from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.aggregators.secure.talking import Hospitals, Liar, rounded, updates_of
from unit.aggregators.secure.test_attacks import (
    CUTS,
    found_out,
    learnt,
    sealing,
    seed_from,
    signatures,
    steps_in_order,
    streams_off,
)
from unit.aggregators.secure.test_sum import bytes_look_random, check_sum

from medfed.aggregators.secure import keys, rules, seated, site
from medfed.aggregators.secure.ahead import Ahead
from medfed.aggregators.secure.coordinator import Conversation, TooFew
from medfed.aggregators.secure.masks import Stream
from medfed.aggregators.secure.messages import message, table_of
from medfed.aggregators.secure.rules import threshold
from medfed.core.errors import Refused
from medfed.core.update import Update

VICTIM = "s05"
FULL = ("keys", "shares", "masked", "agree", "unmask")
STEADY = ("next", "agree", "unmask")


class Run:
    """Rounds of one run, each over updates of its own."""

    def __init__(self, count, size=7):
        self.count, self.size = count, size
        self.hospitals = Hospitals(updates_of(count, size=size))
        self.drawer = {}
        self.rounds = 0

    def round(self, lost=(), restarted=(), updates=None):
        """One round; its result and the steps it took."""
        self.rounds += 1
        hospitals = self.hospitals
        hospitals.updates = updates or updates_of(self.count, size=self.size, seed=self.rounds)
        hospitals.lost = {step: set(sites) for step, sites in dict(lost).items()}
        hospitals.missing, hospitals.said = {}, []
        hospitals.summed = dict.fromkeys(hospitals.summed, "")
        for name in hospitals.seats:
            hospitals.change(name, session=bytes([self.rounds]) * 32)
        for name in restarted:
            hospitals.seats[name].drawer.clear()
        sites = list(hospitals.updates)
        result = hospitals.rule.gather_on(hospitals.ask, sites, self.drawer)
        check_sum(result, hospitals, result.participants)
        return result, tuple(dict.fromkeys(step for step, _, _ in hospitals.said))


def test_after_the_first_a_round_takes_three_exchanges():
    run = Run(5)
    assert [run.round()[1] for _ in range(4)] == [FULL, STEADY, STEADY, STEADY]


@st.composite
def histories(draw):
    """So many sites, and for some rounds who is lost at which step, as many as may be."""
    sites = draw(st.integers(3, 7))
    rounds = []
    for _ in range(draw(st.integers(2, 4))):
        left, lost = [f"s{i:02}" for i in range(sites)], {}
        for _ in range(draw(st.integers(0, sites - threshold(sites)))):
            step = draw(st.sampled_from(["masked", "next", "agree", "unmask"]))
            lost.setdefault(step, set()).add(left.pop(draw(st.integers(0, len(left) - 1))))
        rounds.append(lost)
    return sites, rounds


@settings(max_examples=8)
@given(histories())
def test_sums_are_exact_whoever_is_lost_in_whichever_round(history):
    count, rounds = history
    run, whole = Run(count), False
    for lost in rounds:
        result, steps = run.round(lost)
        assert steps == (STEADY if whole else FULL)
        gone = lost.get("next" if whole else "masked", set())
        assert set(result.participants) == set(run.hospitals.updates) - gone
        silent = {"masked"} if whole else {"next"}
        whole = not any(sites for step, sites in lost.items() if step not in silent)


def test_a_site_that_was_restarted_costs_a_beginning_and_no_round():
    run = Run(4)
    run.round()
    result, steps = run.round(restarted=["s02"])
    assert steps == ("next", *FULL)
    assert result.participants == tuple(run.hospitals.updates)
    assert run.round()[1] == STEADY


def test_a_coordinator_that_was_restarted_begins_with_keys():
    run = Run(4)
    run.round()
    run.drawer.clear()
    assert run.round()[1] == FULL
    assert run.round()[1] == STEADY


def test_other_sites_begin_with_keys():
    run = Run(5)
    run.round()
    hospitals = run.hospitals
    fewer = list(hospitals.updates)[:4]
    hospitals.missing, hospitals.said = {"s04": "not drawn"}, []
    hospitals.summed = dict.fromkeys(hospitals.summed, "")
    hospitals.rule.gather_on(hospitals.ask, fewer, run.drawer)
    assert hospitals.said[0][0] == "keys"


def test_a_site_with_other_things_to_add_makes_rounds_begin_with_keys_from_then_on():
    run = Run(4)
    run.round()
    updates = updates_of(4)
    for update in updates.values():
        update.stats["more"] = np.array(3.0)
    result, steps = run.round(updates=updates)
    assert steps == ("next", *FULL)
    assert result.total.stats["more"] == 12.0
    assert run.round()[1] == FULL


def test_too_many_losses_begin_a_conversation_of_fewer():
    run = Run(6)
    run.round()
    result, steps = run.round(lost={"next": {"s00", "s01"}})
    assert result.participants == ("s02", "s03", "s04", "s05")
    assert steps == ("next", *FULL)


def test_of_three_none_may_be_lost():
    run = Run(3)
    run.round()
    with pytest.raises(TooFew, match="2 of 3"):
        run.round(lost={"next": {"s00"}})


def no_key(table):
    table["advert"]["mask"] = "00" * 32


def much_to_relay(table):
    table["advert"]["parts"] += ["0" * 32] * 1000


def long_marks(table):
    table["advert"]["parts"][0] *= 1000


def long_shares(table):
    table["sealed"]["s00"] *= 1000


SPOILT = {no_key: "masked", much_to_relay: "masked", long_marks: "masked", long_shares: "agree"}


@pytest.mark.parametrize("harm", SPOILT, ids=lambda harm: harm.__name__)
def test_a_site_that_spoils_what_is_ahead_spoils_nothing_of_this_round(harm):
    run = Run(4)
    honest = run.hospitals.order

    def order(name, phase, received=None):
        assert received is None or len(received.tensors["secure/message"]) < 20_000
        reply = honest(name, phase, received)
        if name != "s01" or not phase.startswith(SPOILT[harm]):
            return reply
        table = table_of(reply)
        harm(table)
        arrays = {k.partition("/")[2]: v for k, v in reply.tensors.items() if "message" not in k}
        return message(table, arrays)

    run.hospitals.order = order
    assert run.round()[1] == FULL
    assert run.round()[1] == FULL


def test_no_mask_is_made_twice_and_what_is_sent_looks_like_noise(monkeypatch):
    made = []
    kept = Stream.__init__

    def noting(self, key, sign):
        made.append(key)
        kept(self, key, sign)

    monkeypatch.setattr(site, "Stream", type("Noted", (Stream,), {"__init__": noting}))
    run = Run(4, size=40_000)
    seen = []
    for _ in range(3):
        run.round(updates=updates_of(4, size=40_000))
        parts = [r for step, who, r in run.hospitals.said if step in ("masked", "next")]
        seen.append(parts[0].tensors["secure/narrow"].view(np.uint8))
    assert set(Counter(made).values()) == {1, 2}  # a site's own, and those of pairs
    assert len(set(made)) == 3 * (4 + 4 * 3 // 2)
    assert all(map(bytes_look_random, [*seen, seen[0] - seen[1], seen[1] - seen[2]]))


def test_never_both_shares_of_one_secret_pair():
    """Over rounds with losses, of each site's keys one kind of share is given away or the other."""
    run = Run(6)
    given = {}
    for lost in ({}, {"next": {"s03"}}, {}, {"next": {"s03"}}, {}, {}):
        run.round(lost)
        adverts = {}
        for step, who, reply in run.hospitals.said:
            if step == "unmask":
                table = table_of(reply)
                assert not set(table["masks"]) & set(table["selves"])
                for which in ("masks", "selves"):
                    for whose, share in table[which].items():
                        given.setdefault((who, whose), []).append(share)
            adverts.setdefault(step, []).append(who)
    for shares in given.values():
        assert len(set(shares)) == len(shares)  # each of other secrets than the one before


# --- a coordinator that lies ----------------------------------------------------------------------


class Ahead6(Liar):
    """A liar in a round whose successor is agreed on the way."""

    def agree_ahead(self, adverts=None, sites=None):
        """Survivors are all; for each site the list of the next round's keys it is told."""
        if adverts is None:
            adverts = self.upcoming
        table = {"survivors": self.sites, "adverts": adverts}
        found = self.tell("agree", table, sites)
        self.signed = {who: one["signature"] for who, one in found.items()}
        self.ahead = {**getattr(self, "ahead", {}), **{w: o["sealed"] for w, o in found.items()}}
        return self

    def part(self):
        """The masked parts, with the keys of the round after."""
        tables = {who: table_of(reply) for who, reply in self.parts.items()}
        self.upcoming = {who: table["advert"] for who, table in tables.items()}
        return self

    def ahead_for(self, who):
        return {by: box[who] for by, box in self.ahead.items() if by != who}

    def finish(self, sites=None):
        """Everybody opens, and gets the shares of the round after."""
        signed = dict(self.signed)
        self.opened = {
            who: table_of(
                self.send("unmask", who, {"signatures": signed, "sealed": self.ahead_for(who)})
            )
            for who in sites or self.sites
        }
        return self

    def roster_ahead(self, adverts=None):
        now = self.now
        adverts = {w: rules.Advert.from_json(o) for w, o in (adverts or self.upcoming).items()}
        return rules.Roster(now.next_root, now.terms, now.layout, adverts)

    def onwards(self, adverts=None):
        """The liar in the next round."""
        found = Ahead6(self.hospitals, self.now.next_root.hex()[:16])
        found.before = self.roster_ahead(adverts)
        self.hospitals.summed = dict.fromkeys(self.hospitals.summed, "")
        return found

    def go_next(self, sites=None):
        self.parts = {
            who: self.hospitals.order(who, f"next-{self.name}") for who in sites or self.sites
        }
        tables = {who: table_of(part) for who, part in self.parts.items()}
        session = tables[next(iter(tables))].get("session")
        if session:
            self.now = self.before.over(bytes.fromhex(session))
            self.part()
        return self


def begun():
    """Six hospitals, and a liar who has their masked parts of the first round."""
    hospitals = Hospitals(updates_of(6, size=400))
    liar = Ahead6(hospitals).keys().shares().masked()
    liar.now = liar.roster()
    return liar.part()


def second():
    """A liar at the beginning of the second round."""
    return begun().agree_ahead().finish().onwards()


def same_sites(patch):
    """Off: any sites may be agreed upon for the next round."""
    patch.setattr(site.SecureSite, "_check_same", lambda self, talk, listed: None)


def bound_models(patch):
    """Off: masks and signatures are not bound to what is asked in the round."""
    patch.setattr(rules.Roster, "over", lambda self, session: self)


def bound_adverts(patch):
    """Off: keys are signed for no round in particular."""
    kept = rules.Advert.signed
    patch.setattr(rules.Advert, "signed", lambda self, session, name: kept(self, b"", name))
    patch.setattr(seated.SeatedSite, "_check_parts", lambda *given: None)


def pinned_still(patch):
    """Off: who was pinned when keys were agreed on does not matter."""
    patch.setattr(site.SecureSite, "_known", lambda self, talk: [])


def replays_shares_of_an_earlier_round():
    """Shares agreed ahead in the first round, delivered again in the second."""
    first = begun().agree_ahead().finish()
    later = first.onwards().go_next().agree_ahead()
    later.ahead = first.ahead
    return bool(later.finish([VICTIM]))


def replays_keys_of_an_earlier_round():
    """Another site's keys of the first round, listed for the third."""
    first = begun()
    later = first.agree_ahead().finish().onwards().go_next()
    listed = {**later.upcoming, "s00": first.upcoming["s00"]}
    return bool(later.agree_ahead(listed, [VICTIM]))


def swaps_keys_ahead():
    """All other sites' next keys are the coordinator's own: it can take the victim's masks off."""
    liar = begun()
    roster, seeds, listed = liar.now, {}, dict(liar.upcoming)
    for name in liar.sites:
        if name != VICTIM:
            seeds[name] = [keys.new_seed() for _ in range(3)]
            seal, mask, own = seeds[name]
            named = tuple(rules.marks(roster.next_root, roster.layout).values())
            public = keys.public_bytes(seal), keys.public_bytes(mask), keys.commitment(own)
            advert = rules.Advert(*public, named)
            signature = Ed25519PrivateKey.generate().sign(advert.signed(roster.next_root, name))
            listed[name] = rules.Advert(*public, named, signature).to_json()
    liar.agree_ahead(sites=[s for s in liar.sites if s != VICTIM])
    signed = dict(liar.signed)
    liar.agree_ahead(listed, [VICTIM])
    liar.signed |= signed
    ahead, shares, box = liar.roster_ahead(listed), [], {}
    for name, (seal, _, _) in seeds.items():
        secret = keys.shared(seal, bytes.fromhex(liar.upcoming[VICTIM]["seal"]))
        sealed = bytes.fromhex(liar.ahead[VICTIM][name])
        key, bound = ahead.share_key(secret, VICTIM, name), ahead.bound(VICTIM, name)
        shares.append((ahead.sites.index(name), keys.open_shares(key, sealed, bound)))
        key, bound = ahead.share_key(secret, name, VICTIM), ahead.bound(name, VICTIM)
        box[name] = keys.seal_shares(key, bytes(32), bound).hex()
    liar.send("unmask", VICTIM, {"signatures": liar.signed, "sealed": box})
    later = liar.onwards(listed).go_next([VICTIM])
    enough = shares[: ahead.threshold]
    mask, own = (keys.join([(i, both[cut]) for i, both in enough]) for cut in CUTS)
    streams = streams_off(later.now, VICTIM, mask, own, later.sites)
    return found_out(liar.hospitals, learnt(later.now, later.parts[VICTIM], streams))


def leaves_a_site_out_of_the_next_round():
    """Fewer sites than in this round are agreed upon."""
    liar = begun()
    return bool(liar.agree_ahead({w: o for w, o in liar.upcoming.items() if w != "s00"}, [VICTIM]))


def agrees_ahead_though_one_is_called_dead():
    liar = begun()
    alive = [w for w in liar.sites if w != "s00"]
    table = {"survivors": alive, "adverts": {w: liar.upcoming[w] for w in alive}}
    return bool(liar.tell("agree", table, [VICTIM]))


def sends_the_victim_a_model_of_its_own():
    """The others' model is one that moves nothing: the sum is the victim's update."""
    later = second()
    hospitals = later.hospitals
    for name in later.sites:
        if name != VICTIM:
            whole = hospitals.updates[name]
            zero = {k: np.zeros_like(v) for k, v in whole.tensors.items()}
            hospitals.updates[name] = Update(zero, whole.weights, whole.stats)
            hospitals.change(name, session=b"\2" * 32)
    later.go_next()
    signed = later.agree(later.sites)
    opened = later.unmask(signed)
    roster = later.now
    streams = [
        Stream(roster.self_key(seed_from(roster, opened, "selves", name), name), -1)
        for name in later.sites
    ]
    words = later.parts[VICTIM].tensors["secure/narrow"].copy()
    for name in later.sites:
        if name != VICTIM:
            words += later.parts[name].tensors["secure/narrow"]
    total = message({}, {"narrow": words})
    got = learnt(roster, total, streams)
    wanted = rounded(hospitals.updates[VICTIM], "model/a", len(later.sites))
    return bool(np.array_equal(got, wanted))


def has_the_next_part_twice():
    """Two masked parts of one round: their difference is that of two updates."""
    later = second().go_next()
    once = later.parts[VICTIM].tensors["secure/narrow"].copy()
    later.hospitals.updates = updates_of(6, size=400, seed=9)
    again = later.go_next([VICTIM]).parts[VICTIM].tensors["secure/narrow"]
    return not bytes_look_random((once - again).view(np.uint8))


ATTACKS = {
    replays_shares_of_an_earlier_round: ((sealing,), "unsafe-sum"),
    replays_keys_of_an_earlier_round: ((bound_adverts,), "unsafe-sum"),
    swaps_keys_ahead: ((signatures,), "unsafe-sum"),
    leaves_a_site_out_of_the_next_round: ((same_sites,), "unsafe-sum"),
    agrees_ahead_though_one_is_called_dead: ((same_sites,), "unsafe-sum"),
    sends_the_victim_a_model_of_its_own: ((bound_models,), "unsafe-sum"),
    has_the_next_part_twice: ((steps_in_order,), "unsafe-sum"),
}


@contextmanager
def refused_as(name):
    with pytest.raises(Refused) as no:
        yield
    assert no.value.name == name


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_sites_say_no(attack):
    with refused_as(ATTACKS[attack][1]):
        attack()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_without_the_defence_the_attack_succeeds(attack, monkeypatch):
    for defence in ATTACKS[attack][0]:
        defence(monkeypatch)
    assert attack()


def test_different_lists_for_different_sites_do_not_fit_together():
    """Each hears of other keys of one site; the shares that the others sealed do not open."""
    liar = begun()
    other = Ahead6(Hospitals(updates_of(6, size=400)))
    assert other.sites == liar.sites
    changed = {**liar.upcoming}
    del changed["s00"]
    with pytest.MonkeyPatch.context() as patch:
        same_sites(patch)
        liar.agree_ahead(changed, ["s01", "s02"])
        signed = liar.signed
        liar.agree_ahead(sites=["s00", "s03", "s04", VICTIM])
        liar.signed |= signed
    with refused_as("unsafe-sum"):
        liar.finish([VICTIM])


def test_a_round_is_opened_no_more_once_the_next_one_is_agreed_on():
    first = begun().agree_ahead().finish()
    with refused_as("lost-conversation"):
        first.unmask(first.signed, [VICTIM])
    later = first.onwards().go_next()
    dead = [name for name in later.sites if name != VICTIM]
    later.agree(later.sites)
    with refused_as("unsafe-sum"):
        later.agree(dead)


def test_nothing_is_worked_on_before_the_round_before_is_over():
    liar = begun().agree_ahead()
    liar.hospitals.updates = None  # working on it would fail
    reply = liar.hospitals.order(VICTIM, f"next-{liar.now.next_root.hex()[:16]}")
    assert table_of(reply) == {"anew": "lost"}


def spoilt(hospitals):
    """Its part cannot be masked."""
    hospitals.updates[VICTIM].tensors["model/a"][0] = np.nan


def untrained(hospitals):
    """Its work fails, before the conversation is bound to a model."""

    def work(name):
        raise Refused("not-finite")

    hospitals._work = work


@pytest.mark.parametrize("harm", [spoilt, untrained])
def test_a_site_that_sent_no_part_does_not_sign_that_it_is_in_the_sum(harm):
    later = second()
    harm(later.hospitals)
    with refused_as("not-finite"):
        later.go_next([VICTIM])
    with refused_as("unsafe-sum"):
        later.agree(later.sites, [VICTIM])


def test_another_key_pinned_in_between_begins_anew(monkeypatch):
    later = second()
    peers = later.hospitals.seats[VICTIM].peers
    fresh = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    later.hospitals.change(VICTIM, peers={**peers, "s00": fresh})
    later.go_next([VICTIM])
    assert table_of(later.parts[VICTIM]) == {"anew": "lost"}
    pinned_still(monkeypatch)
    later = second()
    later.hospitals.change(VICTIM, peers={**peers, "s00": fresh})
    later.go_next([VICTIM])
    assert "secure/narrow" in later.parts[VICTIM].tensors


def test_a_site_that_insists_on_more_sites_meanwhile_says_no():
    later = second()
    later.hospitals.change(VICTIM, least=7)
    with refused_as("unsafe-sum"):
        later.go_next([VICTIM])


def test_conversations_of_their_own_agree_on_nothing_ahead():
    hospitals = Hospitals(updates_of(4))
    Conversation(hospitals.ask).hold()
    assert all(not hospitals.seats[name].drawer for name in hospitals.seats)
    drawer = {}
    hospitals.summed = dict.fromkeys(hospitals.summed, "")
    Conversation(hospitals.ask, Ahead(drawer)).hold()
    assert drawer
    assert all(hospitals.seats[name].drawer for name in hospitals.seats)
