"""Flower around medfed: a Grid in one process, and a channel that speaks through it.

Everything that passes between the two sides is Flower's own: `Message` and `RecordDict`, through a
`ClientApp` per site, deflated to bytes and inflated again as on Flower's wire.
"""

import itertools
import time
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from flwr.app import ConfigRecord, Context, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.common.serde import message_from_proto, message_to_proto
    from flwr.serverapp import Grid
    from flwr.supercore.run import Run
    from flwr.supercore.task_identity import TaskIdentity

from medfed.federation.channel import Delivery
from medfed.federation.wire import Sealed

RUN_ID = 7
SUPERLINK = 1  # Flower's own number for the coordinator's side


class InProcessGrid(Grid):
    """Messages to nodes of this process, each answered by its ClientApp when it is pulled."""

    def __init__(self, apps):
        self.apps = dict(enumerate(apps, start=1))
        self.waiting = {}
        self.numbers = itertools.count()

    def set_run(self, run):
        raise NotImplementedError

    @property
    def run(self):
        return Run.create_empty(RUN_ID)

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        _be(SUPERLINK)
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self):
        return list(self.apps)

    def push_messages(self, messages):
        ids = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"message-{next(self.numbers)}"
            self.waiting[message.metadata.message_id] = message
            ids.append(message.metadata.message_id)
        return ids

    def pull_messages(self, message_ids):
        replies = []
        for message_id in message_ids:
            message = over_the_wire(self.waiting.pop(message_id))
            node = message.metadata.dst_node_id
            _be(node)
            context = Context(RUN_ID, node, {}, RecordDict(), {})
            replies.append(over_the_wire(self.apps[node](message, context)))
        return replies

    def send_and_receive(self, messages, *, timeout=None):
        return self.pull_messages(self.push_messages(messages))


def _be(node):
    """Flower keeps who is speaking in one place per process."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, node


def over_the_wire(message):
    """The message after a trip through Flower's Protobuf."""
    return message_from_proto(message_to_proto(message))


def site_app(site):
    """A ClientApp that hands every order to a site."""
    app = ClientApp()

    def forward(message: Message, context: Context) -> Message:
        reply = site.handle(unwrapped(message))
        return Message(wrapped(reply), reply_to=message)

    for register in (app.train(), app.evaluate(), app.query()):
        register(forward)
    return app


def wrapped(sealed):
    """A sealed message as Flower's records."""
    parts = {name: bytes(getattr(sealed, name)) for name in ("header", "signature", "payload")}
    return RecordDict({"medfed": ConfigRecord(parts)})


def unwrapped(message):
    """The sealed message inside Flower's."""
    record = message.content["medfed"]
    return Sealed(record["header"], record["signature"], record["payload"])


class GridChannel:
    """medfed's channel over a Grid; takes what `LocalChannel` takes."""

    def __init__(self, folders, open_site):
        opened = [open_site(path) for path in folders.values()]
        self.grid = InProcessGrid(site_app(site) for site in opened)
        self.nodes = dict(zip(folders, self.grid.get_node_ids(), strict=True))
        self.pending = {}

    def sites(self):
        return tuple(self.nodes)

    def send(self, orders):
        for site, (order, sealed) in orders.items():
            message = self.grid.create_message(wrapped(sealed), "train", self.nodes[site], "1")
            (message_id,) = self.grid.push_messages([message])
            self.pending[message_id] = (site, order)

    def replies(self, timeout):
        while self.pending:
            message_id = next(iter(self.pending))
            site, order = self.pending.pop(message_id)
            start = time.perf_counter()
            (reply,) = self.grid.pull_messages([message_id])
            yield Delivery(site, order, unwrapped(reply), time.perf_counter() - start)

    def cancel(self, order):
        self.pending = {k: v for k, v in self.pending.items() if v[1] != order}

    def close(self):
        self.pending.clear()
