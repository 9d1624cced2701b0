"""Keys of other sites: pinned by people, never changed behind their backs."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.cli import main
from medfed.core.errors import SiteError
from medfed.federation.enrolment.roster import EnrolledSite, add_site
from medfed.federation.keys import fingerprint, load_public, public_pem
from medfed.federation.peers import pin, pinned, read_roster, write_roster
from medfed.services.sites import create_site


@pytest.fixture
def sites(tmp_path):
    return {name: create_site(tmp_path / name, name, None) for name in ("north", "south")}


@pytest.fixture
def medfed(capsys):
    def call(*arguments):
        code = 0
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out + err

    return call


def new_key():
    return Ed25519PrivateKey.generate().public_key()


def test_a_pinned_key_is_not_changed_unless_asked_for(tmp_path):
    first, second = new_key(), new_key()
    pin(tmp_path, {"south": first})
    with pytest.raises(SiteError, match="another key of site south"):
        pin(tmp_path, {"west": second, "south": second})
    assert pinned(tmp_path) == {"south": first.public_bytes_raw()}
    pin(tmp_path, {"south": second}, replace=True)
    assert pinned(tmp_path) == {"south": second.public_bytes_raw()}


def test_a_roster_comes_back_as_it_was(tmp_path):
    keys = {"north": new_key(), "south": new_key()}
    write_roster(tmp_path / "keys.json", keys)
    assert read_roster(tmp_path / "keys.json") == keys


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"sites": 3}',
        '{"sites": {"a": "x"}}',
        json.dumps({"sites": {"../a": "x"}}),
        "[" * 100_000,
    ],
)
def test_what_is_no_roster_is_refused(text, tmp_path):
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(SiteError):
        read_roster(tmp_path / "keys.json")


def test_pinning_shows_the_fingerprints_to_compare(sites, tmp_path, medfed):
    code, out = medfed("site", "pin", tmp_path / "north", tmp_path / "south")
    assert code == 0
    assert "by telephone" in out
    for name in ("north", "south"):
        assert f"{name}  {fingerprint(load_public(tmp_path / name / 'key.pub'))}" in out
    assert set(pinned(tmp_path / "north")) == {"north", "south"}
    assert medfed("site", "pin", tmp_path / "north")[1] in out + "".join(out.splitlines(True)[1:])


def test_a_file_with_another_key_of_this_site_is_not_trusted(sites, tmp_path, medfed):
    write_roster(tmp_path / "keys.json", {"north": new_key(), "south": new_key()})
    code, out = medfed("site", "pin", tmp_path / "north", tmp_path / "keys.json")
    assert code == 4
    assert "another key of this site" in out
    assert not pinned(tmp_path / "north")


def test_the_coordinator_writes_the_keys_of_all_who_joined(sites, tmp_path, medfed):
    home = tmp_path / "fed"
    assert medfed("coordinator", "init", home, "--address", "https://localhost:8443")[0] == 0
    for name, site in sites.items():
        pem, mark = public_pem(site.key.public_key()).decode(), fingerprint(site.key.public_key())
        add_site(home, EnrolledSite(name, pem, mark, "", "2026-01-01T00:00:00+00:00", "0.1.0"))
    code, out = medfed("coordinator", "roster", home, tmp_path / "keys.json")
    assert (code, "keys of 2 sites" in out) == (0, True)
    assert medfed("site", "pin", tmp_path / "north", tmp_path / "keys.json")[0] == 0
    known = {name: site.key.public_key().public_bytes_raw() for name, site in sites.items()}
    assert pinned(tmp_path / "north") == known
