"""When an order is sent again, and when not: with a SuperLink that does what a test says."""

import gc
import weakref
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest

pytest.importorskip("flwr", reason="the extra `flower` is not installed")

from flwr.supercore.inflatable.inflatable_utils import ObjectPullError

from medfed.core.errors import RunError, SiteError
from medfed.federation.flower import channel as module
from medfed.federation.flower.channel import FlowerChannel
from medfed.federation.flower.conversation import Arrived, Claimed, NeverSeen, RunLost
from medfed.federation.flower.fleet import LOST_WORDS
from medfed.federation.flower.superlink import NodeSeen
from medfed.federation.wire import Sealed

ORDER, REPLY = Sealed(b"order", b"s"), Sealed(b"reply", b"s")
AWAY = httpx.ConnectError("away")


class World:
    """What stands behind a channel: nodes, and what comes of each message."""

    def __init__(self):
        self.nodes = {
            name: NodeSeen(number, True, b"", "t0") for number, name in enumerate(("a", "b"), 1)
        }
        self.sent, self.runs, self.closed, self.said = [], [], [], []
        self.arrives = []  # what comes next to a message: an Arrived, an exception or None
        self.fetches = []  # what `fetch` raises next
        self.fetched = []  # the messages whose replies were fetched
        self.asked = []  # messages asked about at once
        self.sends = []  # what `send` raises next
        self.known = True
        self.large = False  # whether replies take long to come


@pytest.fixture
def world(monkeypatch):  # noqa: C901  # two small stand-ins and a clock
    made = World()

    class Conversation:
        def __init__(self, at, leftover):
            made.runs.append(leftover)
            self.run, self.lost = 7, False

        def send(self, node, sealed, created):
            made.sent.append((node, created))
            step = made.sends.pop(0) if made.sends else None
            if step:
                raise step
            return f"m{len(made.sent)}"

        def claim(self, messages):
            made.asked.append(len(messages))
            claimed = []
            for message in messages:
                step = made.arrives.pop(0) if made.arrives else None
                if isinstance(step, BaseException):
                    raise step
                if step is not None:
                    claimed.append(Claimed(message, f"reply to {message}", step, made.large))
            return claimed

        def fetch(self, claimed, given_up):
            made.fetched.append(claimed.to)
            step = made.fetches.pop(0) if made.fetches else None
            if callable(step):
                step(given_up)
            elif step:
                raise step
            return claimed.tree

        def close(self):
            made.closed.append(self)
            self.lost = True

    class Registry:
        def __init__(self, at):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *about):
            pass

        def nodes(self):
            return dict(made.nodes)

    monkeypatch.setattr(module, "Conversation", Conversation)
    monkeypatch.setattr(module, "Registry", Registry)
    monkeypatch.setattr(module, "LOOK_EVERY", -1.0)
    clock = SimpleNamespace(**{n: getattr(module.time, n) for n in ("monotonic", "time")})
    clock.sleep = lambda seconds: None
    monkeypatch.setattr(module, "time", clock)
    return made


@pytest.fixture
def channel(world, tmp_path):
    at = SimpleNamespace(address="localhost:1")
    return FlowerChannel(at, ("a", "b"), tmp_path / "memo", world.said.append)


def answers(channel, timeout=5.0):
    return [(d.site, d.order, d.reply) for d in channel.replies(timeout)]


def test_a_reply_is_delivered_once(channel, world):
    world.arrives = [None, Arrived(REPLY)]
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", REPLY)]
    assert answers(channel) == []
    assert len(world.sent) == 1


def test_all_sites_are_asked_about_at_once_and_delivered_one_by_one(channel, world):
    world.arrives = [None, None, Arrived(REPLY), Arrived(REPLY)]
    channel.send({"a": ("1", ORDER), "b": ("2", ORDER)})
    assert answers(channel) == [("a", "1", REPLY), ("b", "2", REPLY)]
    assert world.asked == [2, 2]


def test_a_reply_whose_site_was_cut_off_in_it_is_given_up_and_asked_for_again(channel, world):
    """The SuperLink takes no more of it, once it is claimed."""

    def waits(given_up):
        assert not given_up(), "it may still come"
        world.nodes["a"] = replace(world.nodes["a"], since="t1")
        assert given_up()
        raise ObjectPullError("x", "the pieces do not come")

    world.arrives, world.fetches = [Arrived(REPLY), Arrived(REPLY)], [waits]
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", REPLY)]
    assert len(world.sent) == 2
    assert "a reply of a was lost on the way; its order is sent again" in world.said


def test_what_befalls_a_site_is_said_once_however_many_orders_it_has(channel, world):
    world.sends = [NeverSeen(), NeverSeen(), None]
    channel.send({"a": ("1", ORDER)})
    channel.send({"a": ("2", ORDER)})
    world.nodes["a"] = replace(world.nodes["a"], since="t1")
    world.arrives = [None, None, Arrived(REPLY), Arrived(REPLY)]
    channel.send({"b": ("3", ORDER)})
    replies = channel.replies(5.0)
    next(replies)
    world.nodes["b"] = replace(world.nodes["b"], since="t1")
    world.nodes["a"] = replace(world.nodes["a"], since="t2")
    world.arrives = [None, None, None] + [Arrived(REPLY)] * 3
    list(replies)
    offline = [one for one in world.said if one.startswith("a is offline")]
    anew = [one for one in world.said if one == "a has begun anew; its order is sent again"]
    assert len(offline) == 1
    assert len(anew) == 1


def test_who_answers_part_after_part_is_not_silent(channel, world, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    for number in ("1", "2"):
        channel.send({"a": (number, ORDER)})
    world.arrives = [Arrived(REPLY), None, Arrived(REPLY)]
    now[0] = module.SILENCE - 100
    replies = channel.replies(1e6)
    assert next(replies).order == "1"
    now[0] = module.SILENCE + 100
    assert next(replies).order == "2"
    assert "a has been silent for long; its order is sent again" not in world.said


def test_a_registry_that_cannot_be_asked_gives_up_no_reply(channel, world, monkeypatch):
    def waits(given_up):
        monkeypatch.setattr(channel, "_seen", lambda: (_ for _ in ()).throw(ValueError("a page")))
        assert not given_up()
        monkeypatch.undo()

    world.arrives, world.fetches = [Arrived(REPLY)], [waits]
    channel.send({"a": ("1", ORDER)})
    assert next(channel.replies(5.0)).reply == REPLY


def test_a_large_reply_in_parts_is_told_of_once(world, tmp_path):
    world.large, coming = True, []
    at = SimpleNamespace(address="localhost:1")
    channel = FlowerChannel(at, ("a", "b"), tmp_path / "memo", world.said.append, coming.append)
    world.arrives = [Arrived(REPLY)] * 3
    for number in ("1", "2"):
        channel.send({"a": (number, ORDER)})
    channel.send({"b": ("3", ORDER)})
    assert len(answers(channel)) == 3
    assert coming == ["a", "b"]


@pytest.mark.parametrize("large", [True, False])
def test_a_large_reply_on_its_way_is_told_of_once(world, tmp_path, large):
    world.large, coming = large, []
    at = SimpleNamespace(address="localhost:1")
    channel = FlowerChannel(at, ("a", "b"), tmp_path / "memo", world.said.append, coming.append)
    world.arrives, world.fetches = [Arrived(REPLY)], [AWAY, None]  # fetched at the second try
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", REPLY)]
    assert coming == (["a"] if large else [])


def test_a_cut_while_fetching_loses_no_reply_that_was_claimed(channel, world):
    world.arrives = [Arrived(REPLY), Arrived(REPLY)]
    world.fetches = [None, AWAY, None]
    channel.send({"a": ("1", ORDER), "b": ("2", ORDER)})
    assert answers(channel) == [("a", "1", REPLY), ("b", "2", REPLY)]
    assert (world.asked, len(world.sent)) == ([2], 2)


def test_a_reply_whose_pieces_are_gone_is_asked_for_again(channel, world):
    world.arrives = [Arrived(REPLY), Arrived(REPLY)]
    world.fetches = [ObjectPullError("piece", "gone")]
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", REPLY)]
    assert len(set(world.sent)) == 2


def test_what_was_claimed_and_then_cancelled_is_not_fetched(channel, world):
    world.arrives = [Arrived(REPLY), Arrived(REPLY)]
    channel.send({"a": ("1", ORDER), "b": ("2", ORDER)})
    replies = channel.replies(5.0)
    next(replies)
    channel.cancel("2")
    channel.send({"a": ("3", ORDER)})
    world.arrives, world.fetched = [Arrived(REPLY)], []
    assert [d.order for d in replies] == ["3"]
    assert world.fetched == ["m3"]


def test_a_worker_that_was_lost_is_told_and_not_asked_again(channel, world):
    world.arrives = [Arrived(None, LOST_WORDS)]
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", None)]


def test_a_cut_while_sending_completes_the_same_message(channel, world):
    world.sends, world.arrives = [AWAY], [Arrived(REPLY)]
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", REPLY)]
    (first, second) = world.sent
    assert first == second  # made at the same time: Flower knows it by that
    assert "the SuperLink is away (away); waiting for it" in world.said
    assert "the SuperLink is there again" in world.said


def test_a_reply_that_was_lost_on_the_way_is_asked_for_again(channel, world):
    world.arrives = [Arrived(None, "message unavailable"), Arrived(REPLY)]
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", REPLY)]
    assert len(set(world.sent)) == 2  # another message: the old one is gone
    assert "a reply of a was lost on the way; its order is sent again" in world.said


def test_a_site_that_is_offline_is_waited_for(channel, world, monkeypatch):
    world.arrives = [Arrived(None, "node unavailable", offline=True)]
    channel.send({"a": ("1", ORDER)})
    world.nodes["a"] = NodeSeen(1, False, b"", "t0")
    assert answers(channel, 0.05) == []
    assert len(world.sent) == 1
    world.nodes["a"] = NodeSeen(1, True, b"", "t1")
    world.arrives = [Arrived(REPLY)]
    assert answers(channel) == [("a", "1", REPLY)]
    assert len([text for text in world.said if "a is offline" in text]) == 1


def test_a_site_that_has_never_been_online_is_waited_for(channel, world):
    world.sends, world.arrives = [NeverSeen()], [Arrived(REPLY)]
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", REPLY)]
    assert "a is offline (it has never been online); waiting for it" in world.said


def test_a_site_that_began_anew_gets_its_order_again(channel, world):
    channel.send({"a": ("1", ORDER)})
    world.nodes["a"] = NodeSeen(1, True, b"", "t1")
    world.arrives = [Arrived(REPLY)]
    assert answers(channel) == [("a", "1", REPLY)]
    assert len(world.sent) == 2


def test_a_long_silence_has_the_order_sent_again(channel, world, monkeypatch):
    monkeypatch.setattr(module, "SILENCE", -1.0)
    world.arrives = [None, Arrived(REPLY)]
    channel.send({"a": ("1", ORDER)})
    assert answers(channel) == [("a", "1", REPLY)]
    assert len(world.sent) >= 2


def test_a_site_that_was_removed_is_not_waited_for(channel, world):
    channel.send({"a": ("1", ORDER)})
    del world.nodes["a"]
    assert answers(channel) == [("a", "1", None)]
    assert "a was removed from the federation" in world.said


def test_a_run_that_was_given_up_is_begun_anew_even_if_that_fails_at_first(
    channel, world, monkeypatch
):
    begin, fails = channel._begin, [AWAY, RunLost()]

    def sometimes():
        if fails:
            raise fails.pop(0)
        return begin()

    monkeypatch.setattr(channel, "_begin", sometimes)
    world.arrives = [RunLost(), Arrived(REPLY)]
    channel.send({"a": ("1", ORDER), "b": ("2", ORDER)})
    world.arrives.append(Arrived(REPLY))
    assert {order for _, order, _ in answers(channel)} == {"1", "2"}
    assert world.runs == [None, 7]  # the second ends what the first left
    assert len(world.sent) == 4


def test_an_order_that_was_cancelled_is_forgotten(channel, world):
    channel.send({"a": ("1", ORDER)})
    channel.cancel("1")
    world.arrives = [Arrived(REPLY)]
    assert answers(channel) == []


def test_nobody_is_waited_for_past_the_time(channel, world):
    channel.send({"a": ("1", ORDER)})
    assert answers(channel, 0.01) == []
    assert channel.sites() == ("a", "b")


def test_closing_ends_the_run_and_lets_go_whatever_happens(channel, world, tmp_path):
    ended = []
    channel.on_close = lambda: ended.append(1)
    assert (tmp_path / "memo").read_text() == "7"
    channel.close()
    assert ended
    assert world.closed
    assert not (tmp_path / "memo").exists()


def test_strangers_are_named(world, tmp_path):
    with pytest.raises(SiteError, match="not enrolled with this coordinator: z"):
        FlowerChannel(SimpleNamespace(address="x"), ("a", "z"), tmp_path / "memo")


def test_a_memo_that_was_cut_off_is_no_obstacle(world, tmp_path):
    (tmp_path / "memo").write_text("")
    FlowerChannel(SimpleNamespace(address="x"), ("a",), tmp_path / "memo")
    assert world.runs == [None]


def test_nobody_there_is_told_in_words(world, tmp_path, monkeypatch):
    def nodes(self):
        raise AWAY

    monkeypatch.setattr(module.Registry, "nodes", nodes)
    with pytest.raises(RunError, match="there is no SuperLink at x"):
        FlowerChannel(SimpleNamespace(address="x"), ("a",), tmp_path / "memo")


def test_a_reply_is_not_held_while_the_next_one_is_fetched(channel, world):
    class Payload(bytearray):
        """Bytes that can be watched."""

    held = []

    def arrived():
        payload = Payload(b"a model")
        held.append(weakref.ref(payload))
        return Arrived(Sealed(b"reply", b"s", payload))

    channel.send({"a": ("1", ORDER), "b": ("2", ORDER)})
    replies = channel.replies(10)
    world.arrives = [arrived()]
    first = next(replies)
    assert first.reply.payload == held[0]() == b"a model"
    del first
    gc.collect()
    assert held[0]() is None
