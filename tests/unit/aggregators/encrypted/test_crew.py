"""The processes that encrypt beside this one."""

import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("tenseal")

from medfed.aggregators.encrypted import context as ckks
from medfed.aggregators.encrypted import crew
from medfed.core.errors import Refused

VALUES = np.random.default_rng(0).uniform(-9, 9, 6 * ckks.SLOTS + 5)


@pytest.fixture(autouse=True)
def two_members(monkeypatch):
    """Even for a few ciphertexts, and even on a machine of one core."""
    crew.dismiss()
    monkeypatch.setattr(crew, "CORES", 2)
    monkeypatch.setattr(ckks, "ENOUGH", 2)
    seats = crew.SimpleQueue()
    monkeypatch.setattr(crew, "_seats", seats)
    seats.put(None)
    seats.put(None)
    yield seats
    crew.dismiss()


def encrypted(context):
    return ckks.encrypt(context, ckks.pieces_of(VALUES), 7)


def members(seats):
    found = [seats.get_nowait() for _ in range(seats.qsize())]
    for one in found:
        seats.put(one)
    return [one for one in found if one is not None]


def test_what_the_crew_encrypts_and_decrypts_is_in_order(two_members):
    for context in (ckks.make(), ckks.make()):  # members are told of the second
        found = ckks.decrypt(context, encrypted(context), VALUES.size)
        np.testing.assert_allclose(found, VALUES, atol=ckks.ERROR)
    assert members(two_members)


def test_a_ciphertext_of_another_context_is_refused_and_the_crew_goes_on():
    context, foreign = ckks.make(), b"no ciphertext"
    blobs = list(encrypted(context))
    with pytest.raises(Refused, match="not of this context"):
        ckks.decrypt(context, iter([*blobs[:3], foreign, *blobs[4:]]), VALUES.size)
    found = ckks.decrypt(context, iter(blobs), VALUES.size)
    np.testing.assert_allclose(found, VALUES, atol=ckks.ERROR)


def test_a_number_beyond_reason_is_refused_in_the_midst():
    spoilt = VALUES.copy()
    spoilt[-1] = np.nan
    with pytest.raises(Refused, match="finite"):
        list(ckks.encrypt(ckks.make(), ckks.pieces_of(spoilt), 7))


def test_work_of_a_lost_member_is_done_all_the_same(two_members):
    context = ckks.make()
    blobs = []
    for blob in encrypted(context):
        blobs.append(blob)
        for member in members(two_members)[: 1 if len(blobs) < 3 else 2]:
            member._process.kill()
    found = ckks.decrypt(context, iter(blobs), VALUES.size)
    np.testing.assert_allclose(found, VALUES, atol=ckks.ERROR)


def test_without_processes_the_work_is_done_here(monkeypatch):
    def refused(*args, **kwargs):
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refused)
    context = ckks.make()
    found = ckks.decrypt(context, encrypted(context), VALUES.size)
    np.testing.assert_allclose(found, VALUES, atol=ckks.ERROR)


IDLE = "from medfed.aggregators.encrypted import member; import sys; member.IDLE = 1; "
SERVE = "member.serve(sys.stdin.buffer, sys.stdout.buffer)"


@pytest.mark.parametrize(("close", "code"), [(False, -signal.SIGALRM), (True, 0)])
def test_a_member_ends_when_idle_and_with_its_parent(close, code):
    with subprocess.Popen(
        [sys.executable, "-c", IDLE + SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        if close:
            process.stdin.close()
        assert process.wait(60) == code
