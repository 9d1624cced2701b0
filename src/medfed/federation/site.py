"""The site's half of a round: check, work, seal, receipt. It has the last word."""

import errno
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from medfed.core.errors import (
    DataError,
    MedfedError,
    Refused,
    StudyError,
    WireError,
    WireVersionError,
)
from medfed.core.ledger import Ledger
from medfed.core.study import Study
from medfed.core.update import Update
from medfed.federation.audit.log import AuditLog
from medfed.federation.receipts import make_receipt, sign_receipt
from medfed.federation.seat import Seats
from medfed.federation.site_desk import Desk
from medfed.federation.site_folder import SiteFolder
from medfed.federation.site_settings import SiteSettings
from medfed.federation.site_work import Work, patients_used
from medfed.federation.spool import decode_update, encode_update
from medfed.federation.wire import (
    Order,
    Reply,
    Sealed,
    open_order,
    open_reply,
    seal,
    sha256,
    shown,
    version_asked_in,
)


class Site:
    """One hospital. `handle` takes an order and gives a reply, whatever happens.

    Args:
        folder: The site's folder.
        settings: What its ``site.toml`` says.
        key: Its private key.
        coordinator: The only key whose orders it obeys; None refuses all.
        log: The site's own log, which never leaves it.
        ledger: What its patients' privacy has been spent on; without one it takes no part in
            studies with privacy lines.
    """

    def __init__(
        self,
        folder: SiteFolder,
        settings: SiteSettings,
        key: Ed25519PrivateKey,
        coordinator: Ed25519PublicKey | None,
        log: logging.Logger,
        ledger: Ledger | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.key = key
        self.coordinator = coordinator
        self.log = log
        self.ledger = ledger
        self._audit: AuditLog | None = None
        self._desks: dict[str, Desk] = {}
        self._seats = Seats(folder, settings, key)

    @property
    def name(self) -> str:
        """The site's name."""
        return self.settings.name

    def handle(self, sealed: Sealed) -> Sealed:
        """Answer an order: with an update, or with a refusal under a public name.

        The same order again gets the stored reply; it is never worked on twice. A reply is in the
        wire version of its order.
        """
        start = time.perf_counter()
        order: Order | None = None
        try:
            order = self._open(sealed)
            study = self.folder.approved(order.study)  # nothing leaves after it was withdrawn
            return self._stored(order) or self._answer(order, study, sealed, start)
        except Refused as no:
            return self._refuse(order, no, sealed)
        except Exception as error:  # a traceback may carry patient data: it stays in the site's log
            self.log.exception("an order could not be answered")
            return self._refuse(order, _public(error), sealed)

    def _open(self, sealed: Sealed) -> Order:
        if self.coordinator is None:
            message = "this site has not pinned a coordinator's key"
            raise Refused("bad-signature", message, remedy="Run `medfed site trust` there")
        most = self.settings.max_order_mb
        if len(sealed.payload) > most * 2**20:  # not even hashed
            message = f"the order has {len(sealed.payload)} bytes, this site takes {most} MB"
            remedy = "Raise max_order_mb in its site.toml if such a model is meant"
            raise Refused("malformed-order", message, remedy=remedy)
        try:
            order = open_order(sealed, self.coordinator)
        except WireVersionError as error:
            raise Refused("wire-version", error.message, remedy=error.remedy) from None
        except WireError as error:
            raise Refused("bad-signature", error.message) from None
        if order.site != self.name:
            raise Refused("not-for-this-site")
        return order

    def _stored(self, order: Order) -> Sealed | None:
        """The reply already given to this very order, if it is whole."""
        stored = self.folder.stored_reply(order)
        if stored is None:
            return None
        try:
            reply = open_reply(stored, self.key.public_key(), self.name)
        except WireError:  # a power cut came between its parts: do the work again
            self.log.warning("a stored reply is damaged")
            return None
        if reply.order != order.id:
            return None
        if reply.version != order.version:  # one of the two sides was updated in between
            return seal(replace(reply, version=order.version), self.key, stored.payload)
        return stored

    def _answer(self, order: Order, study: Study, sealed: Sealed, start: float) -> Sealed:
        self.folder.turn_to(order)
        desk = self._desk(order.study, study)
        desk.privacy.begin(order)
        work = Work(order, desk, decode_update(sealed.payload), self.folder.memory(order))
        if desk.seated:
            work.aggregator = desk.seated.seated(self._seats.seat(order, study))
        update = work.answer()
        patients = patients_used(order, work.content, desk.data)
        reply = self._seal(order, desk, update, patients, start)
        if order.purpose != "query" and work.learned:
            self.folder.propose_memory(order, work.memory)
        if work.personal_model:
            self.folder.keep_model(order, work.personal_model)
        self.folder.store_reply(order, reply)
        return reply

    def _desk(self, digest: str, study: Study) -> Desk:
        if digest not in self._desks:
            # A study that paid once keeps its noised records: another draw would be paid for anew.
            kept = {known: desk for known, desk in self._desks.items() if desk.privacy.once}
            desk = Desk.open(study, self.folder, self.settings, self.ledger)
            self._desks = {**kept, digest: desk}
        return self._desks[digest]

    def _seal(
        self, order: Order, desk: Desk, update: Update, patients: int, start: float
    ) -> Sealed:
        payload = encode_update(update)
        digest = sha256(payload)
        reply = Reply(
            run=order.run,
            site=self.name,
            order=order.id,
            base_sha256=order.payload_sha256,
            refusal="",
            message="",
            payload_sha256=digest,
            payload_bytes=len(payload),
            seconds=self._worked(order, start),
            version=order.version,
        )
        title, said = desk.study.title, ""
        if desk.seated:
            said = desk.seated.said(order.phase)
        receipt = make_receipt(order, title, update, patients, len(payload), digest, said)
        self.folder.approved(order.study)  # again: it may have been withdrawn during the work
        kept = self.folder.add_receipt(order, sign_receipt(receipt, self.key))
        self._logged("receipt", kept)
        return seal(reply, self.key, payload)

    def _logged(self, kind: str, record: Mapping[str, Any]) -> None:
        if self._audit is None:
            receipts = self.folder.receipts()
            self._audit = AuditLog(
                self.folder.path, self.name, self.key, receipts, self.folder.vault
            )
        self._audit.add(kind, record)

    def _worked(self, order: Order, start: float) -> float:
        """Seconds since an order came in; both lengths are this site's, no clocks are compared."""
        seconds = time.perf_counter() - start
        if 0 < order.deadline < seconds:
            message = "the work took %.0f s and the coordinator waits for %.0f s: it may be late"
            self.log.warning(message, seconds, order.deadline)
        return seconds

    def _refuse(self, order: Order | None, no: Refused, sealed: Sealed) -> Sealed:
        self.log.warning("refused (%s): %s", no.name, f"{no}: {no.inside}" if no.inside else no)
        if order is not None:  # whoever cannot sign as the coordinator does not fill the log
            with suppress(OSError, DataError):  # a no goes out whatever the disk says
                asked = {"run": order.run, "study": order.study, "order": order.id}
                self._logged("refusal", {**asked, "name": no.name})
        reply = Reply(
            run=order.run if order else "",
            site=self.name,
            order=order.id if order else "",
            base_sha256="",
            refusal=no.name,
            message=shown(str(no)).encode(errors="replace").decode(),  # a path may hold any bytes
            payload_sha256=sha256(b""),
            payload_bytes=0,
            version=order.version if order else version_asked_in(sealed.header),
        )
        return seal(reply, self.key)


def _public(error: Exception) -> Refused:
    """The public name of a failure; its own words stay at the site unless we wrote them."""
    if isinstance(error, DataError):
        return Refused("no-data", error.message, remedy=error.remedy)
    if isinstance(error, StudyError):
        return Refused("missing-part")
    if isinstance(error, WireError):
        return Refused("malformed-order", error.message)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Refused("out-of-space")
    if isinstance(error, MedfedError):
        return Refused("training-failed", error.message)
    return Refused("training-failed")
