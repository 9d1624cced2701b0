"""Sites that sum securely in one process, and a coordinator that may do as it likes."""

import secrets
from dataclasses import replace
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.aggregators.secure.fixed_point import step_of
from medfed.aggregators.secure.layout import Layout
from medfed.aggregators.secure.messages import message, table_of
from medfed.aggregators.secure.rules import Advert, Roster
from medfed.aggregators.secure.sum import SecureSum
from medfed.core.aggregator import Seat
from medfed.core.errors import Refused, WireError
from medfed.core.packing import PackedUpdate
from medfed.core.update import Update


class Drawer(dict):
    """A site's memory of its conversations."""


class Hospitals:
    """Sites at their seats; an honest coordinator's `ask`, and single orders for a dishonest one.

    Args:
        updates: For each site what it would send.
        lost: For each step the sites that fall silent at it, before they answer.
    """

    def __init__(self, updates, rule=None, lost=()):
        self.rule = rule or SecureSum()
        self.updates = dict(updates)
        self.lost = {step: set(sites) for step, sites in dict(lost).items()}
        self.keys = {site: Ed25519PrivateKey.generate() for site in updates}
        self.summed = dict.fromkeys(updates, "")
        self.seats = {site: self._seat(site) for site in updates}
        self.missing = {}
        self.said = []

    def _seat(self, site):
        peers = {name: key.public_key().public_bytes_raw() for name, key in self.keys.items()}

        def record(sites):
            self.summed[site] = sites

        return Seat(
            site=site,
            sites=tuple(self.keys),
            peers=peers,
            sign=self.keys[site].sign,
            session=b"\1" * 32,
            least=3,
            drawer=Drawer(),
            summed=lambda: [self.summed[site]],
            record=record,
        )

    def change(self, site, **fields):
        """Change a site's seat."""
        self.seats[site] = replace(self.seats[site], **fields)

    def order(self, site, phase, received=None):
        """One order to one site, whoever sent it."""
        half = self.rule.seated(self.seats[site])
        answer, _ = half.answer(phase, received or Update(), partial(self._work, site), {})
        return answer

    def _work(self, site):
        return self.updates[site]

    def ask(self, phase, each, *together):
        """What `Exchange.ask` does: whoever was missing once is asked no more in the round."""
        step = phase.partition("-")[0]
        replies = []
        for site in self.updates:
            if site in self.lost.get(step, ()) and site not in self.missing:
                self.missing[site] = "silent"
            if site in self.missing:
                continue
            try:
                found = [self.order(site, one, each.get(site)) for one in (phase, *together)]
            except Refused as no:
                self.missing[site] = no.name
                continue
            except WireError:
                self.missing[site] = "malformed-order"
                continue
            self.said.extend((step, site, reply) for reply in found)
            replies.extend(PackedUpdate(site, reply) for reply in found)
        return replies

    def gather(self):
        """An honest conversation."""
        return self.rule.gather(self.ask, {})


class Liar:
    """A coordinator that goes step by step, and may send each site something else."""

    def __init__(self, hospitals, name=None):
        self.hospitals = hospitals
        self.name = name or secrets.token_hex(8)
        self.sites = list(hospitals.updates)

    def send(self, step, site, table):
        return self.hospitals.order(site, f"{step}-{self.name}", message(table))

    def tell(self, step, table, sites=None):
        """The same to several sites; their tables."""
        return {site: table_of(self.send(step, site, table)) for site in sites or self.sites}

    def keys(self):
        self.tables = self.tell("keys", {})
        self.adverts = {site: table["advert"] for site, table in self.tables.items()}
        self.layout = next(iter(self.tables.values()))["layout"]
        return self

    def roster(self):
        table = self.tables[self.sites[0]]
        adverts = {site: Advert.from_json(one) for site, one in self.adverts.items()}
        session = bytes.fromhex(table["session"])
        return Roster(session, table["terms"], Layout.from_json(table["layout"]), adverts)

    def shares(self, sites=None, **changes):
        table = {"adverts": self.adverts, "layout": self.layout} | changes
        self.sealed = {
            site: found["sealed"] for site, found in self.tell("shares", table, sites).items()
        }
        return self

    def inbox(self, site):
        return {"sealed": {by: box[site] for by, box in self.sealed.items() if by != site}}

    def masked(self, sites=None):
        self.parts = {
            site: self.send("masked", site, self.inbox(site)) for site in sites or self.sites
        }
        return self

    def agree(self, survivors, sites=None):
        """Signatures over a list of survivors."""
        found = self.tell("agree", {"survivors": list(survivors)}, sites or survivors)
        return {site: table["signature"] for site, table in found.items()}

    def unmask(self, signatures, sites=None):
        return self.tell("unmask", {"signatures": signatures}, sites or list(signatures))


def updates_of(sites, size=50, seed=0, scale=3.0):
    """What so many hospitals would send: a model, buffers, weights and figures."""
    rng = np.random.default_rng(seed)
    found = {}
    for i in range(sites):
        weight = float(rng.integers(20, 400))
        tensors = {
            "model/a": (scale * rng.standard_normal(size)).astype(np.float32),
            "model/b.weight": rng.standard_normal((3, 4)).astype(np.float32),
            "buffers/n": rng.integers(0, 10**6, 1).astype(np.float64),
        }
        stats = {"n": np.array(int(rng.integers(0, 10**9))), "sum": rng.standard_normal(3) * 1e6}
        found[f"s{i:02}"] = Update(tensors, {"model": weight, "buffers": weight}, stats)
    return found


def rounded(update, name, sites, rule=None):
    """A narrow tensor as whole steps, int64."""
    rule = rule or SecureSum()
    step = step_of(rule.bits, rule.reach, sites)
    values = np.clip(update.tensors[name].astype(np.float64), -rule.reach, rule.reach)
    return np.rint(values * (1.0 / step)).astype(np.int64)
