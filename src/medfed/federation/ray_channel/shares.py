"""What each site gets of the cluster's machines, and how many may work at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from medfed.core.errors import RunError

GRAIN = 10_000
"""Ray counts shares in parts of this size."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one site gets of the cluster's machines."""

    cpus: float
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")

    def room(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many such shares the nodes have, each share whole on one of them."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        asked = {name: amount for name, amount in wanted.items() if amount}
        return sum(
            min(
                (int(round(node.get(name, 0.0) / amount, 6)) for name, amount in asked.items()),
                default=GRAIN,  # nothing asked for fits everywhere
            )
            for node in nodes
        )


def share_of(
    sites: int, cpus: float | None, gpus: float | None, *, threads: int, cuda: bool
) -> Share:
    """What each site gets, checked against what the cluster has."""
    nodes = _nodes()
    if cpus is None:
        cpus = _equal_part(nodes, "CPU", sites, threads)
    if gpus is None:
        gpus = _equal_part(nodes, "GPU", sites, 1) if cuda else 0.0
    for amount in (cpus, gpus):
        if amount < 0 or (amount > 1 and amount != int(amount)):
            message = f"{amount:g} is not a share that Ray can give"
            raise RunError(message, remedy="Give a part of one, such as 0.5, or a whole number")
    share = Share(cpus, gpus)
    if share.room(nodes) < sites:
        raise no_room(sites, share, f"it has {amounts(nodes)} in {len(nodes)} node(s)")
    return share


def at_once(sites: int, share: Share, threads: int) -> int:
    """How many sites work at a time without more threads than cores."""
    return sites if share.cpus >= threads else max(Share(threads).room(_nodes()), 1)


def state() -> Any:
    """Ray's questions about the cluster, which it leaves untyped."""
    return ray


def _nodes() -> list[Mapping[str, float]]:
    return [node["Resources"] for node in state().nodes() if node["Alive"]]


def _equal_part(nodes: Sequence[Mapping[str, float]], what: str, sites: int, most: float) -> float:
    """The largest share, up to ``most``, of which there is one for every site.

    Whole units, or a part of one: graphics cards are given out in no other way.
    """
    for share in range(int(most), 0, -1):
        if sum(int(node.get(what, 0.0) // share) for node in nodes) >= sites:
            return float(share)
    per_unit = -(-sites // max(int(sum(int(node.get(what, 0.0)) for node in nodes)), 1))
    return (GRAIN // per_unit) / GRAIN


def amounts(nodes: Sequence[Mapping[str, float]]) -> str:
    """What nodes have, in words."""
    return " and ".join(f"{sum(n.get(w, 0.0) for n in nodes):g} {w}" for w in ("CPU", "GPU"))


def no_room(sites: int, share: Share, why: str) -> RunError:
    """The complaint that the sites do not fit, with what to do about it."""
    return RunError(
        f"the cluster has no room for {sites} sites with {share} each: {why}",
        remedy="Give less with --cpus and --gpus, add nodes, or wait until others have finished",
    )
