"""Hostile sites at the real engine's door: they change what their site replies, and sign it again.

Every rule and gate that is looked at is the engine's own; only the replies are not what they were.
The attackers know all honest replies of the exchange, which is more than a real one could, and each
claims as many patients as the largest honest site.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from medfed.core.packing import unpack
from medfed.core.update import Array, Update
from medfed.federation.channel import Delivery
from medfed.federation.local import LocalChannel
from medfed.federation.spool import decode_update, encode_update
from medfed.federation.wire import Reply, Sealed, open_order, open_reply, seal, sha256

Means = Mapping[str, Array]
Attack = Callable[[Means, Sequence[Means]], Means]
"""From a hostile site's own mean change and those of all honest sites to what it sends."""


def sign_flip(own: Means, honest: Sequence[Means]) -> Means:
    """Against what its own patients say, ten times as far."""
    del honest
    return {name: -10.0 * value for name, value in own.items()}


def scaling(own: Means, honest: Sequence[Means]) -> Means:
    """A hundred times what its own patients say: a unit or a learning rate gone wrong."""
    del honest
    return {name: 100.0 * value for name, value in own.items()}


def inner_product(own: Means, honest: Sequence[Means]) -> Means:
    """Against the mean of the honest sites, no longer than it: IPM.

    Xie, Koyejo, Gupta 2019, "Fall of empires", UAI (arXiv 1903.03936), with ε = 1.
    """
    del own
    return {name: -np.mean([h[name] for h in honest], axis=0) for name in honest[0]}


def little(own: Means, honest: Sequence[Means]) -> Means:
    """Beside the mean of the honest sites, by 1.5 of their standard deviations: ALIE.

    Baruch, Baruch, Goldberg 2019, "A little is enough", NeurIPS (arXiv 1902.06156), with z = 1.5,
    the value of its experiments (its formula gives less for so few sites).
    """
    del own
    stacked = {name: np.stack([h[name] for h in honest]) for name in honest[0]}
    return {name: rows.mean(axis=0) - 1.5 * rows.std(axis=0) for name, rows in stacked.items()}


ATTACKS: Mapping[str, Attack | None] = {
    "none": None,
    "label flip": None,  # in the data, by an otherwise honest site
    "sign flip": sign_flip,
    "scaling": scaling,
    "IPM": inner_product,
    "ALIE": little,
}


class HostileChannel(LocalChannel):
    """Sites of this machine, some of which belong to an attacker.

    Class attributes, because a run makes its channel by itself; see `hostile_channel`.
    """

    hostile: ClassVar[frozenset[str]] = frozenset()
    attack: ClassVar[Attack | None] = None

    def send(self, orders: Mapping[str, tuple[str, Sealed]]) -> None:
        """Keep the orders, to know what is asked."""
        self._orders = dict(orders.values())
        super().send(orders)

    def replies(self, timeout: float) -> Iterator[Delivery]:
        """The honest replies as they are, then those that were made of them."""
        arrived = list(super().replies(timeout))
        honest = [d for d in arrived if d.site not in self.hostile]
        yield from honest
        updates = [_update(d) for d in honest]
        for delivery in arrived:
            if delivery.site in self.hostile:
                yield self._changed(delivery, updates)

    def _changed(self, delivery: Delivery, honest: Sequence[Update]) -> Delivery:
        site, attack = self._sites[delivery.site], type(self).attack
        assert delivery.reply is not None
        assert site.coordinator is not None
        order = open_order(self._orders[delivery.order], site.coordinator)
        reply = open_reply(delivery.reply, site.key.public_key(), site.name)
        if attack is None or order.purpose != "train" or reply.refusal:
            return delivery
        update, seen = _update(delivery), [_means(other) for other in honest]
        blob = encode_update(_claimed(attack(_means(update), seen), update, honest))
        fields = {name: getattr(reply, name) for name in Reply.__slots__}
        fields |= {"payload_sha256": sha256(blob), "payload_bytes": len(blob)}
        forged = seal(Reply(**fields), site.key, blob)
        return Delivery(delivery.site, delivery.order, forged, delivery.seconds)


def hostile_channel(attack: Attack | None, hostile: Sequence[str]) -> type[HostileChannel]:
    """A channel in which some sites attack."""
    kept = staticmethod(attack) if attack else None
    return type("Hostile", (HostileChannel,), {"hostile": frozenset(hostile), "attack": kept})


def write_sites(folder: Path, sites: Sequence[str], flipped: Sequence[str], seed: int) -> None:
    """Deal the breast cancer patients out, each diagnosis by a Dirichlet draw of its own.

    Hsu, Qi, Brown 2019 (arXiv 1909.06335), section 3, with α = 0.5; every site has eight patients
    of either diagnosis to begin with.

    Args:
        folder: A CSV for each site comes here.
        sites: Their names.
        flipped: Sites whose every diagnosis is turned round.
        seed: Of the draw.
    """
    from sklearn.datasets import load_breast_cancer

    raw = load_breast_cancer()
    rng = np.random.default_rng(seed)
    place = np.empty(len(raw.target), np.int64)
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(raw.target == label))
        first = 8 * len(sites)
        place[rows[:first]] = np.arange(first) % len(sites)
        shares = rng.dirichlet(np.full(len(sites), 0.5))
        place[rows[first:]] = rng.choice(len(sites), size=len(rows) - first, p=shares)
    names = ",".join(["patient", *(n.replace(" ", "_") for n in raw.feature_names), "malignant"])
    for number, site in enumerate(sites):
        mine = np.flatnonzero(place == number)
        sick = (raw.target[mine] == 0) != (site in flipped)
        table = np.column_stack([mine, raw.data[mine], sick])
        path = folder / f"{site}.csv"
        np.savetxt(path, table, fmt="%.8g", delimiter=",", header=names, comments="")


def features() -> list[str]:
    """The names of the columns of `write_sites` that a model learns from."""
    from sklearn.datasets import load_breast_cancer

    return [str(name).replace(" ", "_") for name in load_breast_cancer().feature_names]


def _update(delivery: Delivery) -> Update:
    assert delivery.reply is not None
    return decode_update(delivery.reply.payload)


def _means(update: Update) -> dict[str, Array]:
    return {k: v / _weight(update, k) for k, v in unpack(update.tensors).items()}


def _claimed(means: Means, own: Update, honest: Sequence[Update]) -> Update:
    """What a hostile site sends: its means, as if from the patients of the largest honest site."""
    weights = {name: max(other.weights[name] for other in honest) for name in own.weights}
    claim = Update({}, weights)
    tensors = {k: np.asarray(v * _weight(claim, k), own.tensors[k].dtype) for k, v in means.items()}
    return Update(tensors, weights, own.stats)


def _weight(update: Update, name: str) -> float:
    return update.weights[name.partition("/")[0]]


__all__ = ["ATTACKS", "features", "hostile_channel", "write_sites"]
