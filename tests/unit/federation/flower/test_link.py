"""A site's line: an order is written down before it is confirmed, and answered whatever is cut."""

import gc
import threading
import weakref

import httpx
import pytest

pytest.importorskip("flwr", reason="the extra `flower` is not installed")

from flwr.supercore.inflatable.inflatable_utils import ObjectPullError

from medfed.core.errors import WireError
from medfed.federation.flower import link as link_module
from medfed.federation.flower.fleet import NotEnrolled, RunOver
from medfed.federation.flower.link import Link
from medfed.federation.wire import Sealed

ORDER, REPLY = Sealed(b"order", b"s", b"payload"), Sealed(b"reply", b"s", b"update")


class Envelope:
    def to_bytes(self):
        return b"envelope"


class Fleet:
    """Stands for the coordinator: does what the script says, then hands out nothing."""

    def __init__(self, **script):
        self.script = {name: list(steps) for name, steps in script.items()}
        self.calls, self.replies = [], []

    def _do(self, name, default=None):
        self.calls.append(name)
        steps = self.script.get(name)
        step = steps.pop(0) if steps else default
        if isinstance(step, BaseException):
            raise step
        return step

    def connect(self):
        self._do("connect")

    def heartbeat(self):
        self._do("heartbeat")

    def fetch(self):
        return self._do("fetch")

    def open(self, envelope):
        return self._do("open", ORDER)

    def confirm(self, envelope):
        self._do("confirm")

    def reply(self, envelope, sealed, seconds):
        self._do("reply")
        self.replies.append((envelope, sealed))

    def leave(self):
        self._do("leave")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(link_module, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(link_module, "RETRY_MOST", 0.02)
    monkeypatch.setattr(link_module, "BRISK", 0.001)


def served(fleet, inbox, answer=lambda sealed: (REPLY, 0.5), enough=lambda fleet: fleet.replies):
    """Serve until there is enough; what was said."""
    said = []
    line = Link(fleet, answer, inbox, said.append)
    original, looks = fleet.fetch, [0]

    def fetch():
        looks[0] += 1
        if enough(fleet) or looks[0] > 200:
            line.stop()
        return original()

    fleet.fetch = fetch
    line.run()
    assert looks[0] <= 200, fleet.calls
    return said


def test_an_order_is_on_the_disk_before_it_is_confirmed(tmp_path):
    inbox, seen = tmp_path / "order", []
    fleet = Fleet(fetch=[Envelope()])
    fleet.confirm = lambda envelope: seen.append(inbox.exists())
    served(fleet, inbox)
    assert seen == [True]
    assert fleet.replies == [(b"envelope", REPLY)]
    assert not inbox.exists()


def test_an_order_in_hand_is_answered_after_a_restart(tmp_path):
    class Power(BaseException):
        pass

    def cut(sealed):
        raise Power

    inbox = tmp_path / "order"
    with pytest.raises(Power):
        served(Fleet(fetch=[Envelope()]), inbox, cut)
    after, asked = Fleet(), []
    served(after, inbox, lambda sealed: asked.append(bytes(sealed.payload)) or (REPLY, 0.0))
    assert asked == [b"payload"]
    assert after.replies == [(b"envelope", REPLY)]
    assert after.calls[0] == "connect"


def test_a_damaged_inbox_is_put_aside(tmp_path):
    (tmp_path / "order").write_bytes(b"\x01")
    fleet = Fleet(fetch=[Envelope()])
    served(fleet, tmp_path / "order")
    assert fleet.replies


@pytest.mark.parametrize("where", ["connect", "fetch", "open", "confirm", "reply"])
def test_a_cut_anywhere_is_waited_out_and_the_work_done_once(tmp_path, where):
    cut = httpx.ConnectError("cut")
    # The coordinator sends again what may be lost on the way; what is on the disk is not.
    again = [Envelope()] * (3 if where == "open" else 1)
    script = {"fetch": again, where: [cut, cut]}
    if where == "fetch":
        script["fetch"] = [cut, cut, *again]
    fleet, asked = Fleet(**script), []
    said = served(fleet, tmp_path / "order", lambda sealed: asked.append(1) or (REPLY, 0.0))
    assert fleet.replies[0] == (b"envelope", REPLY)
    assert len(asked) == 1
    assert any("cannot be reached (cut); trying on" in text for text in said)
    assert fleet.calls.count("connect") >= 2  # anew: so the coordinator knows of it


def test_what_is_no_order_is_answered_as_lost_so_that_nobody_waits(tmp_path):
    fleet = Fleet(fetch=[Envelope(), Envelope()], open=[WireError("not ours")])
    said = served(fleet, tmp_path / "order")
    assert fleet.replies == [(b"envelope", None), (b"envelope", REPLY)]
    assert "what came is no order and was dropped: not ours" in said


@pytest.mark.parametrize("trouble", [RunOver(), ObjectPullError("x", "it is gone")])
def test_an_order_that_cannot_be_opened_is_dropped_and_the_next_one_answered(tmp_path, trouble):
    fleet = Fleet(fetch=[Envelope(), Envelope()], open=[trouble])
    served(fleet, tmp_path / "order")
    assert fleet.replies == [(b"envelope", REPLY)]


def test_a_reply_that_nobody_waits_for_is_dropped(tmp_path):
    fleet = Fleet(fetch=[Envelope(), Envelope()], reply=[RunOver()])
    said = served(fleet, tmp_path / "order")
    assert "nobody waits for this reply any more" in said
    assert len(fleet.replies) == 1


def test_a_site_that_is_not_let_in_says_what_to_do_and_tries_on(tmp_path):
    no = NotEnrolled("the coordinator does not let this site in", remedy="Ask it")
    fleet = Fleet(connect=[no], fetch=[Envelope()])
    said = served(fleet, tmp_path / "order")
    assert said[:2] == [str(no), "connected to the coordinator"]
    assert fleet.replies


class Slow(Fleet):
    """One to whom a reply takes as long as the test wants it to."""

    def __init__(self, **script):
        super().__init__(**script)
        self.arrives = threading.Event()

    def reply(self, envelope, sealed, seconds):
        assert self.arrives.wait(10)
        super().reply(envelope, sealed, seconds)


def test_the_next_order_is_worked_on_while_a_reply_is_on_its_way(tmp_path):
    fleet, asked = Slow(fetch=[Envelope()] * 3), []

    def answer(sealed):
        asked.append(1)
        assert len(asked) <= 2 or fleet.replies, "there is but one reply on its way"
        if len(asked) == 2:
            assert not fleet.replies
            assert sorted(file.name for file in tmp_path.iterdir()) == ["order", "order-2"]
            fleet.arrives.set()
        return REPLY, 0.0

    served(fleet, tmp_path / "order", answer, lambda fleet: len(fleet.replies) == 3)
    assert fleet.replies == [(b"envelope", REPLY)] * 3
    assert not list(tmp_path.iterdir())


def test_both_orders_in_hand_are_answered_after_a_restart_the_older_first(tmp_path):
    class Power(BaseException):
        pass

    payloads = iter([b"first", b"second"])
    fleet = Slow(fetch=[Envelope()] * 2)
    fleet.open = lambda envelope: Sealed(b"order", b"s", next(payloads))

    def answer(sealed):
        if bytes(sealed.payload) == b"second":
            raise Power
        return REPLY, 0.0

    with pytest.raises(Power):
        served(fleet, tmp_path / "order", answer)
    after, asked = Fleet(), []
    again = lambda sealed: asked.append(bytes(sealed.payload)) or (REPLY, 0.0)  # noqa: E731  # at once
    served(after, tmp_path / "order", again, lambda fleet: len(fleet.replies) == 2)
    assert asked == [b"first", b"second"]
    assert not list(tmp_path.iterdir())
    fleet.arrives.set()


def test_a_reply_that_is_cut_off_is_sent_again_before_the_next_one(tmp_path):
    cut = httpx.ConnectError("cut")
    fleet = Fleet(fetch=[Envelope()] * 2, reply=[cut, cut])
    replies = iter([Sealed(b"one", b"s", b""), Sealed(b"two", b"s", b"")])
    asked = []

    def answer(sealed):
        asked.append(1)
        return next(replies), 0.0

    served(fleet, tmp_path / "order", answer, lambda fleet: len(fleet.replies) == 2)
    assert [sealed.header for _, sealed in fleet.replies] == [b"one", b"two"]
    assert len(asked) == 2
    assert fleet.calls.count("connect") == 3


def test_a_reply_on_its_way_is_waited_for_at_the_end(tmp_path):
    fleet = Slow(fetch=[Envelope()])
    threading.Timer(0.2, fleet.arrives.set).start()
    line = Link(fleet, lambda sealed: (line.stop(), (REPLY, 0.0))[1], tmp_path / "order", print)
    line.run()
    assert fleet.replies == [(b"envelope", REPLY)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("trouble", [httpx.ReadTimeout("busy"), NotEnrolled("away")])
def test_a_site_begins_not_anew_while_its_reply_is_on_its_way(tmp_path, trouble):
    """The coordinator would take what comes of the reply for cut off."""
    fleet = Slow(fetch=[Envelope(), trouble])
    connects = []

    def connect():
        connects.append(bool(fleet.replies))

    fleet.connect = connect
    threading.Timer(0.3, fleet.arrives.set).start()
    served(fleet, tmp_path / "order", enough=lambda fleet: len(connects) == 2)
    assert connects == [False, True]


def test_a_reply_goes_to_its_own_order_whatever_becomes_of_others(tmp_path):
    """The second order's file is damaged while the first one's reply is cut off."""
    envelopes, answers = iter([b"one", b"two", b"three"]), iter([b"1", b"2", b"3"])

    class Named(Envelope):
        def to_bytes(self):
            return next(envelopes)

    fleet = Slow(fetch=[Named(), Named(), Named()], reply=[httpx.ConnectError("cut")])

    def answer(sealed):
        reply = next(answers)
        if reply == b"2":
            (tmp_path / "order-2").write_bytes(b"\x01")
            fleet.arrives.set()
        return Sealed(reply, b"s", b""), 0.0

    served(fleet, tmp_path / "order", answer, lambda fleet: len(fleet.replies) == 2)
    sent = [(envelope, sealed.header) for envelope, sealed in fleet.replies]
    assert sent == [(b"one", b"1"), (b"three", b"3")]


def test_what_was_sent_does_not_stay_in_memory(tmp_path):
    class Kept(Sealed):
        pass

    fleet, known = Fleet(fetch=[Envelope()]), []

    def answer(sealed):
        reply = Kept(b"reply", b"s", b"update")
        known.append(weakref.ref(reply))
        return reply, 0.0

    fleet.reply = lambda envelope, sealed, seconds: fleet.replies.append(envelope)
    line = Link(fleet, answer, tmp_path / "order", print)
    fetch = fleet.fetch
    fleet.fetch = lambda: line.stop() if fleet.replies else fetch()
    line.run()
    gc.collect()
    assert known[0]() is None


def test_who_leaves_gives_a_reply_on_its_way_a_moment(tmp_path, monkeypatch):
    class Power(BaseException):
        pass

    fleet = Slow(fetch=[Envelope(), Power()])
    line = Link(fleet, lambda sealed: (REPLY, 0.0), tmp_path / "order", print)
    with pytest.raises(Power):
        line.run()
    threading.Timer(0.2, fleet.arrives.set).start()
    line.leave()
    assert fleet.replies == [(b"envelope", REPLY)]


def test_leaving_needs_nobody_at_the_other_end(tmp_path):
    fleet = Fleet(leave=[httpx.ConnectError("away")])
    Link(fleet, lambda sealed: (None, 0.0), tmp_path / "order", print).leave()
    assert fleet.calls == ["leave"]
