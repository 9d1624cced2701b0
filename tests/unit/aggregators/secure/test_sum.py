"""The secure sum among honest sites: exact, whoever is lost in it, and true about its rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from unit.aggregators.secure.talking import Hospitals, rounded, updates_of

from medfed.aggregators.encrypted.ckks import Ckks
from medfed.aggregators.secure import masks
from medfed.aggregators.secure.coordinator import TooFew
from medfed.aggregators.secure.fixed_point import CHUNK, Narrow, Wide, step_of
from medfed.aggregators.secure.messages import message, table_of
from medfed.aggregators.secure.rules import threshold
from medfed.aggregators.secure.sum import SecureSum
from medfed.core.errors import Refused, RunError
from medfed.core.packing import pack_half
from medfed.core.update import Update

STEPS = ("keys", "shares", "masked", "agree", "unmask")


def check_sum(result, hospitals, sites):
    """Bit by bit the sum of the rounded parts; what is wide to float64's own precision."""
    rule, updates = hospitals.rule, hospitals.updates
    step = step_of(rule.bits, rule.reach, len(updates))
    for name in ("model/a", "model/b.weight"):
        units = sum(rounded(updates[site], name, len(updates), rule) for site in sites)
        np.testing.assert_array_equal(result.total.tensors[name], (units * step).astype(np.float32))
    for name in ("n", "sum"):
        plain = sum(updates[site].stats[name] for site in sites)
        np.testing.assert_allclose(result.total.stats[name], plain, rtol=1e-14, atol=1e-9)
        assert result.total.stats[name].dtype == plain.dtype
    assert result.total.weights["model"] == sum(updates[s].weights["model"] for s in sites)
    counts = sum(updates[site].tensors["buffers/n"] for site in sites)
    np.testing.assert_array_equal(result.total.tensors["buffers/n"], counts)


@st.composite
def losses(draw):
    """So many sites, and at which step each of as many as may be lost is lost."""
    sites = draw(st.integers(3, 20))
    lost = {}
    begun, who = sites, list(range(sites))
    for step in STEPS:
        at_most = begun - 3 if step == "keys" else len(who) - threshold(begun)
        for _ in range(draw(st.integers(0, min(max(at_most, 0), 3)))):
            lost.setdefault(step, set()).add(f"s{who.pop(draw(st.integers(0, len(who) - 1))):02}")
        begun = len(who) if step == "keys" else begun
    return sites, lost


@settings(max_examples=12)
@given(losses(), st.sampled_from([32, 64]), st.integers(0, 2**32 - 1))
def test_it_is_the_sum_of_the_rounded_parts_whoever_is_lost(case, bits, seed):
    count, lost = case
    hospitals = Hospitals(updates_of(count, size=7, seed=seed), SecureSum(bits=bits), lost)
    result = hospitals.gather()
    gone = lost.get("keys", set()) | lost.get("shares", set()) | lost.get("masked", set())
    sites = [site for site in hospitals.updates if site not in gone]
    assert result.participants == tuple(sites)
    check_sum(result, hospitals, sites)
    assert set(hospitals.missing.values()) <= {"silent"}


def test_chunks_do_not_show():
    hospitals = Hospitals(updates_of(3, size=2 * CHUNK + 17))
    check_sum(hospitals.gather(), hospitals, hospitals.updates)


def test_nothing_of_a_single_site_comes_out():
    result = Hospitals(updates_of(4)).gather()
    assert not result.by_site
    assert not SecureSum.sees_sites


@settings(max_examples=10)
@given(st.integers(3, 8), st.sampled_from([32, 64]), st.integers(0, 2**32 - 1))
def test_the_rounding_it_reports_holds(count, bits, seed):
    hospitals = Hospitals(updates_of(count, seed=seed), SecureSum(bits=bits))
    result = hospitals.gather()
    weight = sum(u.weights["model"] for u in hospitals.updates.values())
    exact = sum(u.tensors["model/a"].astype(np.float64) for u in hospitals.updates.values())
    mean = result.total.tensors["model/a"].astype(np.float64) / weight
    apart = np.abs(mean - exact / weight).max()
    last_bit = np.spacing(np.abs(result.total.tensors["model/a"]).max()) / weight
    assert apart <= result.notes["rounding"] + last_bit
    assert result.notes["clipped"] == 0


def test_what_is_beyond_reach_is_clipped_and_counted():
    updates = updates_of(3)
    updates["s01"].tensors["model/a"][:4] = [1e6, -1e6, 5e5, 100.0]
    hospitals = Hospitals(updates, SecureSum(reach=1000.0))
    result = hospitals.gather()
    check_sum(result, hospitals, updates)
    assert result.notes["clipped"] == 3


@pytest.mark.parametrize("sites", [3, 7, 20, 256])
@pytest.mark.parametrize("bits", [32, 64])
def test_the_modulus_holds_the_largest_sum(sites, bits):
    codec = Narrow(bits, 1000.0, sites)
    for value in (1000.0, -1000.0, 1e9):
        words = np.zeros(1, codec.word)
        codec.encode(lambda scale, out, v=value: out.fill(scale * v), words, np.empty(1))
        total = np.zeros(1, codec.word)
        for _ in range(sites):
            total += words
        out = np.empty(1)
        codec.decode(total, out)
        assert out[0] == pytest.approx(np.clip(value, -1000, 1000) * sites, rel=1e-6)


def test_more_sites_than_the_words_hold_are_refused():
    with pytest.raises(ValueError, match="257"):
        step_of(32, 1.0, 257)


@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=30))
def test_wide_numbers_keep_their_digits(values):
    codec, total = Wide(), np.zeros(2, np.uint64)
    for value in values:
        words = np.empty(2, np.uint64)
        codec.encode(lambda scale, out, v=value: out.fill(scale * v), words, np.empty(1))
        total += words
    out = np.empty(1)
    codec.decode(total, out)
    exact = sum(int(v * 2**40) if abs(v) >= 2**12 else round(v * 2**40) for v in values) / 2**40
    assert out[0] == pytest.approx(exact, rel=1e-15, abs=len(values) * 2.0**-40)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["model/a", "sum"])
def test_what_is_not_finite_never_leaves(value, where):
    updates = updates_of(4)
    u = updates["s02"]
    (u.tensors if where == "model/a" else u.stats)[where][1] = value
    hospitals = Hospitals(updates)
    result = hospitals.gather()
    assert hospitals.missing == {"s02": "not-finite"}
    check_sum(result, hospitals, ["s00", "s01", "s03"])


RED, BLUE = '["colour", "red"]', '["colour", "blue"]'


def colourful(count, **who):
    """Hospitals that have, beside the usual, a count of each colour at some sites."""
    updates = updates_of(count)
    for colour, sites in who.items():
        for site in sites:
            updates[site].stats[f'["colour", "{colour}"]'] = np.array([3.0])
    return updates


@pytest.mark.parametrize("rule", [SecureSum, Ckks])
def test_a_statistic_that_some_lack_is_zero_there_and_one_that_few_have_is_not_summed(rule):
    updates = colourful(5, red=("s00", "s02", "s04"), blue=("s01", "s03"))
    if rule is Ckks:
        pytest.importorskip("tenseal", reason="the extra he is not installed")
    hospitals = Hospitals(updates, rule())
    result = hospitals.gather()
    assert result.participants == tuple(updates)
    assert result.total.stats[RED] == pytest.approx([9.0], abs=1e-4)
    assert BLUE not in result.total.stats


def test_a_site_that_wants_more_sites_in_a_sum_wants_more_for_each_part():
    hospitals = Hospitals(colourful(5, red=("s00", "s02", "s04")))
    hospitals.change("s01", least=4)
    result = hospitals.gather()
    assert result.participants == tuple(hospitals.updates)
    assert RED not in result.total.stats


def test_a_part_that_too_few_survivors_have_is_dropped_in_another_conversation():
    updates = colourful(6, red=("s00", "s02", "s04"))
    hospitals = Hospitals(updates, lost={"masked": {"s04"}})
    result = hospitals.gather()
    assert result.participants == ("s00", "s01", "s02", "s03", "s05")
    assert RED not in result.total.stats
    check_sum_of(result, updates)


def check_sum_of(result, updates):
    wanted = sum(updates[site].weights["model"] for site in result.participants)
    assert result.total.weights["model"] == wanted


def test_a_site_of_another_shape_is_left_out():
    updates = updates_of(4)
    updates["s03"].stats["sum"] = np.ones(9)
    hospitals = Hospitals(updates)
    result = hospitals.gather()
    assert result.participants == ("s00", "s01", "s02")


def test_packed_tensors_are_unpacked_before_they_are_summed():
    updates = {
        name: Update(
            {k: v for n, a in u.tensors.items() for k, v in pack_half(n, a).items()}, u.weights
        )
        for name, u in updates_of(3).items()
    }
    assert "model/a" in Hospitals(updates).gather().total.tensors


def test_queries_without_tensors_are_summed_too():
    updates = {name: Update(stats={"n": np.array(2)}) for name in "abc"}
    result = Hospitals(updates).gather()
    assert int(result.total.stats["n"]) == 6
    assert result.notes == {"clipped": 0}


def test_too_many_losses_begin_a_conversation_of_fewer_under_fresh_keys():
    hospitals = Hospitals(updates_of(6), lost={"masked": {"s00", "s01"}})
    result = hospitals.gather()
    assert result.participants == ("s02", "s03", "s04", "s05")
    check_sum(result, hospitals, result.participants)
    adverts = [table_of(reply)["advert"] for step, site, reply in hospitals.said if step == "keys"]
    assert len({a["mask"] for a in adverts}) == len(adverts) == 10


def test_of_three_sites_none_may_be_lost():
    with pytest.raises(TooFew, match="2 of 3"):
        Hospitals(updates_of(3), lost={"masked": {"s00"}}).gather()


def test_a_site_that_sends_wrong_shares_is_found_out():
    hospitals = Hospitals(updates_of(3))
    honest = hospitals.order

    def order(site, phase, received=None):
        reply = honest(site, phase, received)
        if site != "s01" or not phase.startswith("unmask"):
            return reply
        table = table_of(reply)
        return message({**table, "selves": dict.fromkeys(table["selves"], "00" * 16)})

    hospitals.order = order
    with pytest.raises(RunError, match="wrong share"):
        hospitals.gather()


def test_one_wrong_share_among_more_than_enough_is_got_over():
    """Of nine sites seven are enough: another window of shares gives the seed back."""
    hospitals = Hospitals(updates_of(9, size=3))
    honest = hospitals.order

    def order(site, phase, received=None):
        reply = honest(site, phase, received)
        if site != "s00" or not phase.startswith("unmask"):
            return reply
        table = table_of(reply)
        return message({**table, "selves": dict.fromkeys(table["selves"], "00" * 16)})

    hospitals.order = order
    check_sum(hospitals.gather(), hospitals, hospitals.updates)


# --- what the coordinator sees of one site --------------------------------------------------------


def words_of(hospitals, site):
    replies = [reply for step, who, reply in hospitals.said if (step, who) == ("masked", site)]
    return replies[0].tensors["secure/narrow"].view(np.uint8)


def bytes_look_random(raw):
    return chisquare(np.bincount(raw, minlength=256)).pvalue > 1e-6


@pytest.mark.parametrize("value", [0.0, 1.5, -100.0])
def test_what_one_site_sends_looks_like_noise(value):
    updates = updates_of(4, size=40_000)
    updates["s01"].tensors["model/a"][:] = value
    hospitals = Hospitals(updates)
    hospitals.gather()
    seen = words_of(hospitals, "s01")
    assert bytes_look_random(seen)
    lag = np.corrcoef(seen[:-4].astype(float), seen[4:])[0, 1]
    assert abs(lag) < 0.015


def test_without_masks_it_would_be_seen_at_once(monkeypatch):
    monkeypatch.setattr(masks.Reader, "onto", lambda *_: None)
    hospitals = Hospitals(updates_of(4, size=40_000))
    hospitals.gather()
    assert not bytes_look_random(words_of(hospitals, "s01"))


def test_the_same_update_twice_looks_like_two():
    hospitals = Hospitals(updates_of(3, size=4000))
    hospitals.gather()
    first = words_of(hospitals, "s01")
    hospitals.said.clear()
    hospitals.gather()
    assert bytes_look_random(first - words_of(hospitals, "s01"))


def test_weights_and_figures_are_masked_too():
    hospitals = Hospitals(updates_of(3))
    hospitals.gather()
    for _, _, reply in hospitals.said:
        assert not reply.stats
        assert reply.weights == {"secure": 1.0}
        assert {name.partition("/")[0] for name in reply.tensors} == {"secure"}


def test_without_a_seat_nobody_answers():
    with pytest.raises(Refused):
        SecureSum().answer("keys-0123456789abcdef", Update(), Update, {})
