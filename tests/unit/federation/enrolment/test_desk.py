"""Who is enrolled and who is not, without any HTTP; then what HTTP adds."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.errors import SiteError, WireError
from medfed.federation.enrolment import invites, roster
from medfed.federation.enrolment.app import enrolment_app
from medfed.federation.enrolment.code import InviteCode
from medfed.federation.enrolment.desk import Declined, enrol
from medfed.federation.enrolment.folder import CoordinatorFolder, init_coordinator
from medfed.federation.enrolment.limits import TooMany
from medfed.federation.enrolment.node_key import (
    load_node_key,
    make_node_key,
    node_public_pem,
    public_line,
    read_public_line,
)
from medfed.federation.enrolment.statement import SignedStatement, sign_statement, state
from medfed.federation.keys import fingerprint

HOUR = timedelta(hours=1)


@pytest.fixture
def folder(tmp_path):
    return init_coordinator(tmp_path / "c", "https://localhost:8443")


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site"
    path.mkdir()
    return SimpleNamespace(key=Ed25519PrivateKey.generate(), node=make_node_key(path), path=path)


def body(code, site, *, name=None, signer=None):
    said = state(name or code.site, site.key.public_key(), site.node, "0.1.0", code.authority)
    return sign_statement(said, signer or code.key, site.key, site.node)


def ask(folder, posted, told=None):
    return enrol(folder, SignedStatement.read(posted), (told if told is not None else []).append)


def refused(folder, posted):
    with pytest.raises(Declined) as no:
        ask(folder, posted)
    return no.value.name


def other(tmp_path):
    path = tmp_path / "other"
    path.mkdir()
    return SimpleNamespace(key=Ed25519PrivateKey.generate(), node=make_node_key(path))


def test_an_invited_site_is_enrolled_once_and_again_with_the_same_keys(folder, site, tmp_path):
    code, told = invites.invite(folder, "hospital_b", HOUR), []
    assert ask(folder, body(code, site), told)
    assert not ask(folder, body(code, site), told)
    (found,) = roster.enrolled_sites(folder.path)
    assert told == [found, found]
    assert found.public_key.public_bytes_raw() == site.key.public_key().public_bytes_raw()
    assert found.fingerprint == fingerprint(site.key.public_key())
    assert b"BEGIN PUBLIC KEY" in node_public_pem(found.node_key)
    assert refused(folder, body(code, other(tmp_path))) == "used"
    assert roster.enrolled_sites(folder.path) == [found]
    assert invites.open_invitations(folder) == []


def test_the_folder_never_holds_the_secret(folder):
    code = invites.invite(folder, "hospital_b", HOUR)
    for file in folder.path.rglob("*"):
        if file.is_file():
            assert code.secret not in file.read_bytes()
            assert code.secret.hex() not in file.read_text()


def test_a_wrong_code_an_old_one_and_none_look_alike(folder, site):
    old = invites.invite(folder, "hospital_b", HOUR)
    invites.invite(folder, "hospital_b", HOUR)
    assert refused(folder, body(old, site)) == "unknown-invitation"
    assert refused(folder, body(old, site, name="nobody")) == "unknown-invitation"
    elsewhere = InviteCode(old.address, bytes(32), old.site, old.secret, old.expires)
    assert refused(folder, body(elsewhere, site)) == "unknown-invitation"


def test_keys_cannot_be_swapped_on_the_way(folder, site, tmp_path):
    code, thief = invites.invite(folder, "hospital_b", HOUR), other(tmp_path)
    good, evil = json.loads(body(code, site)), json.loads(body(code, thief, signer=thief.key))
    mixed = {"statement": evil["statement"], "signatures": good["signatures"]}
    assert refused(folder, json.dumps(mixed).encode()) == "unknown-invitation"
    evil["signatures"]["invitation"] = good["signatures"]["invitation"]
    assert refused(folder, json.dumps(evil).encode()) == "unknown-invitation"
    # Who has the code and not the keys cannot pass somebody else's keys off as its own.
    for part in ("site", "node"):
        mixed = json.loads(body(code, site))
        mixed["signatures"][part] = evil["signatures"][part]
        assert refused(folder, json.dumps(mixed).encode()) == "unknown-invitation"
    assert roster.enrolled_sites(folder.path) == []


def test_an_expired_code(folder, site, monkeypatch):
    code = invites.invite(folder, "hospital_b", HOUR)
    later = datetime.now(UTC) + 2 * HOUR
    monkeypatch.setattr(
        "medfed.federation.enrolment.desk.datetime", SimpleNamespace(now=lambda _: later)
    )
    assert refused(folder, body(code, site)) == "expired"


def test_a_lost_answer_may_be_asked_for_after_the_end(folder, site, monkeypatch):
    code = invites.invite(folder, "hospital_b", HOUR)
    ask(folder, body(code, site))
    later = datetime.now(UTC) + 2 * HOUR
    monkeypatch.setattr(
        "medfed.federation.enrolment.desk.datetime", SimpleNamespace(now=lambda _: later)
    )
    assert not ask(folder, body(code, site))


def test_a_pinned_fingerprint_is_demanded(folder, site, tmp_path):
    file = folder.path / "coordinator.toml"
    mark = fingerprint(site.key.public_key())
    file.write_text(file.read_text() + f'[[sites]]\nid = "b"\nfingerprint = "{mark}"\n')
    code = invites.invite(folder, "b", HOUR)
    assert refused(folder, body(code, other(tmp_path))) == "wrong-fingerprint"
    assert ask(folder, body(code, site))


def test_a_pin_in_a_file_elsewhere_is_demanded_too(folder, site, tmp_path):
    mark = fingerprint(other(tmp_path).key.public_key())
    file = tmp_path / "elsewhere.json"
    pinned = {"address": "https://localhost:8443", "folder": str(folder.path)}
    file.write_text(json.dumps({**pinned, "sites": [{"id": "b", "fingerprint": mark}]}))
    keeper = CoordinatorFolder(folder.path, file)
    code = invites.invite(keeper, "b", HOUR)
    assert refused(keeper, body(code, site)) == "wrong-fingerprint"


@pytest.mark.parametrize("name", ["", "../b", "coordinator", "a" * 65, "b b"])
def test_names_that_cannot_be(folder, name):
    with pytest.raises(SiteError, match="not a site name"):
        invites.invite(folder, name, HOUR)


@pytest.mark.parametrize("valid", [timedelta(seconds=1), timedelta(days=31)])
def test_times_that_cannot_be(folder, valid):
    with pytest.raises(SiteError, match="so short or long"):
        invites.invite(folder, "b", valid)


@pytest.mark.parametrize(("text", "hours"), [("48h", 48), ("30m", 0.5), ("7D", 168)])
def test_durations(text, hours):
    assert invites.parse_duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "48", "h", "-1h", "1w", "1.5h", "9999999m"])
def test_no_durations(text):
    with pytest.raises(ValueError, match="is not a time"):
        invites.parse_duration(text)


def test_a_name_is_free_again_after_removal(folder, site, tmp_path):
    ask(folder, body(invites.invite(folder, "b", HOUR), site))
    untouched = invites.invite(folder, "c", HOUR)
    with pytest.raises(SiteError, match="enrolled already"):
        invites.invite(folder, "b", HOUR)
    invites.forget_site(folder, "b")
    assert roster.enrolled_sites(folder.path) == []
    assert ask(folder, body(invites.invite(folder, "b", HOUR), other(tmp_path)))
    assert ask(folder, body(untouched, site))


def test_an_unused_invitation_can_be_withdrawn(folder, site):
    code = invites.invite(folder, "b", HOUR)
    invites.forget_site(folder, "b")
    assert refused(folder, body(code, site)) == "unknown-invitation"
    for name in ("b", "../coordinator", "nobody"):
        with pytest.raises(SiteError, match="no site called"):
            invites.forget_site(folder, name)


def test_damaged_records_are_named(folder, site):
    ask(folder, body(invites.invite(folder, "b", HOUR), site))
    file = folder.path / "sites" / "b.json"
    given = json.loads(file.read_text())
    file.write_text(json.dumps({**given, "fingerprint": "0000"}))
    with pytest.raises(SiteError, match="was changed"):
        _ = roster.enrolled_sites(folder.path)[0].public_key
    file.write_text("{")
    with pytest.raises(SiteError, match="damaged"):
        roster.enrolled_sites(folder.path)
    (folder.path / "invites" / "c.json").write_text('{"site": "c"}')
    assert invites.invitation(folder, "c") is None


def test_the_folder_must_be_a_coordinators(tmp_path):
    with pytest.raises(SiteError, match="not a coordinator's folder"):
        CoordinatorFolder(tmp_path).settings()


# --- the node's key -------------------------------------------------------------------------------


def test_flower_can_read_the_node_key(site):
    raw = (site.path / "node.key").read_bytes()
    assert load_ssh_private_key(raw, None).curve.name == "secp384r1"  # as flower-supernode does
    assert (site.path / "node.key").stat().st_mode & 0o777 == 0o600
    line = public_line(load_node_key(site.path).public_key())
    assert line.startswith("ecdsa-sha2-nistp384 ")
    assert public_line(read_public_line(line)) == line


def test_other_node_keys_are_refused(tmp_path):
    with pytest.raises(SiteError, match=r"no usable node\.key"):
        load_node_key(tmp_path)
    with pytest.raises(WireError, match="cannot be read"):
        read_public_line("ssh-rsa AAAA")
    with pytest.raises(WireError, match="not a P-384"):
        read_public_line(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPxnQ0cJbqv3Jm5RZ3Bz2UYq9Y3bm7pyN7uWPv1Q0mXn"
        )


# --- statements and limits ------------------------------------------------------------------------


@given(st.binary(max_size=300) | st.text().map(str.encode))
def test_any_body_is_a_statement_or_an_error(posted):
    with pytest.raises(WireError):
        SignedStatement.read(posted)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(said=_JSON, signatures=_JSON)
def test_any_json_is_a_statement_or_an_error(said, signatures):
    for statement in (said, json.dumps(said)):
        posted = json.dumps({"statement": statement, "signatures": signatures}).encode()
        with pytest.raises(WireError):
            SignedStatement.read(posted)


def test_wrong_tries_are_counted_and_forgotten():
    now = [0.0]
    limits = TooMany(most=3, seconds=60, addresses=2, clock=lambda: now[0])
    for _ in range(3):
        assert limits.wait("a") == 0
        limits.failed("a")
    assert limits.wait("a") == 60
    assert limits.wait("b") == 0
    now[0] = 61
    assert limits.wait("a") == 0
    for name in "abc":
        limits.failed(name)
    assert len(limits._failures) == 2


# --- HTTP -----------------------------------------------------------------------------------------


@pytest.fixture
def web(folder):
    return enrolment_app(folder, limits=TooMany(most=3)).test_client()


def post(web, posted, who="10.0.0.1"):
    answer = web.post("/v1/enrol", data=posted, headers={"X-Real-IP": who})
    return answer.status_code, answer.get_json()


def test_hello_and_the_authority(web, folder):
    about = web.get("/v1/enrol/hello").get_json()
    assert about["name"] == "federation"
    assert about["fingerprint"] == fingerprint(folder.public_key())
    assert {"software", "wire", "time"} <= set(about)
    assert web.get("/v1/enrol/ca.pem").data == (folder.path / "ca.pem").read_bytes()


def test_nothing_else_is_there(web):
    for path in (
        "/",
        "/v1/enrol/",
        "/v1/enrol/ca.key",
        "/v1/fleet/x",
        "/static/x",
        "/v1/enrol/../x",
    ):
        answer = web.get(path)
        assert answer.status_code == 404
        assert set(answer.get_json()) == {"error"}
    assert web.get("/v1/enrol").status_code == 405


def test_a_site_is_welcomed_over_http(web, folder, site):
    code = invites.invite(folder, "b", HOUR)
    status, said = post(web, body(code, site))
    assert status == 200
    assert said["fingerprint"] == fingerprint(folder.public_key())
    assert "BEGIN PUBLIC KEY" in said["key"]


def test_large_and_odd_bodies_are_refused(web):
    assert post(web, b"x" * 100_000)[0] == 413
    status, said = post(web, b"{}")
    assert (status, said["error"]["name"]) == (400, "malformed")


def test_who_guesses_has_to_wait_and_nobody_else(web, folder, site):
    good = invites.invite(folder, "b", HOUR)
    wrong = body(good, site, signer=Ed25519PrivateKey.generate())
    for _ in range(3):
        assert post(web, wrong)[0] == 403
    assert post(web, wrong)[0] == 429
    assert post(web, body(good, site))[0] == 429
    assert post(web, body(good, site), who="10.0.0.2")[0] == 200


def test_trouble_shows_no_traceback(folder, site, caplog):
    def fail(_):
        raise ZeroDivisionError("SuperLink at 10.9.8.7")

    web = enrolment_app(folder, fail).test_client()
    code = invites.invite(folder, "b", HOUR)
    status, said = post(web, body(code, site))
    assert (status, said["error"]["name"]) == (503, "not-now")
    assert "10.9.8.7" not in json.dumps(said)
    assert "10.9.8.7" in caplog.text
    # It is enrolled all the same, and is told so once the trouble is over.
    web = enrolment_app(folder).test_client()
    assert post(web, body(code, site))[0] == 200
    (folder.path / "coordinator.toml").unlink()
    assert web.get("/v1/enrol/hello").status_code == 503
