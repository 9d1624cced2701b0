"""Frames that many pages share are frames as the standard has them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode

from medfed.web.frames import KEPT, frame_of


@given(st.text(max_size=200) | st.sampled_from(["x" * 126, "x" * 65_536, "\0", "李"]))
def test_a_page_reads_what_was_sent(message):
    page = FrameProtocol(client=True, extensions=[])
    page.receive_bytes(frame_of(message))
    found = list(page.received_frames())
    assert "".join(each.payload for each in found) == message
    assert found[0].opcode is Opcode.TEXT
    assert found[-1].message_finished


def test_the_same_message_is_framed_once():
    assert frame_of("news") is frame_of("news")
    for number in range(KEPT + 1):
        frame_of(str(number))
    assert frame_of.cache_info().currsize == KEPT


def test_each_server_sends_by_them(stage):
    engine = stage.app.extensions["medfed-live"].server.eio
    assert engine._async["websocket"].__name__ == "Sharing"
