"""Joining, over real TLS; and everything that can go wrong on the way."""

import ssl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from integration.enrolling import connect_proxy, deaf, free_port, tls_front

from medfed.core.errors import DataError, SiteError
from medfed.federation.enrolment import certificates
from medfed.federation.enrolment.folder import init_coordinator
from medfed.federation.enrolment.join import join, span
from medfed.federation.enrolment.roster import enrolled_sites
from medfed.federation.enrolment.settle import with_fields
from medfed.federation.keys import fingerprint, load_key, load_public
from medfed.federation.settings.site import read_site
from medfed.services.machine_acts import FOLDER, about_to
from medfed.services.sites import create_site, open_site, trust


def fails(code, folder, says, **options):
    with pytest.raises((SiteError, DataError)) as error:
        join(code, folder, **{"timeout": 5, **options})
    told = str(error.value)
    assert says in told
    assert error.value.remedy
    return told


def test_a_site_joins_and_can_work(federation, tmp_path):
    folder, data = tmp_path / "b", tmp_path / "data"
    data.mkdir()
    with federation.front():
        done = join(federation.invite(), folder, data=data, min_patients=20)
    (site,) = enrolled_sites(federation.folder.path)
    assert site.fingerprint == done.fingerprint == fingerprint(load_key(folder).public_key())
    assert done.coordinator == fingerprint(federation.folder.public_key())
    assert fingerprint(load_public(folder / "coordinator.pub")) == done.coordinator
    settings = read_site(folder / "site.toml")
    assert (settings.id, settings.coordinator, settings.data, settings.min_patients) == (
        "hospital_b", f"https://localhost:{federation.port}", data.resolve(), 20,
    )  # fmt: skip
    assert open_site(folder).name == "hospital_b"
    assert certificates.load_certificate(folder / "ca.pem") == federation.folder.authority()
    for name in ("key.pem", "node.key"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert federation.enrolled == [site]


def test_it_is_recorded_before_anybody_is_enrolled(federation, tmp_path):
    folder, told = tmp_path / "b", []

    class KilledError(BaseException):
        pass

    @contextmanager
    def killed(into, name):
        told.append((into, name))
        raise KilledError
        yield

    with federation.front(), pytest.raises(KilledError):
        join(federation.invite(), folder, recorded=killed)
    assert told == [(folder, federation.folder.settings().name)]
    assert enrolled_sites(federation.folder.path) == []


def test_what_was_recorded_of_a_new_folder_that_was_refused_goes_with_it(federation, tmp_path):
    code, told = federation.invite(), []

    def joining(folder, name):
        told.append(name)
        return about_to(folder, "site.join", f"federation {name}")

    with federation.front():
        join(code, tmp_path / "b", recorded=joining)
        assert len(list((tmp_path / "b" / FOLDER).iterdir())) == 1
        fails(code, tmp_path / "c", "used already", recorded=joining)
        assert not (tmp_path / "c").exists()
    assert len(told) == 2


def test_a_folder_made_before_keeps_its_key_and_its_words(federation, tmp_path):
    folder = tmp_path / "b"
    mark = fingerprint(create_site(folder, "hospital_b", None, 7).key.public_key())
    file = folder / "site.toml"
    file.write_text("# ours\n" + file.read_text())
    with federation.front():
        assert join(federation.invite(), folder).fingerprint == mark
    assert file.read_text().startswith("# ours\n")
    assert read_site(file).min_patients == 7


def test_a_lost_answer_is_asked_for_again_with_the_same_keys(federation, tmp_path):
    code, folder = federation.invite(), tmp_path / "b"
    with federation.front(lose=True):
        told = fails(code, folder, "without an answer")
    assert "same command again" in told
    assert {file.name for file in folder.iterdir()} == {"key.pem", "key.pub", "node.key"}
    (site,) = enrolled_sites(federation.folder.path)
    with federation.front():
        assert join(code, folder).fingerprint == site.fingerprint
        assert join(code, folder).fingerprint == site.fingerprint
    assert enrolled_sites(federation.folder.path) == [site]


def test_trouble_at_the_coordinator_keeps_the_keys(federation, tmp_path):
    code, folder = federation.invite(), tmp_path / "b"
    federation.enrolled = None  # whoever is told of new sites fails
    with federation.front():
        told = fails(code, folder, "HTTP status 503")
        assert "same command again" in told
        federation.enrolled = []
        mark = join(code, folder).fingerprint
    assert [site.fingerprint for site in federation.enrolled] == [mark]


def test_something_else_at_the_address(federation, tmp_path):
    code, folder = federation.invite(), tmp_path / "b"
    (federation.folder.path / "ca.pem").unlink()
    with federation.front():
        fails(code, folder, "not as a medfed coordinator")
    assert not folder.exists()


def test_used_by_somebody_else(federation, tmp_path):
    code = federation.invite()
    with federation.front():
        join(code, tmp_path / "b")
        told = fails(code, tmp_path / "thief", "used already")
    assert "Tell the coordinator at once" in told
    assert not (tmp_path / "thief").exists()


def test_a_no_leaves_a_folder_as_it_was(federation, tmp_path):
    code, folder = federation.invite(), tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("keep")
    federation.invite()  # a newer one
    with federation.front():
        fails(code, folder, "does not know this code")
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]


def test_an_expired_code(federation, tmp_path, monkeypatch):
    code = federation.invite(hours=1)
    later = datetime.now(UTC) + timedelta(hours=2)

    class Later(datetime):
        @classmethod
        def now(cls, zone=None):
            return later

    monkeypatch.setattr("medfed.federation.enrolment.desk.datetime", Later)
    with federation.front():
        fails(code, tmp_path / "b", "expired")
    assert not (tmp_path / "b").exists()


def test_nobody_there(federation, tmp_path):
    fails(federation.invite(), tmp_path / "b", "nobody listens")
    assert not (tmp_path / "b").exists()


def test_a_name_that_does_not_exist(tmp_path):
    from integration.enrolling import Federation

    lost = Federation(tmp_path / "c", host="no-such-host.invalid")
    fails(lost.invite(), tmp_path / "b", "cannot be found")
    lost.close()


def test_a_firewall_that_swallows(federation, tmp_path):
    with deaf(federation.port):
        told = fails(federation.invite(), tmp_path / "b", "no answer", timeout=0.3)
    assert "outbound TCP" in told


def test_somebody_else_at_the_address(federation, tmp_path):
    from integration.enrolling import Federation

    other = Federation(tmp_path / "other")
    with tls_front(federation.port, other.folder.tls, other.server.port):
        told = fails(federation.invite(), tmp_path / "b", "is not the coordinator")
    assert "telephone" in told
    other.close()


def test_a_proxy_that_opens_tls_is_found_out(federation, tmp_path):
    """It passes the true certificate of the authority on, and shows its own."""
    spy = init_coordinator(tmp_path / "spy", "https://localhost:1")
    with federation.front(pem=spy.tls):
        fails(federation.invite(), tmp_path / "b", "somebody else")
    assert not (tmp_path / "b").exists()
    assert enrolled_sites(federation.folder.path) == []


def test_a_certificate_for_another_address(federation, tmp_path):
    certificates.make_server_certificate(
        federation.folder.path, certificates.Address("elsewhere.org")
    )
    with federation.front():
        fails(federation.invite(), tmp_path / "b", "for another address")


def test_old_tls_is_refused(federation, tmp_path):
    with federation.front(most=ssl.TLSVersion.TLSv1_2):
        fails(federation.invite(), tmp_path / "b", "does not speak TLS 1.3")


def dated(federation, monkeypatch, days):
    """Give the coordinator a certificate from another time."""
    real = certificates._now
    monkeypatch.setattr(certificates, "_now", lambda: real() + timedelta(days=days))
    certificates.make_server_certificate(
        federation.folder.path, certificates.Address("localhost", federation.port)
    )
    monkeypatch.undo()


@pytest.mark.parametrize(("days", "says"), [(-400, "has expired"), (2, "not valid yet")])
def test_certificates_of_another_time(federation, tmp_path, monkeypatch, days, says):
    dated(federation, monkeypatch, days)
    with federation.front():
        told = fails(federation.invite(), tmp_path / "b", says)
    assert "clock" in told


def test_a_clock_that_is_off_is_blamed(federation, tmp_path, monkeypatch):
    dated(federation, monkeypatch, 2)
    behind = datetime.now(UTC) - timedelta(days=3)

    class Behind(datetime):
        @classmethod
        def now(cls, zone=None):
            return behind

    monkeypatch.setattr("medfed.federation.enrolment.web.datetime", Behind)
    with federation.front():
        told = fails(federation.invite(), tmp_path / "b", "3 days behind")
    assert "Set the clock" in told


def test_through_a_proxy(federation, tmp_path, monkeypatch):
    seen = []
    with federation.front(), connect_proxy(seen=seen) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{proxy.port}")
        join(federation.invite(), tmp_path / "b")
        assert len(seen) == 3
        assert "proxy-authorization: basic" in seen[0].lower()
        monkeypatch.setenv("NO_PROXY", "localhost")
        join(federation.invite("c"), tmp_path / "c")
        assert len(seen) == 3
        monkeypatch.delenv("HTTPS_PROXY")
        monkeypatch.delenv("NO_PROXY")
        join(federation.invite("d"), tmp_path / "d", proxy=f"http://127.0.0.1:{proxy.port}")
        assert len(seen) == 6
    assert read_site(tmp_path / "d" / "site.toml").proxy == f"http://127.0.0.1:{proxy.port}"


def test_a_proxy_that_refuses_or_is_not_there(federation, tmp_path, monkeypatch):
    with connect_proxy("403 Forbidden") as proxy:
        monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{proxy.port}")
        told = fails(federation.invite(), tmp_path / "b", "does not let us through")
        assert "secret" not in told
        assert "403" in told
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    fails(federation.invite(), tmp_path / "b", "no connection through the proxy")


# --- folders that cannot join ---------------------------------------------------------------------


def test_folders_of_others_are_left_alone(federation, tmp_path):
    code = federation.invite()
    create_site(tmp_path / "a", "hospital_a", None)
    fails(code, tmp_path / "a", "is the folder of site hospital_a")
    create_site(tmp_path / "b", "hospital_b", None)
    file = tmp_path / "b" / "site.toml"
    file.write_text(file.read_text() + 'coordinator = "https://elsewhere.org"\n')
    fails(code, tmp_path / "b", "has joined https://elsewhere.org already")
    (tmp_path / "file").write_text("")
    fails(code, tmp_path / "file", "is a file")
    fails(code, tmp_path / "c", "no data folder", data=tmp_path / "none")


def test_a_site_that_obeys_another_coordinator_is_not_turned(federation, tmp_path):
    folder = tmp_path / "b"
    create_site(folder, "hospital_b", None)
    other = init_coordinator(tmp_path / "other", "https://localhost:1")
    trust(folder, other.public_key())
    with federation.front():
        fails(federation.invite(), folder, "obeys another coordinator")
    assert fingerprint(load_public(folder / "coordinator.pub")) == fingerprint(other.public_key())
    assert not (folder / "ca.pem").exists()  # nothing was changed here, and nobody enrolled there
    assert not enrolled_sites(federation.folder.path)


def test_settings_are_changed_line_by_line():
    text = 'name = "b"  # ours\nmin_patients = 1\n'
    changed = with_fields(text, {"min_patients": 5, "data": 'C:\\x "y"', "proxy": None})
    assert changed == 'name = "b"  # ours\nmin_patients = 5\ndata = "C:\\\\x \\"y\\""\n'


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(90, "90 seconds"), (600, "10 minutes"), (9000, "2 hours"), (9e5, "10 days")],
)
def test_spans(seconds, words):
    assert span(seconds) == words


def test_the_certificate_is_an_x509_one(federation):
    assert isinstance(federation.folder.certificate(), x509.Certificate)
