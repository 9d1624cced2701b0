"""Messages that Ray only carries: it can read none of them, and none opens where it should not."""

import os

import numpy as np
import pytest

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from medfed.core.errors import DataError
from medfed.federation.ray_channel.sealing import ORDER, REPLY, End
from medfed.federation.wire import Sealed

MESSAGE = Sealed(b"header of an order", b"signature", os.urandom(200_000))


def test_a_message_arrives_whole_and_nothing_of_it_shows():
    here, there = End(), End()
    blob = here.seal(MESSAGE, there.public, ORDER)
    assert there.open(blob, here.public, ORDER) == MESSAGE
    raw = blob.tobytes()
    assert MESSAGE.header not in raw
    assert all(bytes(MESSAGE.payload[at : at + 16]) not in raw for at in range(0, 200_000, 5000))
    assert here.seal(MESSAGE, there.public, ORDER).tobytes() != raw


def test_it_opens_for_its_receiver_on_its_way_and_unchanged_only():
    here, there, other = End(), End(), End()
    blob = here.seal(MESSAGE, there.public, ORDER)
    changed = np.array(blob)
    changed[1000] ^= 1
    for end, of, way, given in (
        (other, here.public, ORDER, blob),
        (there, other.public, ORDER, blob),
        (there, here.public, REPLY, blob),
        (there, here.public, ORDER, changed),
        (there, here.public, ORDER, blob[:-1]),
    ):
        with pytest.raises(DataError):
            end.open(given, of, way)
