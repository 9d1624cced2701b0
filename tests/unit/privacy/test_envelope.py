"""What opens a folder, what does not, and rotation."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from medfed.core.errors import SiteError
from medfed.privacy.at_rest import envelope
from medfed.privacy.at_rest.envelope import (
    ENVELOPE,
    Secret,
    make_envelope,
    open_envelope,
    rotate,
)
from medfed.privacy.at_rest.vault import open_vault

WORDS = Secret.passphrase("five words nobody says together")
FILE = Secret("key-file", bytes(range(40)))


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(envelope, "COST", {"n": 2**10, "r": 8, "p": 1})


def changed(folder, **fields):
    file = folder / ENVELOPE
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.parametrize("secret", [WORDS, FILE])
def test_what_wrapped_the_key_opens_it_and_nothing_else_does(tmp_path, secret):
    key = make_envelope(tmp_path, secret)
    assert open_envelope(tmp_path, secret) == key
    assert key not in (tmp_path / ENVELOPE).read_bytes()
    with pytest.raises(SiteError, match="does not open"):
        open_envelope(tmp_path, Secret(secret.kind, secret.value + b"!"))
    with pytest.raises(SiteError, match="encrypted already"):
        make_envelope(tmp_path, secret)


def test_the_cost_of_a_guess_is_scrypts():
    assert Scrypt(b"salt", 32, 2**10, 8, 1).derive(WORDS.value) == WORDS.key(
        b"salt", {"n": 2**10, "r": 8, "p": 1}
    )


def test_rotation_wraps_the_same_key_and_the_old_secret_opens_nothing(tmp_path):
    key = make_envelope(tmp_path, WORDS)
    rotate(tmp_path, WORDS, FILE)
    assert open_envelope(tmp_path, FILE) == key
    with pytest.raises(SiteError, match="opened by a key-file"):
        open_envelope(tmp_path, WORDS)
    with pytest.raises(SiteError):
        rotate(tmp_path, Secret("key-file", bytes(32)), WORDS)
    assert open_envelope(tmp_path, FILE) == key


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "other"},
        {"salt": base64.b64encode(bytes(32)).decode()},
        {"nonce": base64.b64encode(bytes(12)).decode()},
        {"wrapped": base64.b64encode(bytes(48)).decode()},
        {"wrapped": "!"},
        {"nonce": ""},
        {"cost": {"n": 2**30, "r": 8, "p": 1}},
        {"cost": {"n": 2**9, "r": 8, "p": 1}},
        {"cost": {}},
        {"cost": None},
        {"cost": {"n": "many", "r": 8, "p": 1}},
        {"salt": 3},
    ],
)
def test_a_changed_envelope_opens_nothing(tmp_path, fields):
    make_envelope(tmp_path, WORDS)
    changed(tmp_path, **fields)
    with pytest.raises(SiteError):
        open_envelope(tmp_path, WORDS)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff"])
def test_a_damaged_envelope_is_told(tmp_path, content):
    (tmp_path / ENVELOPE).write_bytes(content)
    with pytest.raises(SiteError, match="missing or damaged"):
        open_envelope(tmp_path, WORDS)


def test_secrets_by_name(tmp_path, monkeypatch):
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Secret.named("$CREDENTIALS_DIRECTORY/key") == Secret.named(str(key))
    monkeypatch.setenv("MEDFED_PASSPHRASE", "five words nobody says together")
    assert Secret.named("passphrase") == WORDS
    assert "words" not in repr(WORDS)


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_key_files_that_protect_nothing_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(SiteError) as error:
        Secret.named(str(tmp_path / "key"))
    assert error.value.remedy


@pytest.mark.parametrize("words", ["", "short"])
def test_passphrases_that_protect_nothing_are_refused(monkeypatch, words):
    monkeypatch.setenv("MEDFED_PASSPHRASE", words)
    with pytest.raises(SiteError) as error:
        Secret.named("passphrase")
    assert error.value.remedy


def test_a_folder_and_its_settings_must_agree(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    assert not open_vault(tmp_path, None).sealed
    with pytest.raises(SiteError, match="not encrypted yet"):
        open_vault(tmp_path, str(key))
    make_envelope(tmp_path, Secret.named(str(key)))
    with pytest.raises(SiteError, match="nothing says what opens it"):
        open_vault(tmp_path, None)
    vault = open_vault(tmp_path, str(key))
    vault.write(tmp_path / "a", b"content")
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(Exception, match="another's place"):
        vault.read(tmp_path / "b")
