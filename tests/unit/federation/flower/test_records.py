"""Sealed messages go through Flower's records unchanged; anything else is refused."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("flwr", reason="the extra `flower` is not installed")

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectUnavailableError

from medfed.core.errors import WireError
from medfed.federation.flower import records
from medfed.federation.flower.records import collect, from_record, pieces, to_record
from medfed.federation.wire import Sealed

BYTES = st.binary(max_size=200)


@given(header=BYTES, signature=BYTES, payload=BYTES)
def test_a_message_comes_back_as_it_was(header, signature, payload):
    again = from_record(to_record(Sealed(header, signature, payload)))
    assert (again.header, again.signature, bytes(again.payload)) == (header, signature, payload)


def test_a_view_of_bytes_is_carried_too():
    assert bytes(from_record(to_record(Sealed(b"h", b"s", memoryview(b"abc")))).payload) == b"abc"


def test_a_record_whose_message_was_taken_out_no_longer_holds_the_payload():
    record = to_record(Sealed(b"h", b"s", b"a large model"))
    assert from_record(record).payload == b"a large model"
    assert record["payload"]["payload"].data == b""


@pytest.mark.parametrize(
    "record",
    [
        RecordDict(),
        RecordDict({"medfed": ConfigRecord({"header": b"h"})}),
        RecordDict({"medfed": ConfigRecord({"header": "text", "signature": b"s"})}),
        RecordDict({"medfed": ArrayRecord()}),
        RecordDict(
            {
                "medfed": ConfigRecord({"header": b"h", "signature": b"s"}),
                "payload": ConfigRecord({"payload": b"not an array"}),
            }
        ),
        RecordDict(
            {
                "medfed": ConfigRecord({"header": b"h", "signature": b"s"}),
                "payload": ArrayRecord({"other": Array("uint8", (1,), "bytes", b"x")}),
            }
        ),
    ],
)
def test_what_is_not_ours_is_refused(record):
    with pytest.raises(WireError, match="not medfed's"):
        from_record(record)


def test_a_message_in_too_many_pieces_is_refused_before_any_is_fetched():
    many = [ObjectTree(object_id=str(i)) for i in range(records.MAX_PIECES)]
    tree = ObjectTree(object_id="top", children=many)
    with pytest.raises(WireError, match="too large"):
        pieces(tree)
    with pytest.raises(WireError, match="too large"):
        collect("top", tree, lambda name: pytest.fail("it was fetched"))


def test_a_piece_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(records, "MAX_PIECE", 10)
    with pytest.raises(WireError, match="too large"):
        collect("top", ObjectTree(object_id="top"), lambda name: bytes(11))


@given(content=st.binary(max_size=100))
def test_pieces_of_any_bytes_are_no_message(content):
    with pytest.raises(WireError):
        collect("top", ObjectTree(object_id="top"), lambda name: content)


def test_pieces_that_do_not_come_are_given_up(monkeypatch):
    monkeypatch.setattr(records, "PATIENCE", 0.2)

    def pull(name):
        raise ObjectUnavailableError(name)

    with pytest.raises(ObjectPullError, match="do not come"):
        collect("top", ObjectTree(object_id="top"), pull)


def test_a_refused_version_ends_nothing():
    context = SimpleNamespace(request=SimpleNamespace(headers={}))
    answer = records.Versions("SuperNode").intercept(context, lambda given: "426")
    assert answer == "426"
    assert context.request.headers
