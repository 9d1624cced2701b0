"""Sealed messages go through Flower's records unchanged; anything else is refused."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("flwr", reason="the extra `flower` is not installed")

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectUnavailableError

from medfed.core.errors import WireError
from medfed.federation.flower import records
from medfed.federation.flower.records import collect, from_record, pieces, to_record
from medfed.federation.wire import Sealed

BYTES = st.binary(max_size=200)


LARGE = bytes(records.SMALL + 1)


@given(header=BYTES, signature=BYTES, payload=BYTES | st.sampled_from([LARGE[:-1], LARGE]))
def test_a_message_comes_back_as_it_was(header, signature, payload):
    again = from_record(to_record(Sealed(header, signature, payload)))
    assert (again.header, again.signature, bytes(again.payload)) == (header, signature, payload)


def test_a_small_payload_takes_no_pieces_of_its_own():
    assert [*to_record(Sealed(b"h", b"s", LARGE[:-1]))] == ["medfed"]
    assert [*to_record(Sealed(b"h", b"s", LARGE))] == ["medfed", "payload"]


def test_a_large_message_is_known_by_its_tree():
    for payload, large in ((LARGE[:-1], False), (LARGE, True)):
        metadata = Metadata(1, "", 1, 2, "", "", 0.0, 1.0, "train")
        content = to_record(Sealed(b"h", b"s", payload))
        message = make_message(metadata=metadata, content=content)
        assert records.is_large(get_object_tree(message)) is large


def test_a_view_of_bytes_is_carried_too():
    assert bytes(from_record(to_record(Sealed(b"h", b"s", memoryview(b"abc")))).payload) == b"abc"


def test_a_record_whose_message_was_taken_out_no_longer_holds_the_payload():
    record = to_record(Sealed(b"h", b"s", LARGE))
    assert from_record(record).payload == LARGE
    assert record["payload"]["payload"].data == b""


@pytest.mark.parametrize(
    "record",
    [
        RecordDict(),
        RecordDict({"medfed": ConfigRecord({"header": b"h"})}),
        RecordDict({"medfed": ConfigRecord({"header": "text", "signature": b"s"})}),
        RecordDict({"medfed": ConfigRecord({"header": b"h", "signature": b"s", "payload": 1})}),
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


def test_pieces_that_will_not_come_are_not_waited_for():
    given_up = iter([False, False, True])

    def pull(name):
        raise ObjectUnavailableError(name)

    with pytest.raises(ObjectPullError, match="do not come"):
        collect("top", ObjectTree(object_id="top"), pull, lambda: next(given_up))
    assert next(given_up, None) is None, "it was asked until it said so"


def test_a_piece_that_is_still_being_uploaded_is_waited_for():
    message = make_message(metadata=_metadata(), content=to_record(Sealed(b"h", b"s", LARGE)))
    uploaded = {name: o.deflate() for name, o in get_all_nested_objects(message).items()}
    asked: set[str] = set()

    def pull(name):
        if name not in asked:
            asked.add(name)
            raise ObjectUnavailableError(name)
        return uploaded[name]

    arrived = collect(message.object_id, get_object_tree(message), pull)
    assert from_record(arrived.content).payload == LARGE
    assert asked == {*uploaded}


def _metadata():
    return Metadata(1, "", 2, 3, "", "", 1.0, 60.0, "query")


def test_a_refused_version_ends_nothing():
    context = SimpleNamespace(request=SimpleNamespace(headers={}))
    answer = records.Versions("SuperNode").intercept(context, lambda given: "426")
    assert answer == "426"
    assert context.request.headers
