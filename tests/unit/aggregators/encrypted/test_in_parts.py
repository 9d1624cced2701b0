"""Ciphertexts in parts: sent while others are made, each once, and the sum is the same."""

import random
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from unit.aggregators.secure.talking import Hospitals, Liar, updates_of

from medfed.aggregators.encrypted import site
from medfed.aggregators.encrypted.ckks import Ckks
from medfed.aggregators.encrypted.ckks_scheme import CkksScheme
from medfed.aggregators.encrypted.paillier import Paillier
from medfed.aggregators.encrypted.paillier_scheme import PaillierScheme
from medfed.aggregators.encrypted.pieces import packed
from medfed.aggregators.secure.messages import message, table_of
from medfed.aggregators.secure.phases import in_parts
from medfed.core.errors import Refused

SCHEMES = {Ckks: CkksScheme, Paillier: PaillierScheme}
needs = {
    package: pytest.mark.skipif(not find_spec(package), reason=f"{package} is not installed")
    for package in ("tenseal", "heu")
}
needs_ckks = needs["tenseal"]
SIZE = 2 * 4096


def hospitals(rule=Ckks, size=SIZE, count=3, **how):
    return Hospitals(updates_of(count, size=size), rule(), **how)


@pytest.mark.parametrize(
    ("rule", "part", "parts"),
    [
        *(pytest.param(Ckks, *one, marks=needs["tenseal"]) for one in [(1, 5), (2, 3), (5, 1)]),
        pytest.param(Paillier, 2, 3, marks=needs["heu"]),
    ],
)
def test_a_sum_in_parts_is_the_sum(rule, part, parts, monkeypatch):
    monkeypatch.setattr(SCHEMES[rule], "part", part)
    federation = hospitals(rule, SIZE if rule is Ckks else 300)
    total = federation.gather().total
    assert sum(step == "encrypt" for step, *_ in federation.said) == 3 * parts
    updates = list(federation.updates.values())
    for name in ("model/a", "model/b.weight"):
        plain = sum(update.tensors[name].astype(np.float64) for update in updates)
        np.testing.assert_allclose(total.tensors[name], plain, atol=1e-3)
    assert int(total.stats["n"]) == sum(int(update.stats["n"]) for update in updates)


@needs_ckks
def test_few_ciphertexts_come_at_once():
    federation = hospitals(size=30)
    federation.gather()
    assert sum(step == "encrypt" for step, *_ in federation.said) == 3


@needs_ckks
def test_a_site_without_one_of_its_parts_is_left_out(monkeypatch):
    monkeypatch.setattr(CkksScheme, "part", 1)
    federation = hospitals(count=4)
    honest = federation.order

    def order(who, phase, received=None):
        reply = honest(who, phase, received)
        if who == "s02" and phase.startswith("encrypt") and "-3-" in phase:
            return message(table_of(reply), packed([b"x", b"y"], 2))
        return reply

    federation.order = order
    result = federation.gather()
    assert result.participants == ("s00", "s01", "s03")
    assert result.notes["left_out"] == {"s02": "it sent 2 ciphertexts and not 1"}


class Parts:
    """A coordinator that wants one site's parts as it likes."""

    def __init__(self, of=3):
        self.hospitals = hospitals(count=4)
        self.liar = liar = Liar(self.hospitals).keys()
        table = {"adverts": liar.adverts, "layout": liar.layout}
        dealt = {name: liar.send("context", name, table) for name in liar.sites}
        boxes = table_of(dealt["s00"])["sealed"]
        context = {"context": dealt["s00"].tensors["secure/context"]}
        self.order = message({"sealed": boxes["s01"]}, context)
        self.phases = [str(one) for one in in_parts("encrypt", liar.name, of)]

    def ask(self, phase, received=None):
        return self.hospitals.order("s01", phase, received or self.order)

    def talk(self):
        return self.hospitals.seats["s01"].drawer[site.DRAWER]


@needs_ckks
def test_parts_are_answered_in_any_order():
    parts = Parts(5)
    order = list(parts.phases)
    random.Random(0).shuffle(order)
    counts = {phase: len(parts.ask(phase).tensors["secure/sizes"]) for phase in order}
    assert [counts[phase] for phase in parts.phases] == [1, 1, 1, 1, 1]
    assert parts.talk().next == "open"
    assert parts.talk().written is None, "what was encrypted is let go of"


def again(parts):
    parts.ask(parts.phases[0])
    return partial(parts.ask, parts.phases[0])


def of_another_number(parts):
    parts.ask(parts.phases[0])
    return partial(parts.ask, str(in_parts("encrypt", parts.liar.name, 4)[3]))


def opened_early(parts):
    for phase in parts.phases[:-1]:
        parts.ask(phase)
    return partial(parts.ask, f"open-{parts.liar.name}", message({}))


def for_two_contexts(parts):
    parts.ask(parts.phases[0])
    other = message({"sealed": ""}, {"context": np.zeros(40, np.uint8)})
    return partial(parts.ask, parts.phases[1], other)


def after_the_last(parts):
    for phase in parts.phases:
        parts.ask(phase)
    return partial(parts.ask, parts.phases[0])


def of_a_step_that_has_none(parts):
    return partial(parts.ask, str(in_parts("context", parts.liar.name, 2)[0]))


@needs_ckks
@pytest.mark.parametrize(
    "wanted", [again, of_another_number, opened_early, for_two_contexts, after_the_last]
)
def test_a_part_is_given_once_and_for_one_context(wanted):
    ask = wanted(Parts())
    with pytest.raises(Refused) as no:
        ask()
    assert no.value.name == "unsafe-sum"


@needs_ckks
def test_no_other_step_has_parts():
    with pytest.raises(Refused) as no:
        of_a_step_that_has_none(Parts())()
    assert no.value.name == "malformed-order"


@needs_ckks
def test_no_more_parts_are_given_than_there_are_ciphertexts():
    parts = Parts(6)
    with pytest.raises(Refused, match="more parts than there are"):
        parts.ask(parts.phases[0])


@needs_ckks
def test_a_part_that_failed_ends_the_conversation():
    parts = Parts()
    parts.ask(parts.phases[0])
    with pytest.raises(Refused):
        parts.ask(parts.phases[1], message({}))
    assert parts.talk().written is parts.talk().context is None, "it is let go of"
    with pytest.raises(Refused, match="comes too soon"):
        parts.ask(parts.phases[1])


def test_a_receipt_says_which_part_it_is_of():
    rule = Ckks() if find_spec("tenseal") else Paillier()
    first, second = (str(one) for one in in_parts("encrypt", "0" * 16, 2))
    assert rule.said(second) == rule.said(f"encrypt-{'0' * 16}") + " (part 2 of 2)"
    assert rule.said(first).endswith(" (part 1 of 2)")
    assert rule.said(f"nothing-{'0' * 16}") == rule.said("") == ""
