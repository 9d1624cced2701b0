"""DIMSE against small PACSs that pynetdicom plays: what Orthanc cannot be made to do wrong."""

import contextlib
import ssl
from pathlib import Path

import pytest
from integration.orthanc import make_certificate
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from unit.connectors.dicom_files import ramp, write_series

from medfed.connectors.pacs import PacsError, PacsOptions, PacsSeries, Query, open_pacs

# pynetdicom 3.0 leaves a socket to the garbage collector when an association is refused.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SERIES = PacsSeries("1.2.3", "1.2.3.4", "", "CT", "", 2)


@contextlib.contextmanager
def playing(*kinds, handlers=(), context=None):
    """A PACS that knows some kinds of request; its address."""
    entity = AE("PLAYED")
    for kind in (Verification, *kinds):
        entity.add_supported_context(kind)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=list(handlers), ssl_context=context
    )
    try:
        yield f"PLAYED@127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()


def refused(call, *arguments) -> PacsError:
    with pytest.raises(PacsError) as caught:
        call(*arguments)
    return caught.value


def answer(**fields) -> Dataset:
    made = Dataset()
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def test_what_a_pacs_does_not_offer_is_said(tmp_path):
    with playing() as address:
        pacs = open_pacs(address, PacsOptions(timeout=5))
        assert "answers the echo" in pacs.check()
        error = refused(pacs.fetch, SERIES, tmp_path)
        assert (error.name, "--receive-port" in error.remedy) == ("unsupported", True)
        assert refused(pacs.find, Query()).name == "unsupported"
        folder = write_series(tmp_path / "ct", ramp((2, 8, 8)))
        assert refused(pacs.send, sorted(folder.iterdir())).name == "unsupported"


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001])
def test_a_failed_request_names_its_status(tmp_path, status):
    handlers = [
        (evt.EVT_C_FIND, lambda _: iter([(status, None)])),
        (evt.EVT_C_STORE, lambda _: status),
    ]
    kinds = (StudyRootQueryRetrieveInformationModelFind, CTImageStorage)
    with playing(*kinds, handlers=handlers) as address:
        pacs = open_pacs(address, PacsOptions(timeout=5))
        assert f"0x{status:04X}" in str(refused(pacs.find, Query()))
        folder = write_series(tmp_path / "ct", ramp((2, 8, 8)))
        assert f"0x{status:04X}" in str(refused(pacs.send, sorted(folder.iterdir())))


def test_too_many_studies_are_not_listed():
    def many(event):
        for number in range(300):
            yield 0xFF00, answer(StudyInstanceUID=f"1.2.{number}", QueryRetrieveLevel="STUDY")

    kind = StudyRootQueryRetrieveInformationModelFind
    with playing(kind, handlers=[(evt.EVT_C_FIND, many)]) as address:
        error = refused(open_pacs(address, PacsOptions(timeout=5)).find, Query())
        assert "more than 200" in str(error)


def test_a_pacs_that_does_not_know_where_to_send_is_told_apart(tmp_path):
    from integration.enrolling import free_port

    def unknown(event):
        yield None, None  # pynetdicom answers 0xA801, move destination unknown

    kind = StudyRootQueryRetrieveInformationModelMove
    with playing(kind, handlers=[(evt.EVT_C_MOVE, unknown)]) as address:
        options = PacsOptions(timeout=5, receive_port=free_port())
        error = refused(open_pacs(address, options).fetch, SERIES, tmp_path)
        assert (error.name, "MEDFED" in str(error)) == ("titles", True)


def test_objects_that_nobody_asked_for_are_refused(tmp_path):
    folder = write_series(tmp_path / "ct", ramp((2, 8, 8)))
    import pydicom

    def send(event):
        yield 1
        yield 0xFF00, pydicom.dcmread(next(folder.iterdir()))

    kinds = (StudyRootQueryRetrieveInformationModelGet,)
    (tmp_path / "got").mkdir()
    entity_kinds = (*kinds, CTImageStorage)
    with playing_roles(entity_kinds, [(evt.EVT_C_GET, send)]) as address:
        pacs = open_pacs(address, PacsOptions(timeout=5))
        assert refused(pacs.fetch, SERIES, tmp_path / "got").name == "incomplete"
    assert list((tmp_path / "got").iterdir()) == []


@contextlib.contextmanager
def playing_roles(kinds, handlers):
    """As `playing`, with the roles that C-GET needs."""
    entity = AE("PLAYED")
    for kind in kinds:
        entity.add_supported_context(kind, scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield f"PLAYED@127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()


def test_tls_is_checked(tmp_path: Path):
    make_certificate(tmp_path / "server.pem", tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with playing(context=context) as address:
        trusted = PacsOptions(timeout=5, tls=True, ca=tmp_path / "ca.pem")
        assert "answers the echo" in open_pacs(address, trusted).check()
        untrusted = open_pacs(address, PacsOptions(timeout=5, tls=True))
        assert refused(untrusted.check).name == "certificate"


def test_files_that_are_no_dicom_are_not_sent(tmp_path):
    (tmp_path / "no.dcm").write_bytes(b"no")
    with playing(CTImageStorage) as address:
        pacs = open_pacs(address, PacsOptions(timeout=5))
        assert refused(pacs.send, [tmp_path / "no.dcm"]).name == "failed"
        assert refused(pacs.send, [tmp_path / "none.dcm"]).name == "not-found"


def test_a_port_that_is_taken_is_said(tmp_path):
    import socket

    kind = StudyRootQueryRetrieveInformationModelMove
    with playing(kind) as address, socket.create_server(("127.0.0.1", 0)) as taken:
        options = PacsOptions(timeout=5, receive_port=taken.getsockname()[1])
        error = refused(open_pacs(address, options).fetch, SERIES, tmp_path)
        assert "--receive-port" in str(error)
