"""A real PACS: asked, fetched from and sent to, by DICOMweb and by DIMSE."""

import gc
import json
import socket
import subprocess
import threading
import urllib.error

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from integration.enrolling import HOST, free_port
from integration.orthanc import OWN_TITLE, TITLE
from pydicom.uid import JPEGLSLossless
from unit.connectors.dicom_files import ramp, uid, write_series

from medfed.cli import cli
from medfed.connectors.pacs import PacsError, PacsOptions, Query, open_pacs
from medfed.connectors.scans import read_scan
from medfed.services.imports import import_from_pacs, list_scans
from medfed.services.sites import create_site

pytestmark = [
    pytest.mark.needs_package("orthanc"),
    pytest.mark.needs_package("orthanc-dicomweb"),
    # pynetdicom 3.0 leaves a socket to the garbage collector when an association is refused.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SHAPE = (5, 16, 12)
WAYS = ["web", pytest.param("get", marks=pytest.mark.slow), "move"]
SERIES = uid("one", "series")


def options(orthanc, way="web", **given) -> PacsOptions:
    if way == "web":
        given = {"ca": orthanc.ca, "user": orthanc.user, "password": orthanc.password, **given}
    if way == "move":
        given = {"receive_port": orthanc.receive_port, **given}
    return PacsOptions(**{"timeout": 20.0, **given})


def pacs_of(orthanc, way, **given):
    address = orthanc.url if way == "web" else orthanc.dimse
    return open_pacs(address, options(orthanc, way, **given))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Two patients: one with a CT (and a second one, compressed), one with an MR too."""
    root = tmp_path_factory.mktemp("originals")
    write_series(root / "one", ramp(SHAPE), series="one", patient="MRN-1")
    write_series(
        root / "packed",
        ramp(SHAPE, low=-900),
        series="packed",
        patient="MRN-1",
        syntax=JPEGLSLossless,
    )
    write_series(root / "two", ramp(SHAPE), series="two", patient="MRN-2")
    write_series(root / "mr", ramp(SHAPE), series="mr", patient="MRN-2", modality="MR")
    return root


@pytest.fixture
def filled(orthanc, originals):
    """The PACS with the originals, and nothing else."""
    orthanc.clear()
    count = pacs_of(orthanc, "get").send(sorted(originals.rglob("*.dcm")))
    assert count == len(orthanc.ask("/instances")) == 4 * SHAPE[0]
    return orthanc


@pytest.mark.parametrize("way", WAYS)
def test_it_is_asked_for_series_and_names_nobody(filled, way):
    pacs = pacs_of(filled, way)
    assert "answers" in pacs.check()
    everything = pacs.find(Query(modality=""))
    assert sorted(one.modality for one in everything) == ["CT", "CT", "CT", "MR"]
    assert "MRN" not in str(everything)
    assert "Doe" not in str(everything)
    (one,) = pacs.find(Query(series=SERIES, study=uid("MRN-1", "study")))
    assert (one.date, one.objects, one.description) == ("20200304", SHAPE[0], "CHEST 3.0 B70f")
    assert len(pacs.find(Query(patient="MRN-1"))) == 2
    assert len(pacs.find(Query(patient="MRN-2"))) == 1
    assert pacs.find(Query(patient="MRN-3")) == []
    assert len(pacs.find(Query(dates="20200301-20200331"))) == 3
    assert pacs.find(Query(dates="20200305-")) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [pytest.param("one", marks=pytest.mark.slow), "packed"])
def test_what_is_fetched_is_what_was_stored(filled, originals, tmp_path, way, name):
    pacs = pacs_of(filled, way)
    (found,) = pacs.find(Query(series=uid(name, "series")))
    seen = []
    assert pacs.fetch(found, tmp_path, seen.append) == SHAPE[0] == seen[-1]
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"{n:06d}.dcm" for n in range(1, SHAPE[0] + 1)]
    before, after = read_scan(originals / name).volume, read_scan(tmp_path).volume
    assert np.array_equal(before.hu, after.hu)
    assert before.geometry.matches(after.geometry)


@pytest.mark.parametrize("way", ["web", "get"])
def test_results_are_stored_and_read_back_pixel_by_pixel(orthanc, originals, tmp_path, way):
    orthanc.clear()
    pacs = pacs_of(orthanc, way)
    files = sorted((originals / "one").iterdir())
    assert pacs.send(files) == SHAPE[0]
    (found,) = pacs_of(orthanc, "web").find(Query())
    pacs_of(orthanc, "web").fetch(found, tmp_path)
    pixels = {}
    for file in (*files, *tmp_path.iterdir()):
        dataset = pydicom.dcmread(file)
        pixels.setdefault(dataset.SOPInstanceUID, []).append(dataset.PixelData)
    assert all(one == other for one, other in pixels.values())


@pytest.mark.parametrize("way", WAYS)
def test_a_site_imports_from_it_and_again_and_by_another_way(filled, tmp_path, way):
    site = tmp_path / "site"
    create_site(site, "north", None)
    query = Query(patient="MRN-1")
    report = import_from_pacs(site, pacs_of(filled, way), query)
    assert len(report.imported) == 2, report.troubles
    assert list_scans(site)[1][0].patient == list_scans(site)[1][1].patient
    again = import_from_pacs(site, pacs_of(filled, "get"), query)
    assert sorted(again.unchanged) == sorted(report.imported), again.troubles
    assert not list(site.glob(".fetched-*")), "originals do not stay"
    assert b"MRN-1" not in b"".join(p.read_bytes() for p in site.rglob("*") if p.is_file())


def test_the_command_line_goes_the_whole_way(filled, originals, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDFED_PACS_USER", filled.user)
    monkeypatch.setenv("MEDFED_PACS_PASSWORD", filled.password)
    create_site(tmp_path / "site", "north", None)

    def run(*words: object):
        done = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    web = (filled.url, "--ca", filled.ca)
    assert "answers" in run("data", "pacs", "check", *web)
    assert "answers" in run("data", "pacs", "check", filled.dimse)
    listed = json.loads(run("data", "pacs", "find", *web, "--patient-id", "MRN-1", "--json"))
    assert len(listed["series"]) == 2
    assert "1 series" in run("data", "pacs", "find", filled.dimse, "--patient-id", "MRN-2")
    words = ("--ca", filled.ca, "--series", SERIES, "--site", tmp_path / "site", "--json")
    report = json.loads(run("data", "import", "--from", filled.url, *words))
    assert len(report["imported"]) == 1
    files = sorted((originals / "one").iterdir())[:2]
    assert "stored 2 objects" in run("data", "pacs", "send", *web, *files)


def refused(call) -> PacsError:
    with pytest.raises(PacsError) as caught:
        call()
    assert caught.value.message
    assert "Traceback" not in str(caught.value)
    return caught.value


def test_wrong_titles_are_told_apart(orthanc):
    other = open_pacs(f"OTHER@{HOST}:{orthanc.port}", options(orthanc, "get"))
    assert "is not called OTHER" in str(refused(other.check))
    stranger = pacs_of(orthanc, "get", title="STRANGER")
    assert "does not know STRANGER" in str(refused(stranger.check))


def test_a_pacs_that_is_not_there_is_said(orthanc):
    port = free_port()
    for address in (f"{TITLE}@{HOST}:{port}", f"https://{HOST}:{port}/dicom-web"):
        error = refused(open_pacs(address, options(orthanc)).check)
        assert (error.name, "cannot be reached" in str(error)) == ("unreachable", True)
    nowhere = open_pacs("PACS@no-such-host.invalid:104", options(orthanc, "get"))
    assert refused(nowhere.check).name == "unreachable"


def test_wrong_credentials_paths_and_certificates_are_told_apart(orthanc):
    wrong = pacs_of(orthanc, "web", password="guess")
    assert refused(wrong.check).name == "credentials"
    lost = open_pacs(orthanc.url + "/nothing", options(orthanc))
    assert refused(lost.check).name in {"not-found", "failed", "refused"}
    untrusted = pacs_of(orthanc, "web", ca=None)
    assert refused(untrusted.check).name == "certificate"


def test_what_is_no_pacs_is_said(orthanc):
    as_dimse = open_pacs(f"{TITLE}@{HOST}:{orthanc.web_port}", options(orthanc, "get", timeout=3))
    assert refused(as_dimse.check).name in {"unreachable", "timeout", "refused"}
    gc.collect()  # a connection left open would be complained of here
    as_web = open_pacs(f"https://{HOST}:{orthanc.port}", options(orthanc, timeout=3))
    assert refused(as_web.check).name in {"certificate", "unreachable", "timeout"}


def test_one_that_never_answers_is_not_waited_for(orthanc):
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        for address in (f"{TITLE}@{HOST}:{port}", f"http://{HOST}:{port}/dicom-web"):
            error = refused(open_pacs(address, PacsOptions(timeout=1)).check)
            assert error.name in {"timeout", "unreachable"}


def test_a_server_that_answers_nonsense_is_said():
    with socket.create_server((HOST, 0)) as server:

        def answer():
            for _ in range(2):
                link, _ = server.accept()
                with link:
                    link.recv(65536)
                    body = b"<html>welcome</html>"
                    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
                    link.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

        thread = threading.Thread(target=answer)
        thread.start()
        pacs = open_pacs(f"http://{HOST}:{server.getsockname()[1]}", PacsOptions(timeout=5))
        assert refused(pacs.check).name in {"failed", "unreachable"}
        assert refused(lambda: pacs.find(Query())).name in {"failed", "unreachable"}
        thread.join(10)


def test_a_series_that_is_gone_is_incomplete(filled, tmp_path):
    pacs = pacs_of(filled, "get")
    (found,) = pacs.find(Query(series=SERIES))
    filled.clear()
    for way in WAYS:
        error = refused(lambda way=way: pacs_of(filled, way).fetch(found, tmp_path))
        assert error.name in {"incomplete", "not-found", "failed"}


def test_nobody_but_this_machine_is_answered(orthanc):
    """What Debian's settings leave open is shut here; from another address it stays shut."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with probe:
        try:
            probe.connect(("192.0.2.1", 9))
            other = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no other address")
    if other.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        orthanc.ask("/system", host=other)
    outside = open_pacs(f"{TITLE}@{other}:{orthanc.port}", options(orthanc, "get"))
    assert refused(outside.check).name in {"titles", "refused", "unreachable", "failed"}


@pytest.mark.needs_package("dcmtk")
def test_dcmtk_finds_what_we_stored(filled):
    """A second opinion: another implementation asks for the same."""
    command = ["/usr/bin/findscu", "-S", "-aet", OWN_TITLE, "-aec", TITLE]
    keys = ["-k", "QueryRetrieveLevel=SERIES", "-k", f"SeriesInstanceUID={SERIES}"]
    keys += ["-k", "StudyInstanceUID", "-k", "NumberOfSeriesRelatedInstances"]
    done = subprocess.run(
        [*command, *keys, HOST, str(filled.port)], capture_output=True, text=True, check=True
    )
    assert f"[{SHAPE[0]}" in done.stdout + done.stderr
