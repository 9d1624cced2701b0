"""A site's seat in a conversation in which the sites must know one another."""

import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.core.aggregator import Seat
from medfed.core.files import canonical_json
from medfed.core.study import Study
from medfed.federation.peers import pinned
from medfed.federation.site_folder import SiteFolder, SiteSettings
from medfed.federation.wire import Order

RUNS = 4
"""Runs whose conversations a site keeps in memory at a time; each may hold a model."""


class Seats:
    """Gives each order its seat, and keeps what a conversation needs between its phases.

    Args:
        folder: The site's folder.
        settings: Its rules.
        key: Its private key.
    """

    def __init__(self, folder: SiteFolder, settings: SiteSettings, key: Ed25519PrivateKey) -> None:
        self._folder = folder
        self._settings = settings
        self._key = key
        self._drawers: dict[str, dict[str, Any]] = {}

    def seat(self, order: Order, study: Study) -> Seat:
        """The seat for one order."""
        peers = pinned(self._folder.path)
        question = _question(order)
        return Seat(
            site=self._settings.name,
            sites=study.sites,
            peers={site: peers[site] for site in study.sites if site in peers},
            sign=self._key.sign,
            session=_session(order),
            least=max(self._settings.min_sites_in_sum, study.min_sites),
            drawer=self._drawer(order.run),
            summed=lambda: self._folder.summed(order, question),
            record=lambda sites: self._folder.record_sum(order, question, sites),
        )

    def _drawer(self, run: str) -> dict[str, Any]:
        self._drawers[run] = self._drawers.pop(run, {})  # the latest stands last
        while len(self._drawers) > RUNS:
            del self._drawers[next(iter(self._drawers))]
        return self._drawers[run]


def _session(order: Order) -> bytes:
    """Hash of all that a conversation is about; the same in all its phases."""
    about = [order.run, order.study, order.round, order.purpose, order.body]
    return hashlib.sha256(canonical_json(["medfed conversation", *about])).digest()


def _question(order: Order) -> str:
    """What may be summed over one set of sites only. A round of training is one question.

    Its body does not count: else the same training could be asked for twice in other words.
    """
    body = "" if order.purpose == "train" else order.body
    about = [order.study, order.round, order.purpose, body]
    return hashlib.sha256(canonical_json(["medfed question", *about])).hexdigest()
