"""The job of sending signed results to the hospital's PACS."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfed.core.errors import SiteError
from medfed.core.private_files import readable
from medfed.core.toml_guard import complaint
from medfed.services.accounts import Identity
from medfed.services.hospital.work import Work
from medfed.services.inference.desk import Desk
from medfed.services.inference.exporting import MEASUREMENTS, SEGMENTATION
from medfed.services.inference.inferences import SEND, Inferences
from medfed.services.inference.keeping import vault_of
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database.tables import InferenceRow, JobRow
from medfed.storage.database.types import now

if TYPE_CHECKING:
    from medfed.connectors.pacs import PacsOptions

FILE = "pacs.toml"
FORM = 'Write it as: address = "https://HOST/PATH" or address = "TITLE@HOST:PORT"'


@dataclass(frozen=True, slots=True)
class PacsSettings:
    """``pacs.toml`` in a site's folder: where results may be sent, and nowhere else.

    Attributes:
        address: ``https://HOST/PATH`` for DICOMweb, ``TITLE@HOST:PORT`` for DIMSE.
        own_title: Our own application entity title.
        tls: DIMSE over TLS.
        ca: File of certificates to trust, in place of the system's.
        certificate: File of our own, with its key, where the PACS asks for one.
        plain_http: Allow http:// to another machine.
    """

    address: str
    own_title: str = "MEDFED"
    tls: bool = False
    ca: str = ""
    certificate: str = ""
    plain_http: bool = False

    @classmethod
    def read(cls, site: Path) -> "PacsSettings | None":
        """What a site's folder says; None where it says nothing.

        Raises:
            SiteError: The file cannot be used.
        """
        from medfed.connectors.pacs import parse_address

        path = site / FILE
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as error:
            raise SiteError(f"{path} cannot be read: {error}", remedy=FORM) from error
        try:
            if why := complaint(text):
                raise SiteError(f"{path} cannot be read: {why}", remedy=FORM)
            settings = cls(**tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SiteError(f"{path} is no TOML: {error}", remedy=FORM) from None
        except TypeError:
            known = ", ".join(field.name for field in fields(cls))
            raise SiteError(f"{path} holds something else than {known}", remedy=FORM) from None
        wrong = [f.name for f in fields(cls) if not isinstance(getattr(settings, f.name), f.type)]  # type: ignore[arg-type]  # plain classes here
        if wrong:
            raise SiteError(f"{path}: {wrong[0]} is of another kind", remedy=FORM)
        parse_address(settings.address)
        return settings

    def options(self, environment: Mapping[str, str]) -> "PacsOptions":
        """How to speak to it; who we are stands in the environment."""
        from medfed.connectors.pacs import PacsOptions

        return PacsOptions(
            title=self.own_title,
            tls=self.tls,
            ca=Path(self.ca) if self.ca else None,
            certificate=Path(self.certificate) if self.certificate else None,
            plain_http=self.plain_http,
            user=environment.get("MEDFED_PACS_USER", ""),
            password=environment.get("MEDFED_PACS_PASSWORD", ""),
            token=environment.get("MEDFED_PACS_TOKEN", ""),
        )


def ask_to_send(inferences: Inferences, by: Identity, inference: str) -> JobRow:
    """Have signed results sent to the hospital's PACS.

    Raises:
        AccessError: ``by`` may not.
        Conflict: They are not signed and ready, or there is nowhere to send them to.
    """
    row = inferences.find(inference)
    if row.signed is None or not row.exported:
        raise Conflict("this review is not signed", remedy="Review all findings, then sign")
    if PacsSettings.read(inferences.place.site) is None:
        raise Conflict(
            "this hospital has named no PACS",
            remedy=f"Whoever runs the site writes its address into {FILE} in the site's folder",
        )
    return inferences.queue(by, inference, SEND, action="inference.export")


def send(work: Work) -> dict[str, Any]:
    """Store the DICOM objects of a signed review in the PACS."""
    from medfed.connectors.pacs import open_pacs

    desk = Desk.open(work.jobs.database, work.console, work.site)
    row = desk.inferences.find(work.job.options["inference"])
    vault_of(desk.place)
    settings = PacsSettings.read(work.site)
    folder = desk.place.reviewed(row.id)
    files = [folder / n for n in (SEGMENTATION, MEASUREMENTS) if (folder / n).is_file()]
    if row.signed is None or not row.exported:
        raise Conflict("this review is not signed", remedy="Review all findings, then sign")
    if settings is None or not files:
        raise Missing("there is nothing to send, or nowhere to send it to")
    with readable(folder) as opened:
        sent_files = [opened / file.name for file in files]
        count = open_pacs(settings.address, settings.options(os.environ)).send(sent_files)
    sent = {
        "to": settings.address, "by": work.job.owner, "at": now().isoformat(), "objects": count,
        "signed": row.signed.isoformat(),
    }  # fmt: skip
    with work.jobs.database.write() as session:
        session.get_one(InferenceRow, row.id).sent = sent
    return {"objects": count}
