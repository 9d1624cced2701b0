"""The invitation code: whole or refused with a sentence, never half understood."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.errors import SiteError
from medfed.core.study import RESERVED
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.code import PREFIX, InviteCode

CODE = InviteCode(
    address=Address("fed.example.org", 8443),
    authority=bytes(range(32)),
    site="hospital_b",
    secret=bytes(range(32, 64)),
    expires=datetime(2030, 1, 2, tzinfo=UTC),
)
TEXT = str(CODE)


def understood(text):
    try:
        return InviteCode.parse(text)
    except SiteError as error:
        return None if error.remedy else error


@given(st.text())
def test_any_text_is_a_code_or_a_clear_error(text):
    assert understood(text) is None


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", max_size=400))
def test_any_letters_behind_the_prefix_are_a_code_or_a_clear_error(text):
    assert understood(PREFIX + text) is None


@given(
    site=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True).filter(
        lambda name: name not in RESERVED
    ),
    host=st.from_regex(r"[a-z]{1,20}(\.[a-z]{2,8}){0,3}", fullmatch=True)
    | st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    secret=st.binary(min_size=32, max_size=32),
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_every_code_is_read_as_it_was_written(site, host, port, secret, moment):
    code = InviteCode(Address(host, port), secret, site, secret, moment.replace(microsecond=0))
    assert InviteCode.parse(str(code)) == code


@given(st.integers(len(PREFIX), len(TEXT) - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_no_slip_goes_unnoticed(place, letter):
    slip = TEXT[:place] + letter + TEXT[place + 1 :]
    # The last letter has spare bits, which mean nothing.
    assert understood(slip) in (None, CODE)
    if slip != TEXT and place < len(TEXT) - 1:
        assert understood(slip) is None


@given(st.integers(0, len(TEXT) - 1))
def test_a_part_is_no_code(end):
    assert understood(TEXT[:end]) is None


@pytest.mark.parametrize(
    "mangled",
    [
        TEXT.upper(),
        f"  {TEXT}\n",
        "\n".join(TEXT[i : i + 40] for i in range(0, len(TEXT), 40)),
        " ".join(TEXT),
    ],
)
def test_what_mail_programs_do_does_no_harm(mangled):
    assert InviteCode.parse(mangled) == CODE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "begins with medfed1-"),
        ("medfed2-abc", "another version"),
        (TEXT[:-1], "not whole"),
        (TEXT[:90] + TEXT[91:], "not whole"),
        (PREFIX + "a" * 5000, "too long"),
        (TEXT + "1", "not whole"),
    ],
)
def test_what_is_wrong_is_said(text, says):
    with pytest.raises(SiteError, match=says):
        InviteCode.parse(text)


def test_the_secret_is_not_shown_by_accident():
    assert CODE.secret.hex() not in repr(CODE)
    assert str(CODE.secret) not in repr(CODE)


def test_a_code_for_a_name_that_no_site_may_have_is_refused():
    bad = InviteCode(CODE.address, CODE.authority, "coordinator", CODE.secret, CODE.expires)
    with pytest.raises(SiteError, match="names no site"):
        InviteCode.parse(str(bad))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("https://fed.example.org", "https://fed.example.org"),
        ("https://fed.example.org:443/", "https://fed.example.org"),
        ("https://FED.example.org:8443", "https://fed.example.org:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://10.0.0.1:1", "https://10.0.0.1:1"),
    ],
)
def test_addresses(text, written):
    assert str(Address.parse(text)) == written
    assert Address.parse(written) == Address.parse(text)


@pytest.mark.parametrize(
    "text",
    ["http://a.org", "a.org", "https://", "https://a.org/path", "https://a.org?x", "https://u@a.org",
     "https://a.org:0", "https://a.org:99999", "https://a b", "https://a..b", "https://-a.org",
     "https://[::1", "https://" + "a" * 300],
)  # fmt: skip
def test_no_addresses(text):
    with pytest.raises(SiteError, match=r"not (an|the) address"):
        Address.parse(text)
