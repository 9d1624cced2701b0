"""Several phases at once: their replies are of use together, and are told of as one."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.core.errors import QuorumError
from medfed.core.update import Update
from medfed.federation import exchange as module
from medfed.federation.channel import Delivery
from medfed.federation.exchange import Exchange, Post
from medfed.federation.spool import encode_update
from medfed.federation.wire import OLDEST, Reply, open_order, seal, sha256

SITES = ("a", "b", "c")
PHASES = ("x-1", "x-2", "x-3")
KEY = Ed25519PrivateKey.generate()
KEYS = {site: Ed25519PrivateKey.generate() for site in SITES}


class Channel:
    """Answers each order in its turn, but for those that the script has something else for."""

    def __init__(self, script=(), stop=99):
        self.script = dict(script)
        self.queue, self.cancelled, self.asked, self.stop = [], [], [], stop

    def send(self, orders):
        for site, (order, sealed) in orders.items():
            self.asked.append((open_order(sealed, KEY.public_key()).phase, site))
            self.queue.append((site, order, sealed))

    def replies(self, timeout):
        for _ in range(self.stop):
            if not self.queue:
                return
            site, number, sealed = self.queue.pop(0)
            order = open_order(sealed, KEY.public_key())
            what = self.script.get((order.phase, site), "answered")
            if what == "late":
                continue
            yield Delivery(site, number, None if what == "lost" else answer(order, what), 0.5)

    def cancel(self, order):
        self.cancelled.append(order)
        self.queue = [one for one in self.queue if one[1] != order]


def answer(order, what, version=None):
    refused = "" if what == "answered" else what
    payload = b"" if refused else encode_update(update_of(order.site, order.phase))
    reply = Reply(
        run=order.run,
        site=order.site,
        order=order.id,
        base_sha256=order.payload_sha256,
        refusal=refused,
        message="no" if refused else "",
        payload_sha256=sha256(payload),
        payload_bytes=len(payload),
        seconds=0.25,
        version=version or order.version,
    )
    return seal(reply, KEYS[order.site], payload)


def update_of(site, phase):
    value = SITES.index(site) + 10 * int(phase[-1])
    return Update({"model/w": np.full(3, value, np.float32)}, {"model": 1.0})


@pytest.fixture
def asking(tmp_path):
    """Makes an exchange over a channel; the events of all that it made."""

    def made(channel, min_sites=1):
        public = {site: key.public_key() for site, key in KEYS.items()}
        post = Post("r1", "s1", channel, KEY, public, tmp_path, 60.0, min_sites, events.append)
        sent = Update({"model/w": np.zeros(3, np.float32)})
        return Exchange(post, 1, "train", SITES, sent, {}), events

    events = []
    return made


def of(events, kind):
    return [event for event in events if type(event).__name__ == kind]


def ask(exchange):
    return [(one.site, int(one.chunk("model/w", 0, 1)[0])) for one in exchange.ask(*with_all())]


def with_all():
    first, *others = PHASES
    return first, {}, *others


def test_all_phases_go_out_before_any_is_answered_and_their_replies_come_site_by_site(asking):
    channel = Channel()
    exchange, events = asking(channel)
    found = ask(exchange)
    assert found == [(site, i + 10 * n) for i, site in enumerate(SITES) for n in (1, 2, 3)]
    assert channel.asked == [(phase, site) for phase in PHASES for site in SITES]
    assert len(of(events, "RoundStarted")) == 1


def test_a_site_is_told_of_once_with_all_that_it_sent(asking):
    exchange, events = asking(Channel())
    ask(exchange)
    told = of(events, "ReplyCounted")
    assert [event.site for event in told] == list(SITES)
    assert {event.bytes for event in told} == {exchange.up["a"]}
    assert all(event.seconds == pytest.approx(0.75) for event in told)
    exchange.ask("y-1", {"a": update_of("a", "1")})
    assert of(events, "ReplyCounted")[3].bytes == pytest.approx(exchange.up["a"] / 4, abs=8)


@pytest.mark.parametrize("what", ["too-few-patients", "lost"])
def test_who_does_not_answer_one_is_left_out_of_all_and_asked_no_more(what, asking):
    channel = Channel({("x-2", "b"): what})
    exchange, events = asking(channel)
    assert [site for site, _ in ask(exchange)] == ["a"] * 3 + ["c"] * 3
    assert len(channel.cancelled) == 1, "nobody waits for the third"
    (missing,) = of(events, "SiteMissing")
    assert (missing.site, missing.reason) == ("b", "worker-lost" if what == "lost" else what)
    assert set(exchange.missing) == {"b"}


def test_who_is_late_with_one_is_told_of_once(asking):
    channel = Channel({("x-3", "c"): "late", ("x-2", "c"): "late"})
    exchange, events = asking(channel)
    assert [site for site, _ in ask(exchange)] == ["a"] * 3 + ["b"] * 3
    assert [(e.site, e.reason) for e in of(events, "SiteMissing")] == [("c", "late")]
    assert len(channel.cancelled) == 2


def test_those_count_who_answered_all(asking):
    exchange, _ = asking(Channel({("x-3", "a"): "late", ("x-1", "b"): "lost"}), min_sites=2)
    with pytest.raises(QuorumError, match="has 1 usable replies"):
        ask(exchange)


def test_what_had_arrived_before_a_kill_is_not_asked_for_again(asking):
    exchange, _ = asking(Channel({(phase, site): "late" for phase in PHASES for site in "bc"}))
    ask(exchange)
    channel = Channel()
    exchange, events = asking(channel)
    assert len(ask(exchange)) == 9
    assert channel.asked == [(phase, site) for phase in PHASES for site in "bc"]
    assert [event.site for event in of(events, "ReplyCounted")] == ["a", "b", "c"]


def test_sites_of_an_earlier_version_are_asked_again_for_each(asking):
    """All orders are out before the first is refused for its version."""

    class Older(Channel):
        def replies(self, timeout):
            while self.queue:
                site, number, sealed = self.queue.pop(0)
                order = open_order(sealed, KEY.public_key())
                what = "wire-version" if order.version > OLDEST else "answered"
                yield Delivery(site, number, answer(order, what, OLDEST), 0.5)

    exchange, _ = asking(Older())
    assert len(ask(exchange)) == 9
    assert exchange.post.versions == dict.fromkeys(SITES, OLDEST)
    assert not exchange.missing


def test_the_model_is_encoded_once_and_not_at_all_where_each_has_its_own(asking, monkeypatch):
    encoded = []
    plain = module.encode_update
    monkeypatch.setattr(module, "encode_update", lambda u: encoded.append(u) or plain(u))
    exchange, _ = asking(Channel())
    ask(exchange)
    assert encoded == [exchange.sent]
    own = update_of("a", "1")
    exchange.ask("y-1", dict.fromkeys(SITES, own), "y-2", "y-3")
    assert encoded == [exchange.sent, own]


def test_what_is_odd_about_a_site_is_told_once(asking, monkeypatch):
    odd = lambda stats: {"b": "it goes not together"} if "b" in stats else {}  # noqa: E731  # at once
    monkeypatch.setattr(module, "odd_ones", odd)
    exchange, events = asking(Channel())
    assert [site for site, _ in ask(exchange)] == ["a"] * 3 + ["c"] * 3
    assert [event.site for event in of(events, "SiteMissing")] == ["b"]


def test_phases_share_the_bytes_that_an_answer_may_have(asking, monkeypatch):
    monkeypatch.setattr(module, "MAX_STATS", 0)
    monkeypatch.setattr(module, "MAX_HEADER", 0)
    exchange, _ = asking(Channel())
    exchange.over = 40
    assert len(ask(exchange)) == 9
    exchange, _ = asking(Channel())
    exchange.over, exchange.round = 20, 2
    with pytest.raises(QuorumError):
        ask(exchange)


def test_some_parts_of_a_site_may_have_arrived_before_a_kill(asking):
    exchange, _ = asking(Channel({("x-3", site): "late" for site in SITES}))
    with pytest.raises(QuorumError):
        ask(exchange)
    channel = Channel()
    exchange, _ = asking(channel)
    assert len(ask(exchange)) == 9
    assert channel.asked == [("x-3", site) for site in SITES]
