"""One site that sends what nobody can use is left out by name; the others' sum is made."""

import numpy as np
import pytest
from unit.aggregators.secure.talking import Hospitals, updates_of

from medfed.aggregators.secure.layout import Layout
from medfed.aggregators.secure.messages import message, table_of
from medfed.core.errors import QuorumError, WireError

ODD = "s01"


def sabotaged(step, change, count=5, rule=None):
    """Hospitals of which one changes its reply in a step; ``change`` gets the table."""
    hospitals = Hospitals(updates_of(count), rule)
    honest = hospitals.order

    def order(site, phase, received=None):
        reply = honest(site, phase, received)
        if site != ODD or not phase.startswith(step):
            return reply
        table = table_of(reply)
        arrays = {name.partition("/")[2]: a for name, a in reply.tensors.items()}
        del arrays["message"]
        return change(table, arrays)

    hospitals.order = order
    return hospitals


def with_part(*part):
    def change(table, arrays):
        return message({**table, "layout": sorted([*table["layout"], list(part)])}, arrays)

    return change


def giving(**entries):
    return lambda table, arrays: message({**table, **entries}, arrays)


PARTS = [
    ("s:x", [2**31] * 3 + [0], "float64"),
    ("s:x", [2**31, 2**31], "float64"),
    ("w:zz", [3] * 3, "float64"),
    ("w:zz", [], "U7"),
    ("s:\ud800", [], "float64"),
    ("s:" + 5000 * "x", [], "float64"),
    ("s:x", [2**22 + 1], "float64"),
    ("q:x", [], "float64"),
]


@pytest.mark.parametrize("part", PARTS[:4] + PARTS[5:], ids=range(7))
def test_an_impossible_layout_is_left_out(part):
    hospitals = sabotaged("keys", with_part(*part))
    result = hospitals.gather()
    assert result.participants == ("s00", "s02", "s03", "s04")
    assert set(result.notes["left_out"]) == {ODD}


@pytest.mark.parametrize("part", [part for part in PARTS if part != PARTS[6]], ids=range(7))
def test_a_layout_that_no_arrays_can_have_is_refused_in_words(part):
    with pytest.raises(WireError):
        Layout.from_json([list(part)])


TABLES = [
    ("keys", {"advert": {}}),
    ("keys", {"advert": 3}),
    ("keys", {"layout": None}),
    ("keys", {"session": "x"}),
    ("keys", {"session": "00" * 32}),
    ("keys", {"terms": [[]]}),
    ("keys", {"terms": [32, 1.0, 3]}),
    ("keys", {"fewest": "many"}),
    ("shares", {"sealed": None}),
    ("shares", {"sealed": {"s00": "no hex"}}),
    ("shares", {"sealed": {"s00": "00" * 49}}),
    ("agree", {"signature": 4}),
    ("unmask", {"masks": 1}),
    ("unmask", {"selves": {"s00": []}}),
    ("unmask", {"selves": {"s00": "00"}}),
]


@pytest.mark.parametrize(("step", "entries"), TABLES, ids=str)
def test_what_cannot_be_read_is_left_out(step, entries):
    hospitals = sabotaged(step, giving(**entries))
    result = hospitals.gather()
    assert set(result.notes["left_out"]) == {ODD}
    in_time = step in ("agree", "unmask")
    assert (ODD in result.participants) == in_time


@pytest.mark.parametrize("which", ["seal", "mask"])
def test_a_key_that_gives_everybody_the_same_secret_is_left_out(which):
    """A point of low order: whoever meets it must refuse, so nobody is to meet it."""

    def change(table, arrays):
        return message({**table, "advert": {**table["advert"], which: "00" * 32}}, arrays)

    result = sabotaged("keys", change).gather()
    assert set(result.notes["left_out"]) == {ODD}
    assert result.participants == ("s00", "s02", "s03", "s04")


def test_a_masked_part_of_other_words_is_left_out():
    def change(table, arrays):
        return message(table, {**arrays, "narrow": arrays["narrow"][:-1]})

    result = sabotaged("masked", change).gather()
    assert set(result.notes["left_out"]) == {ODD}
    assert ODD not in result.participants


def test_shares_that_leave_out_a_peer_stop_nobody_else():
    def change(table, arrays):
        table["sealed"].pop("s00")
        return message(table, arrays)

    hospitals = sabotaged("shares", change, count=7)
    result = hospitals.gather()
    assert {"s02", "s03", "s04", "s05", "s06"} <= set(result.participants)


def test_where_too_few_are_left_the_offender_is_named():
    with pytest.raises(QuorumError, match=f"{ODD}: .*layout"):
        sabotaged("keys", giving(layout=None), count=3).gather()


def test_a_site_outside_the_roster_has_no_say_in_it():
    hospitals = Hospitals(updates_of(5))
    honest = hospitals.order

    def order(site, phase, received=None):
        if site != "s03":
            return honest(site, phase, received)
        if phase.startswith("keys"):
            return message({**table_of(honest(site, phase, received)), "session": "00" * 32})
        zeros = {f"s0{i}": "00" * 16 for i in range(5)}
        return message({"masks": {}, "selves": zeros, "signature": "00" * 64, "sealed": zeros})

    hospitals.order = order
    result = hospitals.gather()
    assert result.participants == ("s00", "s01", "s02", "s04")
    assert np.isfinite(result.total.tensors["model/a"]).all()
