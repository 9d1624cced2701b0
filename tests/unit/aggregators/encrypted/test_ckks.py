"""The encrypted sum: right to what it says, and whose key is whose business."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from unit.aggregators.secure.talking import Hospitals, Liar, updates_of

pytest.importorskip("tenseal", reason="the extra he is not installed")

import tenseal

from medfed.aggregators.encrypted import context as ckks
from medfed.aggregators.encrypted import coordinator, site
from medfed.aggregators.encrypted.ckks import Ckks
from medfed.aggregators.encrypted.ckks_scheme import CkksScheme, Numbers, encrypted
from medfed.aggregators.encrypted.pieces import packed, unpacked
from medfed.aggregators.secure.messages import message
from medfed.aggregators.secure.seated import SeatedSite
from medfed.core.errors import QuorumError, Refused, RunError


def hospitals(count=3, size=30, **how):
    return Hospitals(updates_of(count, size=size), Ckks(), **how)


def test_it_is_the_plain_sum_within_the_error_it_tells():
    federation = hospitals(4, size=ckks.SLOTS + 50)
    result = federation.gather()
    updates = list(federation.updates.values())
    weight = sum(u.weights["model"] for u in updates)
    for name, value in result.total.tensors.items():
        plain = sum(u.tensors[name].astype(np.float64) for u in updates)
        room = ckks.ERROR + np.spacing(np.abs(plain).max().astype(np.float32))
        assert np.abs(value - plain).max() <= room
    assert result.total.weights["model"] == pytest.approx(weight, abs=ckks.ERROR)
    assert result.notes["rounding"] == pytest.approx(ckks.ERROR / weight)
    whole = sum(int(u.stats["n"]) for u in updates)
    assert int(result.total.stats["n"]) == whole
    assert result.participants == tuple(federation.updates)
    assert not result.by_site


def through(context, values):
    return ckks.decrypt(context, ckks.encrypt(context, ckks.pieces_of(values), 1), values.size)


@pytest.mark.parametrize("large", [1e9, 1e12, 2.0**52])
def test_large_statistics_blur_neither_the_model_nor_the_weights(large):
    federation = hospitals(4)
    for place, update in enumerate(federation.updates.values()):
        update.stats["sum"][:] = [large, -large, (-1) ** place * large]
    result = federation.gather()
    updates = list(federation.updates.values())
    for name in ("model/a", "model/b.weight"):
        plain = sum(u.tensors[name].astype(np.float64) for u in updates)
        room = ckks.ERROR + np.spacing(np.abs(plain).max().astype(np.float32))
        assert np.abs(result.total.tensors[name] - plain).max() <= room
    weight = sum(u.weights["model"] for u in updates)
    assert result.total.weights["model"] == pytest.approx(weight, abs=ckks.ERROR)
    plain = sum(u.stats["sum"] for u in updates)
    room = ckks.ERROR + 2 * len(updates) * ckks.RELATIVE * large
    assert np.abs(result.total.stats["sum"] - plain).max() <= room


def test_ckks_is_good_to_what_is_said_of_it(monkeypatch):
    """Beside ever larger numbers, in the same ciphertext; the noise is left off."""
    monkeypatch.setattr(ckks, "gaussian", np.zeros)
    context, rng = ckks.make(), np.random.default_rng(0)
    for largest in (ckks.NARROW, 2.0**35, ckks.LARGEST):
        for values in (rng.uniform(-largest, largest, ckks.SLOTS), np.full(ckks.SLOTS, largest)):
            found = through(context, values)
            assert np.abs(found - values).max() <= 2 * ckks.RELATIVE * largest
    assert 2 * 256 * ckks.RELATIVE * ckks.NARROW <= 2 * ckks.NOISE


def test_a_model_beyond_what_the_error_holds_for_never_leaves():
    federation = hospitals(4)
    federation.updates["s01"].tensors["model/a"][0] = 2 * ckks.NARROW
    federation.gather()
    assert federation.missing == {"s01": "not-finite"}


@pytest.mark.parametrize("step", ["keys", "context", "encrypt"])
@pytest.mark.parametrize("who", ["s00", "s03"])
def test_a_lost_site_is_not_in_the_sum(step, who):
    """s00 deals the key: without it the conversation begins again."""
    federation = hospitals(4, lost={step: {who}})
    result = federation.gather()
    assert result.participants == tuple(sorted(set(federation.updates) - {who}))


def test_two_sites_hide_nothing():
    with pytest.raises(QuorumError):
        hospitals(3, lost={"encrypt": {"s01"}}).gather()


# --- who can read what ----------------------------------------------------------------------------


def seen(federation):
    """All arrays that the coordinator gets or relays."""
    return [array for _, _, reply in federation.said for array in reply.tensors.values()]


def test_the_coordinator_never_sees_a_key():
    federation = hospitals()
    federation.gather()
    for array in seen(federation):
        try:
            found = tenseal.context_from(array.tobytes())
        except (ValueError, RuntimeError):
            continue
        assert not found.is_private()
    public = ckks.opened(ckks.without_keys(ckks.make()), secret=False)
    with pytest.raises((ValueError, RuntimeError)):
        tenseal.ckks_vector(public, [1.0])  # it cannot even encrypt


def test_a_context_with_the_key_in_it_is_not_taken_by_the_coordinator():
    with pytest.raises(Refused, match="holds the secret key"):
        ckks.opened(ckks.with_key(ckks.make()), secret=False)


def test_what_the_words_warn_of_is_true():
    """One site's key and what the coordinator has: another site's update."""
    federation = hospitals()
    kept = {}
    honest = federation.order

    def order(who, phase, received=None):
        if phase.startswith("open"):
            kept.setdefault("key", federation.seats["s02"].drawer[site.DRAWER].context)
        reply = honest(who, phase, received)
        if phase.startswith("encrypt") and who == "s01":
            kept["part"] = reply
        return reply

    federation.order = order
    federation.gather()
    count = 30 + 12 + 1 + 2 + 4 + 1
    values = ckks.decrypt(kept["key"], unpacked(kept["part"]), count)
    wanted = federation.updates["s01"].tensors["model/a"]
    np.testing.assert_allclose(values[:30], wanted, atol=1e-4)
    assert "one site together with the coordinator" in " ".join(Ckks().protection(3, 3))


def test_keys_are_fresh_in_every_round():
    federation = hospitals()
    federation.gather()
    federation.gather()
    sealed = [
        r.tensors["secure/context"].tobytes()
        for s, w, r in federation.said
        if s == "context" and w == "s00"
    ]
    assert len(set(sealed)) == len(sealed) == 2


# --- contexts and ciphertexts of others -----------------------------------------------------------


SYMMETRIC, BY_A_PUBLIC_KEY = tenseal.ENCRYPTION_TYPE.SYMMETRIC, tenseal.ENCRYPTION_TYPE.ASYMMETRIC


def made(degree=ckks.DEGREE, primes=ckks.PRIMES, scale=ckks.SCALE, how=SYMMETRIC):
    kind, bits = tenseal.SCHEME_TYPE.CKKS, list(primes)
    found = tenseal.context(kind, degree, coeff_mod_bit_sizes=bits, encryption_type=how)
    found.global_scale = scale
    return found


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (lambda: b"nothing", "cannot be read"),
        (lambda: ckks.with_key(made(4096, (40, 40), 2.0**20)), "not what was agreed"),
        (lambda: ckks.with_key(made(16384, (60, 60, 60))), "not what was agreed"),
        (lambda: ckks.with_key(made(primes=(60, 40, 40, 40))), "not what was agreed"),
        (lambda: ckks.with_key(made(scale=2.0**30)), "another scale"),
        (lambda: ckks.with_key(made(how=BY_A_PUBLIC_KEY)), "by a public key"),
        (lambda: made(how=BY_A_PUBLIC_KEY).serialize(save_secret_key=True), "by a public key"),
        (lambda: ckks.without_keys(made()), "lacks the secret key"),
    ],
)
def test_a_context_that_is_not_as_agreed_is_refused(blob, says):
    with pytest.raises(Refused, match=says):
        ckks.opened(blob(), secret=True)


def test_the_parameters_give_128_bits_and_the_library_thinks_so_too(monkeypatch):
    assert sum(ckks.PRIMES) <= ckks.MOST_BITS[ckks.DEGREE] == 218
    with pytest.raises(ValueError, match="not set correctly"):
        made(4096, (60, 40, 40))
    monkeypatch.setitem(ckks.MOST_BITS, ckks.DEGREE, 100)
    with pytest.raises(Refused, match="128 bits"):
        ckks.opened(ckks.with_key(made()), secret=True)


def swapped(federation, who, step, change):
    """A site whose reply in a step is changed before it is signed."""
    honest = federation.order

    def order(name, phase, received=None):
        reply = honest(name, phase, received)
        return change(reply) if name == who and phase.startswith(step) else reply

    federation.order = order
    return federation


def under_another_key(reply):
    numbers = Numbers(np.ones(30 + 12 + 1), np.ones(1 + 4), np.ones(2))
    return message(site.table_of(reply), packed(encrypted(ckks.make(), numbers, slice(None)), 3))


def test_a_ciphertext_under_another_key_spoils_the_sum_and_the_openers_say_so():
    federation = swapped(hospitals(), "s02", "encrypt", under_another_key)
    with pytest.raises(QuorumError):
        federation.gather()
    assert federation.missing["s00"] == federation.missing["s01"] == "unsafe-sum"


def of_other_parameters(reply):
    blob = tenseal.ckks_vector(made(4096, (40, 40), 2.0**20), [1.0]).serialize()
    return message(site.table_of(reply), packed([blob] * 3, 3))


def test_a_ciphertext_of_other_parameters_is_refused_by_the_coordinator():
    federation = swapped(hospitals(), "s02", "encrypt", of_other_parameters)
    with pytest.raises(RunError, match="s02 sent a ciphertext of another context"):
        federation.gather()


def test_a_context_that_the_coordinator_made_is_refused():
    federation = hospitals()
    own = np.frombuffer(ckks.with_key(ckks.make()) + bytes(16), np.uint8)
    liar = Liar(federation).keys()
    table = {"adverts": liar.adverts, "layout": liar.layout}
    boxes = liar.tell("context", table)["s00"]["sealed"]
    order = message({"sealed": boxes["s01"]}, {"context": own})
    with pytest.raises(Refused, match="not the one that a peer sent"):
        federation.order("s01", f"encrypt-{liar.name}", order)


def wrong_values(reply):
    values = reply.tensors["secure/values"].copy()
    values[3] += 1e-3
    return message({}, {"values": values})


def test_two_sites_that_decrypt_differently_stop_the_run():
    federation = swapped(hospitals(), "s01", "open", wrong_values)
    with pytest.raises(RunError, match="s00 and s01 decrypted the sum differently"):
        federation.gather()


def twice(reply):
    blob, sizes = (reply.tensors[f"secure/{name}"] for name in ("ciphertexts", "sizes"))
    arrays = {"ciphertexts": np.concatenate([blob, blob]), "sizes": np.concatenate([sizes, sizes])}
    return message(site.table_of(reply), arrays)


def none_at_all(reply):
    arrays = {"ciphertexts": np.empty(0, np.uint8), "sizes": np.empty(0, np.int64)}
    return message(site.table_of(reply), arrays)


def beside_the_mark(reply):
    arrays = {name: reply.tensors[f"secure/{name}"] for name in ("ciphertexts", "sizes")}
    return message(site.table_of(reply), {**arrays, "sizes": arrays["sizes"] - 1})


def for_another_context(reply):
    arrays = {name: reply.tensors[f"secure/{name}"] for name in ("ciphertexts", "sizes")}
    return message({"context": "00" * 32}, arrays)


@pytest.mark.parametrize("change", [twice, none_at_all, beside_the_mark, for_another_context])
def test_a_part_without_the_right_ciphertexts_is_left_out(change):
    result = swapped(hospitals(4), "s01", "encrypt", change).gather()
    assert result.participants == ("s00", "s02", "s03")
    assert set(result.notes["left_out"]) == {"s01"}


def test_a_site_that_deals_no_key_is_named():
    federation = swapped(hospitals(4), "s00", "context", lambda reply: message({}))
    with pytest.raises(RunError, match="s00 dealt no key"):
        federation.gather()


def test_a_site_that_was_not_asked_to_decrypt_has_no_say_in_it():
    def unasked(reply):
        return message({}, {"values": np.zeros(50)})

    federation = swapped(hospitals(4), "s03", "open", unasked)
    assert federation.gather().participants == tuple(federation.updates)


def test_lost_openers_begin_another_conversation():
    federation = hospitals(5, lost={"open": {"s00", "s01"}})
    assert federation.gather().participants == ("s02", "s03", "s04")


def test_one_lost_opener_ends_it_because_the_other_opened_the_sum_already():
    federation = hospitals(5, lost={"open": {"s01"}})
    with pytest.raises(QuorumError, match="only s00 answered"):
        federation.gather()
    federation.missing.clear()
    federation.lost.clear()
    assert federation.gather().participants == tuple(federation.updates)


# --- opening --------------------------------------------------------------------------------------


def all_encrypted(federation):
    liar = Liar(federation).keys()
    replies = {}
    table = message({"adverts": liar.adverts, "layout": liar.layout})
    for name in liar.sites:
        replies[name] = federation.order(name, f"context-{liar.name}", table)
    sealed = replies["s00"].tensors["secure/context"]
    dealt = site.table_of(replies["s00"])
    boxes, liar.public = dealt["sealed"], bytes.fromhex(dealt["public"])
    liar.parts = {}
    for name in liar.sites:
        order = message({"sealed": boxes.get(name, "")}, {"context": sealed})
        liar.parts[name] = federation.order(name, f"encrypt-{liar.name}", order)
    return liar


def opening(liar, sites, part="s00"):
    arrays = {k.partition("/")[2]: v for k, v in liar.parts[part].tensors.items()}
    arrays = {name: arrays[name] for name in ("ciphertexts", "sizes")}
    return message({"participants": sites}, arrays)


@pytest.mark.parametrize(
    "sites", [["s00"], ["s00", "s01"], ["s00", "s01", "s99"], ["s00", "s00", "s00"], "s00", None]
)
def test_a_sum_over_too_few_is_not_opened(sites):
    federation = hospitals(4)
    liar = all_encrypted(federation)
    with pytest.raises(Refused):
        federation.order("s01", f"open-{liar.name}", opening(liar, sites))


def true_sum(liar, sites):
    """The order to open what really is the sum of some sites' parts."""
    public, scheme = ckks.opened(liar.public, secret=False), CkksScheme()
    pieces = zip(*(unpacked(liar.parts[name]) for name in sites), strict=True)
    added = [scheme.add(public, each) for each in pieces]
    return message({"participants": sites}, packed(iter(added), len(added)))


@pytest.mark.parametrize(
    ("off", "opened"), [((), False), ((0,), False), ((1,), False), ((0, 1), True)]
)
def test_a_true_sum_over_two_is_not_opened_for_two_reasons(off, opened, monkeypatch):
    for one in off:
        monkeypatch.setattr(SeatedSite, ("_check_enough", "_check_parts")[one], lambda *_: None)
    liar = all_encrypted(hospitals(4))
    order = partial(
        liar.hospitals.order, "s01", f"open-{liar.name}", true_sum(liar, ["s01", "s02"])
    )
    if opened:
        assert order().tensors
        return
    with pytest.raises(Refused) as no:
        order()
    assert no.value.name == "unsafe-sum"


@pytest.mark.parametrize("off", [False, True])
def test_what_few_of_those_summed_have_is_not_opened(off, monkeypatch):
    federation = hospitals(4)
    for name in ("s00", "s01", "s02"):
        whole = federation.updates[name]
        federation.updates[name] = replace(whole, stats={**whole.stats, "rare": np.array([1.0])})
    liar = all_encrypted(federation)  # whose layout is that of the first, with what is rare
    if off:
        monkeypatch.setattr(SeatedSite, "_check_parts", lambda *_: None)
        assert federation.order("s01", f"open-{liar.name}", true_sum(liar, liar.sites[1:])).tensors
        return
    with pytest.raises(Refused, match="fewer than 3 sites have 'rare'"):
        federation.order("s01", f"open-{liar.name}", true_sum(liar, liar.sites[1:]))


@pytest.mark.parametrize("off", [False, True])
def test_one_question_is_opened_over_one_set_of_sites(off, monkeypatch):
    federation = hospitals(4)
    liar = all_encrypted(federation)
    federation.order("s01", f"open-{liar.name}", true_sum(liar, liar.sites))
    liar = all_encrypted(federation)
    if off:
        monkeypatch.setattr(SeatedSite, "_check_question", lambda *_: None)
        assert federation.order("s01", f"open-{liar.name}", true_sum(liar, liar.sites[1:])).tensors
        return
    with pytest.raises(Refused, match="summed already"):
        federation.order("s01", f"open-{liar.name}", true_sum(liar, liar.sites[1:]))


def test_a_single_part_does_not_pass_for_a_sum_as_it_is():
    federation = hospitals(4)
    liar = all_encrypted(federation)
    with pytest.raises(Refused, match="not the sum of those sites"):
        federation.order("s01", f"open-{liar.name}", opening(liar, liar.sites))


def test_nothing_is_opened_twice():
    federation = hospitals(4)
    liar = all_encrypted(federation)
    federation.order("s01", f"open-{liar.name}", message({}))
    assert not federation.seats["s01"].drawer, "the key is forgotten"
    with pytest.raises(Refused):
        federation.order("s01", f"open-{liar.name}", opening(liar, liar.sites))


def test_who_encrypted_nothing_opens_nothing():
    """Nor is a key kept that an earlier conversation, which was broken off, left behind."""
    federation = hospitals(4)
    liar = all_encrypted(federation)
    other = all_encrypted(federation)
    federation.order("s01", f"keys-{other.name}")
    assert not hasattr(federation.seats["s01"].drawer[site.DRAWER].context, "is_private")
    later = Liar(federation).keys()
    table = {"adverts": later.adverts, "layout": later.layout}
    later.tell("context", table)
    with pytest.raises(Refused):  # its own part cannot be made, for want of a key
        federation.order("s01", f"encrypt-{later.name}", message({}))
    with pytest.raises(Refused, match="comes too soon"):
        federation.order("s01", f"open-{later.name}", opening(liar, liar.sites))


def test_what_is_opened_is_blurred_by_fresh_noise():
    """Else whoever knows the ciphertext and its decryption could compute the key."""
    context, values = ckks.make(), np.zeros(3 * ckks.SLOTS)
    blobs = list(ckks.encrypt(context, ckks.pieces_of(values), 3))
    one, other = (ckks.decrypt(context, iter(blobs), values.size) for _ in range(2))
    assert np.std(one) == pytest.approx(ckks.NOISE, rel=0.05)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert np.abs(one).max() < ckks.ERROR


def test_the_noise_of_ckks_is_far_below_what_is_added(monkeypatch):
    monkeypatch.setattr(ckks, "gaussian", np.zeros)
    context, values = ckks.make(), np.zeros(ckks.SLOTS)
    found = through(context, values)
    assert np.std(found) < ckks.NOISE / 2**23


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_cannot_be_encrypted_never_leaves(value):
    federation = hospitals(4)
    federation.updates["s01"].stats["sum"][0] = value
    federation.gather()
    assert federation.missing == {"s01": "not-finite"}


def test_without_the_package_a_study_is_refused_in_words(monkeypatch):
    monkeypatch.setattr("medfed.aggregators.encrypted.sum.find_spec", lambda name: None)
    with pytest.raises(Exception, match="cannot be used here") as error:
        Ckks()
    assert "medfed[he]" in error.value.problems[0].remedy


def test_openers_are_two():
    assert coordinator.OPENERS == 2
