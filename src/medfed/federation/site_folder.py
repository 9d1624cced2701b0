"""What a site keeps on its own disk: key, trust, approvals, replies, memory and receipts.

::

    site.toml                        name, data folder, rules
    key.pem  key.pub                 the site's identity
    coordinator.pub                  the one key whose orders it obeys
    approved/DIGEST.json             studies it has approved, whole
    approved/DIGEST.by               who approved it in a console, and when
    at-rest.json                     the wrapped key of an encrypted folder
    runs/RUN/reply/ROUND-ORDER       a sealed reply: sent again when asked again
    runs/RUN/memory-ROUND.safetensors    proposed with a reply, used once a later order confirms it
    runs/RUN/sums.jsonl              which question was summed over which sites
    peers/NAME.pub                   other sites' keys, for conversations among sites
    receipts/RUN.jsonl               what left, reply by reply
    audit/                           the log of receipts and refusals, see `medfed audit`
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from medfed.core.errors import DataError, Refused, SiteError, WireError
from medfed.core.files import append_line, canonical_json, read_lines, write_atomic
from medfed.core.no_pickles import unpickling_refused
from medfed.core.private_lines import append_private, read_private
from medfed.core.study import Study
from medfed.core.update import Tensors
from medfed.core.vault import OPEN, Vault
from medfed.federation.site_settings import SiteSettings, read_settings
from medfed.federation.wire import Order, Sealed

TRUST = "coordinator.pub"
MEMORY, ENDING = "memory-", ".safetensors"
SUMS = "sums.jsonl"
RECEIPTS = "receipts"


SAME_REPLY = ("round", "purpose", "phase", "sha256")
"""By what two receipts of a run are known to be of the same reply."""


class SiteFolder:
    """Access to a site's folder; every write is whole or absent.

    Args:
        path: The folder.
        vault: How replies, memory, personal models and receipts lie there. Whoever reads none of
            them needs none.
    """

    def __init__(self, path: Path, vault: Vault = OPEN) -> None:
        self.path = path
        self.vault = vault
        self._approved_versions: dict[tuple[str, int, int, int], Study] = {}
        self._runs: dict[str, Path] = {}
        self._receipted: set[Path] = set()
        self._kept: dict[str, set[int]] = {}
        self._answered: dict[str, dict[Path, int]] = {}

    def settings(self) -> SiteSettings:
        """Read ``site.toml``; see `medfed.federation.site_settings.read_settings`."""
        return read_settings(self.path)

    def approve(self, study: Study, by: str = "") -> None:
        """Keep a study among the approved, under its digest.

        Args:
            study: The study.
            by: Who approves it in a console; empty where somebody does at the machine.
        """
        folder, note = self.path / "approved", self._approver(study.digest)
        folder.mkdir(exist_ok=True)
        note.unlink(missing_ok=True)  # an earlier approval's: no name is better than a wrong one
        if by:
            told = {"by": by, "time": datetime.now(UTC).isoformat()}
            write_atomic(note, canonical_json(told))
        write_atomic(folder / f"{study.digest}.json", canonical_json(study.to_json()))

    def approval(self, digest: str) -> tuple[datetime, str]:
        """When an approved study was approved, and by whom; empty where at the machine."""
        try:
            told = json.loads(self._approver(digest).read_bytes())
            return datetime.fromisoformat(told["time"]).astimezone(UTC), str(told["by"])
        except (OSError, LookupError, TypeError, ValueError):
            file = self.path / "approved" / f"{digest}.json"
            return datetime.fromtimestamp(file.stat().st_mtime, UTC), ""

    def whole_digest(self, beginning: str) -> str:
        """The digest of the one approved study whose digest begins so.

        Raises:
            SiteError: No study, or more than one, is approved under it.
        """
        found = [f.stem for f in self._approved() if f.stem.startswith(beginning.lower())]
        if len(found) != 1:
            count = "more than one" if found else "no"
            remedy = f"`medfed site show {self.path}` lists what is approved"
            raise SiteError(f"{count} approved study has the digest {beginning!r}", remedy=remedy)
        return found[0]

    def revoke(self, digest: str) -> None:
        """Withdraw an approval.

        Args:
            digest: The study's, or its beginning.

        Raises:
            SiteError: No study, or more than one, is approved under it.
        """
        whole = self.whole_digest(digest)
        (self.path / "approved" / f"{whole}.json").unlink()
        self._approver(whole).unlink(missing_ok=True)

    def approved(self, digest: str) -> Study:
        """The study approved under a digest, checked against it.

        Raises:
            Refused: ``not-approved``.
        """
        file = self.path / "approved" / f"{_safe(digest)}.json"
        try:
            found = file.stat()
        except FileNotFoundError:
            remedy = "Ask the site to run `medfed site approve`"
            raise Refused("not-approved", remedy=remedy) from None
        version = (digest, found.st_mtime_ns, found.st_size, found.st_ino)
        if version not in self._approved_versions:
            study = stored_study(file)
            if study is None or study.digest != digest:
                raise Refused("not-approved", "the approved study was changed on this site's disk")
            self._approved_versions = {version: study}
        return self._approved_versions[version]

    def approvals(self) -> list[Study]:
        """All approved studies, but for files that were changed: they approve nothing."""
        found = {file.stem: stored_study(file) for file in self._approved()}
        return [study for digest, study in found.items() if study and study.digest == digest]

    def _approver(self, digest: str) -> Path:
        return self.path / "approved" / f"{digest}.by"

    def _approved(self) -> list[Path]:
        return sorted((self.path / "approved").glob("*.json"))

    def stored_reply(self, order: Order) -> Sealed | None:
        """The reply already given to this very order; None when there is none that is whole."""
        try:
            return Sealed.from_bytes(self.vault.read(self._reply(order)))
        except (FileNotFoundError, WireError, DataError):
            return None

    def store_reply(self, order: Order, reply: Sealed) -> None:
        """Keep a reply. Not flushed: should the power fail, the site does the work again."""
        file = self._reply(order)
        try:
            self.vault.write(file, reply.pieces(), durable=False)
        except FileNotFoundError:  # the run's first
            file.parent.mkdir(parents=True, exist_ok=True)
            self.vault.write(file, reply.pieces(), durable=False)
        self._replies(order)[file] = order.round

    def turn_to(self, order: Order) -> None:
        """Drop stored replies that not even a coordinator one checkpoint back asks for again.

        Raises:
            Refused: ``stale-order``: this site has answered later rounds of the run.
        """
        replies = self._replies(order)
        if order.round < max(replies.values(), default=-1) - 1:
            raise Refused("stale-order")
        for file in [file for file, round_ in replies.items() if round_ < order.round - 1]:
            file.unlink(missing_ok=True)
            del replies[file]

    @unpickling_refused()
    def memory(self, order: Order) -> dict[str, np.ndarray[Any, Any]]:
        """The memory proposed in the round that the order confirms.

        Raises:
            Refused: ``stale-memory``: no longer kept, or damaged.
        """
        if order.memory == 0:
            return {}
        if not self._versions(order) and self._run(order).is_dir():
            return {}  # it has answered before and never had anything to remember
        try:
            return load(self.vault.read(self._run(order) / _memory_name(order.memory)))
        except (OSError, SafetensorError, DataError):
            raise Refused("stale-memory") from None

    def propose_memory(self, order: Order, memory: Tensors) -> None:
        """Keep a new version beside the confirmed one and the one before; older ones go.

        The one before serves a coordinator that lost its latest checkpoint. A site that has
        nothing to remember writes nothing.
        """
        if not memory and not self._versions(order):
            return
        folder = self._run(order)
        folder.mkdir(parents=True, exist_ok=True)
        blob = save({name: np.asarray(value, order="C") for name, value in memory.items()})
        self.vault.write(folder / _memory_name(order.round), blob)
        versions = self._versions(order)
        versions.add(order.round)
        # A later phase of a round builds on what an earlier one proposed: that confirms nothing.
        sure = min(order.memory, order.round - 1)
        confirmed = sorted(version for version in versions if version <= sure)[-2:]
        for version in versions - {*confirmed, order.round}:
            (folder / _memory_name(version)).unlink(missing_ok=True)
            versions.remove(version)

    def keep_model(self, order: Order, model: Tensors) -> None:
        """Keep the personal model of a finished run; it never leaves."""
        folder = self._run(order)
        folder.mkdir(parents=True, exist_ok=True)
        blob = save({name: np.asarray(value, order="C") for name, value in model.items()})
        self.vault.write(folder / "model.safetensors", blob)

    def add_receipt(self, order: Order, receipt: dict[str, Any]) -> dict[str, Any]:
        """Append a signed receipt; the one that is kept.

        A site that was killed after it wrote one and before its reply was safe makes that reply
        again: it has its receipt already.
        """
        file = self.path / RECEIPTS / f"{_safe(order.run)}.jsonl"
        last = []
        if file not in self._receipted:
            file.parent.mkdir(exist_ok=True)
            last = read_receipts(file, self.vault)[-1:]
        self._receipted = {file}
        for one in last:
            if all(one.get(k) == receipt[k] for k in SAME_REPLY):
                return dict(one)
        append_private(file, receipt, self.vault, receipts_of(file))
        return receipt

    def summed(self, order: Order, question: str) -> str:
        """Over which sites a question of the order's run was summed; empty if it was not."""
        lines = read_lines(self._run(order) / SUMS)
        return next((str(one["sites"]) for one in lines if one["question"] == question), "")

    def record_sum(self, order: Order, question: str, sites: str) -> None:
        """Keep over which sites a question is summed, before the sum can be known."""
        if self.summed(order, question) != sites:
            self._run(order).mkdir(parents=True, exist_ok=True)
            append_line(self._run(order) / SUMS, {"question": question, "sites": sites})

    def receipts(self, run: str | None = None) -> Iterator[dict[str, Any]]:
        """Receipts of one run or of all, in the order they were written."""
        pattern = f"{_safe(run)}.jsonl" if run else "*.jsonl"
        for file in sorted((self.path / RECEIPTS).glob(pattern)):
            yield from read_receipts(file, self.vault)

    def _run(self, order: Order) -> Path:
        if order.run not in self._runs:
            self._runs = {order.run: self.path / "runs" / _safe(order.run)}
        return self._runs[order.run]

    def _versions(self, order: Order) -> set[int]:
        """Rounds whose memory is kept; nobody but this object writes or removes any."""
        if order.run not in self._kept:
            names = _names(self._run(order))
            found = {int(n[len(MEMORY) : -len(ENDING)]) for n in names if n.startswith(MEMORY)}
            self._kept = {order.run: found}
        return self._kept[order.run]

    def _reply(self, order: Order) -> Path:
        return self._run(order) / "reply" / f"{order.round:06d}-{order.id[:32]}"

    def _replies(self, order: Order) -> dict[Path, int]:
        """The round of each stored reply of a run; nobody but this object writes any."""
        if order.run not in self._answered:
            folder = self._run(order) / "reply"
            found = [name for name in _names(folder) if name[0].isdigit()]
            rounds = {folder / name: int(name.partition("-")[0]) for name in found}
            self._answered = {order.run: rounds}
        return self._answered[order.run]


def stored_study(file: Path) -> Study | None:
    """The study that a file of canonical JSON holds; None where it holds none."""
    try:
        return Study.from_json(json.loads(file.read_bytes()))
    except (OSError, LookupError, TypeError, ValueError, AttributeError):
        return None


def read_receipts(file: Path, vault: Vault) -> list[Any]:
    """The receipts of one run.

    Raises:
        DataError: A line is damaged, or was changed.
    """
    return read_private(file, vault, receipts_of(file))


def receipts_of(file: Path) -> str:
    """What a file of receipts is, for whoever seals its lines."""
    return f"{RECEIPTS}/{file.name}"


def _memory_name(round_: int) -> str:
    return f"{MEMORY}{round_:06d}{ENDING}"


def _names(folder: Path) -> list[str]:
    """What lies in a folder that may not be there; quicker than a glob, and asked at each order."""
    try:
        return os.listdir(folder)  # noqa: PTH208  # names are all that is needed
    except FileNotFoundError:
        return []


def _safe(name: str) -> str:
    """A name that came over the wire, fit to be a file's."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", name):
        raise Refused("malformed-order")
    return name
