"""DIMSE: C-ECHO, C-FIND, C-GET or C-MOVE, and C-STORE (PS3.4 and PS3.7)."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmread
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
    SegmentationStorage,
)
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made when imported
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from medfed.connectors.pacs.address import DimseAddress, PacsOptions, tls_context
from medfed.connectors.pacs.problems import PacsError
from medfed.connectors.pacs.query import (
    MOST_STUDIES,
    PacsSeries,
    Query,
    missing,
    sorted_series,
    too_many,
)
from medfed.connectors.pacs.receiving import Received, receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pynetdicom.association import Association

CONNECT_SECONDS = 10.0
FIND = StudyRootQueryRetrieveInformationModelFind
GET = StudyRootQueryRetrieveInformationModelGet
MOVE = StudyRootQueryRetrieveInformationModelMove
IMAGES = (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    SegmentationStorage,
)
SYNTAXES = (
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian],
    [JPEGLosslessSV1],
    [JPEGLSLossless],
    [JPEG2000Lossless],
    [RLELossless],
)
"""Each a context of its own: the other side chooses one syntax in each."""

UNKNOWN_CALLING, UNKNOWN_CALLED = 3, 7
PENDING = {0xFF00, 0xFF01}
NO_SUCH_DESTINATION = 0xA801


class DimsePacs:
    """A PACS that is spoken to by DIMSE.

    Args:
        address: its title, host and port.
        options: our own title, and how objects come back.
    """

    def __init__(self, address: DimseAddress, options: PacsOptions) -> None:
        self._address = address
        self._options = options
        self._tls = (tls_context(options), address.host) if options.tls else None

    def check(self) -> str:
        """C-ECHO."""
        with self._association([build_context(Verification)]) as link:
            self._done(link.send_c_echo(), "the echo")
        return f"{self._address.title} answers the echo of {self._options.title}"

    def find(self, query: Query) -> list[PacsSeries]:
        """C-FIND: the studies, then the series of each."""
        found: list[PacsSeries] = []
        with self._association([build_context(FIND)]) as link:
            wanted = {"StudyInstanceUID": "", "StudyDate": "", **query.of_study()}
            studies = self._asked(link, "STUDY", wanted)
            for study in studies:
                wanted = {
                    "StudyInstanceUID": str(study.StudyInstanceUID),
                    "SeriesInstanceUID": "",
                    "Modality": "",
                    "SeriesDescription": "",
                    "NumberOfSeriesRelatedInstances": "",
                    **query.of_series(),
                }
                found += [PacsSeries.of(study, one) for one in self._asked(link, "SERIES", wanted)]
        return sorted_series(found)

    def fetch(
        self, series: PacsSeries, folder: Path, progress: Callable[[int], None] | None = None
    ) -> int:
        """C-GET over the one connection; C-MOVE to a port of ours where one was given."""
        wanted = _identifier(
            "SERIES", {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.series}
        )
        received = Received(folder, series.series, progress)
        if self._options.receive_port is None:
            self._get(wanted, received)
        else:
            self._move(wanted, received, self._options.receive_port)
        received.finish()
        if received.count < (series.objects or 1):
            raise missing(received.count, series.objects or 1)
        return received.count

    def send(self, files: Sequence[Path], progress: Callable[[int], None] | None = None) -> int:
        """C-STORE."""
        headers = [_header(file) for file in files]
        kinds = dict.fromkeys(
            (h.file_meta.MediaStorageSOPClassUID, h.file_meta.TransferSyntaxUID) for h in headers
        )
        contexts = [build_context(kind, [syntax]) for kind, syntax in kinds]
        with self._association(contexts) as link:
            for count, file in enumerate(files, start=1):
                try:
                    status = link.send_c_store(file)
                except ValueError as error:
                    message = f"{self._address.title} does not take objects like {file.name}"
                    raise PacsError("unsupported", message) from error
                self._done(status, f"storing {file.name}")
                if progress:
                    progress(count)
        return len(files)

    def _get(self, wanted: Dataset, received: Received) -> None:
        contexts = [build_context(GET)]
        contexts += [build_context(kind, list(s)) for kind in IMAGES for s in SYNTAXES]
        roles = [build_role(kind, scp_role=True) for kind in IMAGES]
        handlers = [(evt.EVT_C_STORE, received.take)]
        with self._association(contexts, roles, handlers) as link:
            self._retrieved(link.send_c_get(wanted, GET), received)

    def _move(self, wanted: Dataset, received: Received, port: int) -> None:
        contexts = [(kind, [s for group in SYNTAXES for s in group]) for kind in IMAGES]
        own = receiver(self._options, self._address, port, contexts, received)
        with own, self._association([build_context(MOVE)]) as link:
            answers = link.send_c_move(wanted, self._options.title, MOVE)
            self._retrieved(answers, received)

    def _asked(self, link: Association, level: str, wanted: dict[str, str]) -> list[Dataset]:
        """The answers to one C-FIND."""
        answers = []
        for status, identifier in link.send_c_find(_identifier(level, wanted), FIND):
            if status and status.Status in PENDING and identifier is not None:
                answers.append(identifier)
                if len(answers) > MOST_STUDIES and level == "STUDY":
                    raise too_many(len(answers))
            else:
                self._done(status, "the query")
        return answers

    def _retrieved(self, answers: Iterator[tuple[Dataset, Any]], received: Received) -> None:
        for status, _ in answers:
            if status and status.Status in PENDING:
                continue
            received.finish()
            failed = int(status.get("NumberOfFailedSuboperations", 0) or 0) if status else 0
            if failed:
                raise missing(received.count, received.count + failed)
            self._done(status, "the retrieval")

    def _done(self, status: Dataset, what: str) -> None:
        """Complain unless an operation ended well; warnings (0xB…) are well enough.

        Raises:
            PacsError: it did not.
        """
        title = self._address.title
        if not status:
            raise PacsError("timeout", f"{title} broke off {what}, or did not answer in time")
        code = int(status.Status)
        if code == NO_SUCH_DESTINATION:
            message = f"{title} does not know {self._options.title} as a place to send to"
            remedy = "Have this machine's address, port and title entered at the PACS"
            raise PacsError("titles", message, remedy=remedy)
        if code and code & 0xF000 != 0xB000:
            message = f"{title} answered {what} with the status 0x{code:04X}"
            raise PacsError("failed", message, remedy="Its own log says why")

    @contextmanager
    def _association(
        self,
        contexts: list[Any],
        roles: list[Any] | None = None,
        handlers: list[Any] | None = None,
    ) -> Iterator[Association]:
        """A connection, released at the end.

        Raises:
            PacsError: there is none to be had.
        """
        address = self._address
        self._reach()
        entity = AE(self._options.title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = self._options.timeout
        entity.connection_timeout = min(CONNECT_SECONDS, self._options.timeout)
        begin = partial(
            entity.associate,
            address.host,
            address.port,
            contexts=contexts,
            ae_title=address.title,
            ext_neg=roles,
            evt_handlers=handlers,
            tls_args=self._tls,
        )
        try:
            began = time.monotonic()
            link = begin()
            if _unheard(link) and time.monotonic() - began < self._options.timeout / 2:
                _hang_up(link)
                link = begin()  # the port answers: a refusal was lost as the connection closed
        except (OSError, TypeError) as error:  # a host name that cannot be found
            raise self._no_connection() from error
        if not link.is_established:
            _hang_up(link)
            raise self._refusal(link)
        try:
            yield link
        except BaseException as error:
            link.abort()
            if isinstance(error, ValueError):  # no context of the kind was accepted
                raise self._unsupported() from error
            raise
        link.release()

    def _reach(self) -> None:
        """Try the port alone: pynetdicom tells nothing of why a connection fails."""
        where = (self._address.host, self._address.port)
        try:
            with socket.create_connection(
                where, min(CONNECT_SECONDS, self._options.timeout)
            ) as raw:
                if self._tls:
                    context, host = self._tls
                    context.wrap_socket(raw, server_hostname=host).close()
        except ssl.SSLCertVerificationError as error:
            message = f"the certificate of {self._address.host} is not trusted"
            remedy = "Give the hospital's own authority with --ca FILE; it is never left unchecked"
            raise PacsError("certificate", message, remedy=remedy) from error
        except OSError as error:
            raise self._no_connection() from error

    def _refusal(self, link: Association) -> PacsError:
        """Why there is no association."""
        answer = link.acceptor.primitive
        title, own = self._address.title, self._options.title
        if link.is_rejected and answer is not None:
            if answer.diagnostic == UNKNOWN_CALLED and answer.result_source == 1:
                message = f"{self._address.host} is not called {title}"
                return PacsError("titles", message, remedy="Ask for its application entity title")
            if answer.diagnostic == UNKNOWN_CALLING and answer.result_source == 1:
                message = f"{title} does not know {own}"
                remedy = f"Have {own} entered at the PACS, or give the title it knows with --title"
                return PacsError("titles", message, remedy=remedy)
            return PacsError("refused", f"{title} refused the association: {answer.reason_str}")
        if answer is not None and not link.accepted_contexts:
            return self._unsupported()
        return self._no_connection()

    def _unsupported(self) -> PacsError:
        message = f"{self._address.title} does not offer what was asked for"
        remedy = "C-GET is often missing: --receive-port asks for C-MOVE in its place"
        return PacsError("unsupported", message, remedy=remedy)

    def _no_connection(self) -> PacsError:
        where = f"{self._address.host}, port {self._address.port}"
        remedy = "Check address and port, the firewall between, and whether it wants TLS (--tls)"
        return PacsError("unreachable", f"{where} cannot be reached", remedy=remedy)


def _identifier(level: str, values: dict[str, str]) -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(dataset, keyword, value or None)
    return dataset


def _header(file: Path) -> Any:
    try:
        return dcmread(file, stop_before_pixels=True)
    except FileNotFoundError:
        raise PacsError("not-found", f"there is no file {file}") from None
    except Exception as error:
        raise PacsError("failed", f"{file.name} is no DICOM file") from error


def _hang_up(link: Association) -> None:
    """Close what pynetdicom leaves open where the other side has cut the connection."""
    held = link.dul.socket
    if held is not None and held.socket is not None:
        held.socket.close()


def _unheard(link: Association) -> bool:
    """Whether a connection ended without a yes or a no."""
    return not link.is_established and link.acceptor.primitive is None
