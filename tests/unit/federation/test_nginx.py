"""nginx's configuration: what it says and where it refuses to be written."""

from pathlib import Path

import pytest

from medfed.core.errors import SiteError
from medfed.federation import nginx
from medfed.federation.enrolment.folder import init_coordinator

ROOT = Path(__file__).resolve().parents[3]


def settings(path, bind=None):
    return init_coordinator(path, "https://fed.example.org:8443", bind=bind).settings()


def test_only_two_things_are_passed_on(tmp_path):
    text = nginx.nginx_config(settings(tmp_path / "c"), 9091, 9092)
    passed = [line.split()[1].rstrip(";") for line in text.splitlines() if "proxy_pass" in line]
    assert passed == [
        "http://127.0.0.1:9092",
        "http://127.0.0.1:9092/v1/enrol/",
        "https://127.0.0.1:9091/v1/fleet/",
    ]
    assert "ssl_protocols TLSv1.3;" in text
    assert "listen 0.0.0.0:8443 ssl;" in text
    assert str(tmp_path / "c" / "tls.pem") in text


def test_ipv6_and_ports_of_the_settings(tmp_path):
    made = settings(tmp_path / "c", bind="[::1]:8443")
    assert "listen [::1]:8443 ssl;" in nginx.nginx_config(made, 1, 2)
    with pytest.raises(SiteError, match="not fixed"):
        nginx.nginx_config(made)


@pytest.mark.parametrize("name", ["a$b", 'a"b', "a;b", "a{b"])
def test_a_folder_that_nginx_cannot_name(tmp_path, name):
    with pytest.raises(SiteError, match="nginx cannot work"):
        nginx.nginx_config(settings(tmp_path / name), 1, 2)


def test_nginx_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SiteError, match="not installed") as error:
        nginx.prepare_nginx(settings(tmp_path / "c"), 1, 2)
    assert "apt install nginx" in error.value.remedy


def test_nobody_else_is_told_to_reload(tmp_path):
    folder = tmp_path / "c"
    assert not nginx.reload_nginx(folder)
    (folder / "nginx").mkdir(parents=True)
    for number in ("", "not a number", "1", "99999999"):
        (folder / "nginx" / "nginx.pid").write_text(number)
        assert not nginx.reload_nginx(folder)


def test_the_example_in_deploy_is_what_medfed_writes(tmp_path):
    made = settings(tmp_path / "c")
    text = nginx.nginx_config(made, 9091, 9092).replace(str(made.folder), "/srv/medfed/coordinator")
    assert (ROOT / "deploy" / "nginx" / "medfed.conf").read_text("utf-8") == text
