"""A site's seat in a conversation in which the sites must know one another."""

import hashlib
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.core.aggregator import Seat
from medfed.core.files import canonical_json
from medfed.core.registry import make, part_from_json, part_of
from medfed.core.study import Study
from medfed.federation.peers import pinned
from medfed.federation.site_folder import SiteFolder
from medfed.federation.site_settings import SiteSettings
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
        self._drawers: dict[tuple[str, str], dict[str, Any]] = {}

    def seat(self, order: Order, study: Study) -> Seat:
        """The seat for one order."""
        peers = pinned(self._folder.path)
        questions = _questions(order)
        return Seat(
            site=self._settings.name,
            sites=study.sites,
            peers={site: peers[site] for site in study.sites if site in peers},
            sign=self._key.sign,
            session=_session(order),
            least=max(self._settings.min_sites_in_sum, study.min_sites),
            drawer=self._drawer(order),
            summed=lambda: [self._folder.summed(order, one) for one in questions],
            record=lambda sites: self._record(order, questions, sites),
        )

    def _record(self, order: Order, questions: Sequence[str], sites: str) -> None:
        for question in questions:
            self._folder.record_sum(order, question, sites)

    def _drawer(self, order: Order) -> dict[str, Any]:
        # A study of its own each: else another approved study, which may ask for fewer sites in a
        # sum, could end a conversation that this one began.
        which = (order.run, order.study)
        self._drawers[which] = self._drawers.pop(which, {})  # the latest stands last
        while len(self._drawers) > RUNS:
            del self._drawers[next(iter(self._drawers))]
        return self._drawers[which]


def _session(order: Order) -> bytes:
    """Hash of all that a conversation is about, as its first phase has it.

    What travels down in that phase, the model, is in it: sites that were sent different models
    never come together (Pasquini, Francati and Ateniese 2022, "Eluding secure aggregation in
    federated learning via model inconsistency", CCS).
    """
    about = [order.run, order.study, order.round, order.purpose, order.body, order.payload_sha256]
    return hashlib.sha256(canonical_json(["medfed conversation", *about])).digest()


def _questions(order: Order) -> list[str]:
    """All that an order asks, each of which may be summed over one set of sites only.

    Only what decides the answer is in them: else the same could be asked twice in other words. A
    round of training is one question, and so is the training of one model in any round; a model's
    scores on one set are one, whoever asks for them.
    """
    content = order.content()
    if order.purpose == "query":
        asked: list[list[Any]] = [["query", _query(content["query"])]]
    else:
        model = order.payload_sha256
        asked = [["scores", model, on] for on in sorted({str(one) for one in content["score"]})]
        asked.append([order.purpose, model])
        if order.purpose == "train":
            asked.append(["round", order.round])
    whole = [canonical_json(["medfed question", order.study, *one]) for one in asked]
    return [hashlib.sha256(one).hexdigest() for one in whole]


def _query(asked: Any) -> Any:
    """A query with all its options: one left out and its default are the same."""
    return part_of("query", make("query", part_from_json(asked))).to_json()
