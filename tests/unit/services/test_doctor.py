"""The doctor: every branch with a real socket, a real certificate, a real folder."""

import json
import os
import shutil
import ssl
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from integration.enrolling import Federation, connect_proxy, deaf, free_port, tls_front
from integration.federated import study_of

from medfed.cli import main
from medfed.federation.enrolment import certificates
from medfed.federation.enrolment.folder import init_coordinator, renew
from medfed.federation.enrolment.join import join
from medfed.federation.keys import make_key
from medfed.services.doctor import examine
from medfed.services.federation.alone import alone
from medfed.services.sites import create_site, open_site

CHECKS = [
    "settings", "folder", "keys", "data", "disk", "approvals", "dns", "port", "tls", "certificate",
    "answer", "identity", "clock", "versions", "membership",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def federation(tmp_path):
    made = Federation(tmp_path / "coordinator")
    yield made
    made.close()


@pytest.fixture
def site(federation, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "patients.csv").write_text("age\n")
    with federation.front():
        return join(federation.invite(), tmp_path / "b", data=data).folder


def found(site, timeout=5):
    return {one.check: one for one in examine(site, timeout)}


def replace(site, old, new):
    file = site / "site.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_healthy_site(federation, site, capsys):
    open_site(site).folder.approve(study_of())
    (site / "line").mkdir()
    with federation.front(), alone(site / "line", "site"):
        findings = examine(site)
        assert [one.check for one in findings] == CHECKS
        assert {one.level for one in findings[:-1]} == {"ok"}
        assert findings[-1].level == "skipped"
        assert "is being served" in findings[-1].message
        assert main(["site", "doctor", str(site)]) is None
        out = capsys.readouterr().out
        assert len(out.splitlines()) == len(CHECKS)
        main(["site", "doctor", str(site), "--json"])
    about = json.loads(capsys.readouterr().out)
    assert about["ok"]
    assert [check["check"] for check in about["checks"]] == CHECKS


def test_a_coordinator_whose_line_for_studies_is_away(federation, site):
    with federation.front():
        one = found(site)["membership"]
    assert one.level == "failure"
    assert "line for studies" in one.message
    assert "coordinator status" in one.remedy


def test_a_sick_site_ends_with_status_one(site, capsys):
    for arguments in ([], ["--json"]):
        with pytest.raises(SystemExit) as end:
            main(["site", "doctor", str(site), *arguments])
        assert end.value.code == 1
        out = capsys.readouterr().out
        assert "nobody listens" in out
    assert not json.loads(out)["ok"]


# --- on this machine ------------------------------------------------------------------------------


def test_what_is_no_site(tmp_path):
    (only,) = examine(tmp_path)
    assert (only.check, only.level) == ("settings", "failure")


def test_settings_with_a_mistake(site):
    replace(site, "min_patients = 1", "min_patients = 0")
    (only,) = examine(site)
    assert "min_patients" in only.message


def test_keys_that_others_can_read(site):
    (site / "node.key").chmod(0o640)
    one = found(site)["folder"]
    assert one.level == "failure"
    assert "node.key" in one.message
    assert one.remedy == f"chmod 600 {site / 'node.key'}"


def test_a_folder_that_others_can_change(site):
    site.chmod(0o777)
    assert found(site)["folder"].level == "warning"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else(site):
    site.chmod(0o500)
    assert "cannot be written" in found(site)["folder"].message
    site.chmod(0o700)


def test_rights_that_are_missing(site, monkeypatch):
    """What root, who runs the tests in containers, never sees."""
    monkeypatch.setattr("medfed.services.doctor.local.os.access", lambda *_: False)
    findings = found(site)
    assert "cannot be written" in findings["folder"].message
    assert "cannot be read" in findings["data"].message


@pytest.mark.parametrize("name", ["key.pem", "node.key", "coordinator.pub", "ca.pem"])
def test_keys_that_are_missing(site, name):
    (site / name).unlink()
    one = found(site)["keys"]
    assert one.level == "failure"
    assert one.remedy


def test_data_folders(site, tmp_path):
    (tmp_path / "data" / "patients.csv").unlink()
    assert "is empty" in found(site)["data"].message
    (tmp_path / "data").rmdir()
    assert found(site)["data"].level == "failure"
    lines = (site / "site.toml").read_text().splitlines()
    (site / "site.toml").write_text("\n".join(line for line in lines if "data" not in line))
    assert found(site)["data"].level == "warning"


@pytest.mark.parametrize(("free", "level"), [(5e8, "failure"), (5e9, "warning"), (5e10, "ok")])
def test_disk_space(site, monkeypatch, free, level):
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr("medfed.services.doctor.local.shutil.disk_usage", lambda _: usage)
    assert found(site)["disk"].level == level


def test_approvals(site):
    assert found(site)["approvals"].level == "warning"
    study = study_of()
    open_site(site).folder.approve(study)
    assert study.digest[:12] in found(site)["approvals"].message
    file = site / "approved" / f"{study.digest}.json"
    file.write_text(file.read_text().replace('"rounds":', '"rounds": 1'))
    assert found(site)["approvals"].level == "failure"


def test_a_site_that_never_joined(tmp_path):
    create_site(tmp_path / "a", "a", None)
    *_, last = examine(tmp_path / "a")
    assert (last.check, last.level) == ("coordinator", "failure")


# --- the way to the coordinator -------------------------------------------------------------------


def fails(site, check, says, timeout=5):
    findings = found(site, timeout)
    one = findings[check]
    assert one.level == "failure", findings
    assert says in one.message
    assert one.remedy
    later = CHECKS[CHECKS.index(check) + 1 :]
    return [findings[name].level for name in later]


def test_no_such_name(site, federation):
    replace(site, "localhost", "no-such-host.invalid")
    assert set(fails(site, "dns", "cannot be found")) == {"skipped"}


def test_nobody_listens(site):
    assert set(fails(site, "port", "nobody listens")) == {"skipped"}


def test_a_firewall_that_swallows(site, monkeypatch):
    """No packet comes back: an address that the network itself does not answer for."""

    def swallow(*_, **__):
        raise TimeoutError

    monkeypatch.setattr("medfed.services.doctor.connection.socket.create_connection", swallow)
    fails(site, "port", "no answer")


def test_a_port_that_never_says_a_word(site, federation):
    with deaf(federation.port):
        fails(site, "tls", "no answer", timeout=0.3)


def test_a_port_that_hangs_up(site, federation):
    from integration.enrolling import Server

    with Server(federation.port, lambda connection: connection.recv(10)):
        fails(site, "tls", "")


def test_old_tls(site, federation):
    with federation.front(most=ssl.TLSVersion.TLSv1_2):
        fails(site, "tls", "does not speak TLS 1.3")


def test_another_authority(site, federation, tmp_path):
    spy = init_coordinator(tmp_path / "spy", "https://localhost:1")
    with federation.front(pem=spy.tls):
        assert set(fails(site, "tls", "somebody else")) == {"skipped"}


def test_another_host(site, federation):
    replace(site, "localhost", "127.0.0.1")
    with federation.front():
        fails(site, "tls", "for another address")


def test_expired(site, federation, monkeypatch):
    real = certificates._now
    monkeypatch.setattr(certificates, "_now", lambda: real() - timedelta(days=500))
    renew(federation.folder)
    monkeypatch.undo()
    with federation.front():
        fails(site, "tls", "has expired")


def test_expiring(site, federation):
    renew(federation.folder, days=20)
    with federation.front():
        one = found(site)["certificate"]
    assert one.level == "warning"
    assert "expires in 19 days" in one.message


def test_an_authority_that_ends_soon(tmp_path, monkeypatch):
    real = certificates._now
    monkeypatch.setattr(certificates, "_now", lambda: real() - timedelta(days=3640))
    old = Federation(tmp_path / "old")
    monkeypatch.undo()
    renew(old.folder)
    with old.front():
        site = join(old.invite(), tmp_path / "b").folder
        assert found(site)["certificate"].level == "warning"
    old.close()


def test_a_damaged_authority(site, federation):
    (site / "ca.pem").write_text("no certificate")
    with federation.front():
        fails(site, "tls", "holds no certificate")


def test_something_else_answers(site, federation):
    (federation.folder.path / "coordinator.toml").unlink()
    with federation.front():
        fails(site, "answer", "HTTP status 503")


def test_no_http_behind_tls(site, federation):
    with tls_front(federation.port, federation.folder.tls, free_port()):
        fails(site, "answer", "without an answer")


def test_another_coordinators_key(site, federation):
    make_key(federation.folder.path)
    with federation.front():
        one = found(site)["identity"]
    assert one.level == "failure"
    assert "Telephone" in one.remedy
    (site / "coordinator.pub").unlink()
    with federation.front():
        assert found(site)["identity"].level == "failure"


@pytest.mark.parametrize(("hours", "side"), [(3, "ahead of"), (-3, "behind")])
def test_clocks(site, federation, monkeypatch, hours, side):
    then = datetime.now(UTC) + timedelta(hours=hours)
    stopped = SimpleNamespace(now=lambda _: then)
    monkeypatch.setattr("medfed.federation.enrolment.web.datetime", stopped)
    with federation.front():
        one = found(site)["clock"]
    assert one.level == "warning"
    assert f"3 hours {side}" in one.message


def test_a_server_without_a_clock(site, federation, monkeypatch):
    monkeypatch.setattr("medfed.federation.enrolment.web._clock", lambda _: None)
    with federation.front():
        assert found(site)["clock"].level == "warning"


@pytest.mark.parametrize(
    ("wire", "software", "level"), [(0, "0.1.0", "ok"), (1, "0.1.0", "warning"),
                                    (0, "9.9.9", "warning"), (2, "0.1.0", "failure"),
                                    (-2, "0.1.0", "failure")],
)  # fmt: skip
def test_versions(site, federation, monkeypatch, wire, software, level):
    from medfed.federation.enrolment import app

    monkeypatch.setattr(app, "VERSION", app.VERSION + wire)
    monkeypatch.setattr(app, "__version__", software)
    with federation.front():
        assert found(site)["versions"].level == level


def test_through_a_proxy(site, federation, monkeypatch):
    with federation.front(), connect_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass%20word@127.0.0.1:{proxy.port}")
        findings = found(site)
        assert findings["dns"].level == "skipped"
        assert "through the proxy" in findings["port"].message
        assert findings["versions"].level == "ok"
        assert "word" not in str(findings)
        monkeypatch.delenv("HTTPS_PROXY")
        with (site / "site.toml").open("a") as file:
            file.write(f'proxy = "http://127.0.0.1:{proxy.port}"\n')
        assert "through the proxy" in found(site)["port"].message


def test_a_proxy_in_the_way(site, federation, monkeypatch):
    with connect_proxy("407 Proxy Authentication Required") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        fails(site, "port", "does not let us through")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    fails(site, "port", "no connection through the proxy")


def test_nothing_is_changed(site, federation):
    def state():
        files = sorted(file for file in site.rglob("*") if file.is_file())
        return {file: file.read_bytes() for file in files}

    before = state()
    with federation.front():
        examine(site)
    assert state() == before


def test_a_copy_elsewhere_is_examined_there(site, tmp_path):
    copy = shutil.copytree(site, tmp_path / "copy")
    assert str(copy) in found(copy)["disk"].message
