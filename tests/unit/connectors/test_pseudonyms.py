"""Pseudonyms: the same for the same, tied to the key, and the key well kept."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from medfed.connectors.pseudonyms import KEY_FILE, Pseudonyms, open_pseudonyms
from medfed.core.errors import SiteError

ONE, OTHER = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)


@given(st.text(min_size=1))
def test_a_pseudonym_names_a_folder_and_depends_on_the_key(identity):
    name = ONE.patient(identity)
    assert re.fullmatch("p-[a-z2-7]{16}", name)
    assert name == ONE.patient(identity) != OTHER.patient(identity)
    assert ONE.scan(identity)[2:] != name[2:], "purposes do not share their bytes"
    assert 1 <= ONE.days_earlier(identity) <= 3650


@pytest.mark.parametrize("same", ["müller^1", " MÜLLER^1", "Mu\u0308ller^1", "Müller^1\0"])
def test_one_patient_has_one_pseudonym_however_written(same):
    assert ONE.patient(same) == ONE.patient("Müller^1")


def test_the_pseudonym_is_what_hmac_gives():
    """Checked once with `openssl dgst -hmac`; a change would rename every patient of every site."""
    assert ONE.patient("PATIENT-1") == "p-j64f34v5dica3gog"
    assert ONE.uid("1.2.3") == "2.25.168074962925914713150488899568198522884"


@given(st.from_regex(r"1(\.[1-9][0-9]{0,5}){1,9}", fullmatch=True))
def test_a_new_uid_is_a_uuid_and_valid(old):
    new = ONE.uid(old)
    assert UID(new).is_valid
    assert new == ONE.uid(old + "\0") != OTHER.uid(old)
    made = uuid.UUID(int=int(new.removeprefix("2.25.")))
    assert made.version == 8
    assert made.variant == uuid.RFC_4122


def test_a_site_makes_its_key_once_and_keeps_it_to_itself(tmp_path):
    first = open_pseudonyms(tmp_path).patient("a")
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert open_pseudonyms(tmp_path).patient("a") == first
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("content", ["", "no hex", "ab" * 31])
def test_a_damaged_key_is_never_replaced(tmp_path, content):
    file = tmp_path / KEY_FILE
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(SiteError, match=r"holds no key.*backup"):
        open_pseudonyms(tmp_path)
    assert file.read_text() == content


def test_a_key_that_others_can_read_is_not_used(tmp_path):
    open_pseudonyms(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(SiteError, match=r"can be read by others.*chmod 600"):
        open_pseudonyms(tmp_path)


def test_a_key_is_no_link_to_somewhere_else(tmp_path):
    (tmp_path / "else").write_text("ab" * 32)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / KEY_FILE).symlink_to(tmp_path / "else")
    with pytest.raises(SiteError, match=r"cannot be opened"):
        open_pseudonyms(tmp_path / "site")
