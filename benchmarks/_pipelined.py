"""Ciphertexts over the Flower carrier: in parts, of which one is sent while the next is made.

A SuperLink and a site of ours, each in processes of its own, over a line that is held to a rate:
the loopback interface is as quick as no line between hospitals.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

from _common import Row, ratio, row

from medfed.federation.guarded import Guarded
from medfed.federation.wire import Sealed
from medfed.services.federation.loopback import free_port

MEGABITS = 200
PIECE = 64 * 1024
WITHIN = 600.0


def pipelined(size: int, repeats: int) -> list[Row]:
    """Seconds from the orders to the last ciphertext, in one reply and in parts."""
    from medfed.aggregators.encrypted.ckks_scheme import CkksScheme

    made = written(size)[2]
    of = -(-made // CkksScheme.part)
    took: dict[int, list[float]] = {1: [], of: []}
    with carrier(size) as ask:
        ask(of)  # the site's worker and its crew start
        for _ in range(repeats):
            for parts, seconds in took.items():
                seconds.append(ask(parts))
    what = f"CKKS, {size / 1e6:g} M parameters over {MEGABITS} Mbit/s"
    return [
        row(
            f"{what}: encrypt and send in {of} parts, over at once",
            ratio(took[of], took[1]),
            "×",
            1,
        ),
        row(f"{what}: encrypt and send in {of} parts", median(took[of]), "s"),
        row(f"{what}: encrypt, then send", median(took[1]), "s"),
    ]


@contextmanager
def carrier(size: int) -> Iterator[Any]:
    """A site at a SuperLink; gives what asks it for its ciphertexts, and tells the seconds."""
    from medfed.federation.enrolment.address import Address
    from medfed.federation.enrolment.node_key import make_node_key, node_public_pem, public_line
    from medfed.federation.flower.channel import FlowerChannel
    from medfed.federation.flower.superlink import Registry, SuperLink, Tls
    from medfed.services.federation.loopback import make_certificates

    with tempfile.TemporaryDirectory(prefix="medfed-parts-") as name, ExitStack() as stack:
        place, port, line = Path(name), free_port(), free_port()
        link = SuperLink(place, port, Tls(*make_certificates(place, Address("localhost", port))))
        stack.callback(link.stop)
        link.start()
        key = make_node_key(place)
        with Registry(link.at) as registry:
            registry.register("site", node_public_pem(public_line(key.public_key())))
        program = [sys.executable, __file__]
        stack.callback(Guarded([*program, "line", str(line), str(port)], place / "line.log").stop)
        site = [*program, "site", f"localhost:{line}", str(link.at.ca), str(place), str(size)]
        stack.callback(Guarded(site, place / "site.log").stop)
        channel = FlowerChannel(link.at, ["site"], place / "run")
        stack.callback(channel.close)
        yield partial(asked, channel)


def asked(channel: Any, of: int) -> float:
    """Seconds until all parts have come."""
    start = time.perf_counter()
    for number in range(1, of + 1):
        header = f"{number} {of}".encode()
        channel.send({"site": (f"{number} {of} {start}", Sealed(header, os.urandom(64), b""))})
    if sum(delivery.reply is not None for delivery in channel.replies(WITHIN)) < of:
        raise SystemExit("a part did not come")
    return time.perf_counter() - start


# --- the site -------------------------------------------------------------------------------------


class Encrypting:
    """Answers an order with the part that its header names."""

    def __init__(self, size: int) -> None:
        self.size = size

    def handle(self, order: Sealed) -> Sealed:
        from medfed.aggregators.encrypted.ckks_scheme import CkksScheme
        from medfed.aggregators.encrypted.pieces import packed
        from medfed.aggregators.secure.messages import message
        from medfed.aggregators.secure.phases import Phase
        from medfed.federation.spool import encode_update

        context, numbers, count = written(self.size)
        which = Phase("", "", *map(int, bytes(order.header).split())).share(count)
        made = packed(CkksScheme().encrypt(context, numbers, which), which.stop - which.start)
        return Sealed(order.header, order.signature, encode_update(message({}, made)))


@cache
def written(size: int) -> tuple[Any, Any, int]:
    """A context, numbers to encrypt, and how many ciphertexts they take."""
    import numpy as np

    from medfed.aggregators.encrypted.ckks_scheme import CkksScheme
    from medfed.aggregators.secure.layout import Layout
    from medfed.core.update import Update

    scheme, draw = CkksScheme(), np.random.default_rng(0).standard_normal
    update = Update({"model/w": draw(size, np.float32)}, {"model": 100.0})
    layout = Layout.of(update)
    return scheme.make(), scheme.written(update, layout), scheme.count(layout)


def open_site(folder: Path) -> Encrypting:
    """For the worker: the site of a folder that is called after its size."""
    return Encrypting(int(folder.name))


def site(address: str, ca: str, home: str, size: str) -> None:
    """The site's line and its worker."""
    from medfed.federation.flower.fleet import Fleet
    from medfed.federation.flower.link import Link
    from medfed.federation.local import WorkerChannel

    place = Path(home)
    worker = WorkerChannel({"site": place / size}, open_site, 1)  # type: ignore[arg-type]  # no Site

    def answer(order: Sealed) -> tuple[Sealed | None, float]:
        worker.send({"site": ("order", order)})
        (delivery,) = worker.replies(WITHIN)
        return delivery.reply, delivery.seconds

    fleet = Fleet(address, Path(ca), place / "node.key", place / "node")
    Link(fleet, answer, place / "order", print).run()


# --- the line -------------------------------------------------------------------------------------


class Rate:
    """Lets so many bytes a second pass."""

    def __init__(self) -> None:
        self.until = time.monotonic()

    async def take(self, count: int) -> None:
        """Wait until they may pass."""
        now = time.monotonic()
        self.until = max(self.until, now - 0.02) + count * 8 / (MEGABITS * 1e6)
        await asyncio.sleep(max(0.0, self.until - now))


def line(port: str, to: str) -> None:
    """A relay that holds both ways to a rate."""
    asyncio.run(_relay(int(port), int(to)))


async def _relay(port: int, to: int) -> None:
    up, down = Rate(), Rate()

    async def served(reader: Any, writer: Any) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(_pump(reader, forth, up), _pump(back, writer, down))

    server = await asyncio.start_server(served, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def _pump(reader: Any, writer: Any, rate: Rate) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(PIECE):
            await rate.take(len(data))
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    (site if sys.argv[1] == "site" else line)(*sys.argv[2:])
