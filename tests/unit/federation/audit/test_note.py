"""Signed notes: Go's published example, and what is none."""

import base64
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.errors import WireError
from medfed.federation.audit.note import Checkpoint, key_id, open_note, sign_note

# The example of golang.org/x/mod/sumdb/note.
NAME, ID, KEY = "PeterNeumann", "c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNED = (
    TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf"
    "qdngotpRZb6KE6RyyBwJnAM=\n"
)
PUBLISHED = Ed25519PublicKey.from_public_bytes(base64.b64decode(KEY)[1:])
OWN = Ed25519PrivateKey.generate()
CHECKPOINT = Checkpoint("medfed/north", 3, bytes(range(32)))


def test_the_published_note_opens():
    assert key_id(NAME, PUBLISHED).hex() == ID
    assert open_note(SIGNED, NAME, PUBLISHED) == TEXT


def test_a_checkpoint_comes_back():
    note = sign_note(CHECKPOINT.text(), "medfed/north", OWN)
    text = open_note(note, "medfed/north", OWN.public_key())
    assert Checkpoint.parse(text) == CHECKPOINT
    assert Checkpoint.parse(text + "an extension\n") == CHECKPOINT


def test_other_signatures_beside_it_do_no_harm():
    other = sign_note(CHECKPOINT.text(), "witness", Ed25519PrivateKey.generate())
    note = other + sign_note(CHECKPOINT.text(), "medfed/north", OWN).partition("\n\n")[2]
    assert open_note(note, "medfed/north", OWN.public_key()) == CHECKPOINT.text()


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n.replace("\n3\n", "\n4\n"),
        lambda n: n.replace("medfed/north", "medfed/south"),
        lambda n: n[:-10] + "AAAA" + n[-6:],
        lambda n: n.rstrip("\n"),
        lambda n: n.partition("\n\n")[0] + "\n\n",
        lambda n: n.partition("\n\n")[0],
        lambda n: n.replace("—", "-"),
        lambda n: "\n" * 70_000 + n,
        lambda n: "",
    ],
)
def test_what_was_changed_does_not_open(change):
    note = change(sign_note(CHECKPOINT.text(), "medfed/north", OWN))
    with pytest.raises(WireError):
        open_note(note, "medfed/north", OWN.public_key())


def test_another_key_does_not_open_it():
    note = sign_note(CHECKPOINT.text(), "medfed/north", OWN)
    with pytest.raises(WireError, match="not signed by"):
        open_note(note, "medfed/north", Ed25519PrivateKey.generate().public_key())


NONE = ["", "o\n", "o\nx\n", "o\n-1\nAAAA\n", "o\n1\nAAAA\n", f"o\n01\n{'A' * 43}=\n", "\n1\n"]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_checkpoint(text):
    with pytest.raises(WireError):
        Checkpoint.parse(text)


@given(st.text(max_size=300))
def test_any_text_opens_or_is_refused(text):
    with pytest.raises(WireError):
        open_note(text, "medfed/north", OWN.public_key())
    with suppress(WireError):
        Checkpoint.parse(text)
