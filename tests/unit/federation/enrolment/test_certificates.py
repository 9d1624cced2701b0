"""Certificates, tried with real TLS on real sockets."""

import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.verification import PolicyBuilder, Store

from medfed.core.errors import SiteError
from medfed.federation.enrolment import certificates as c
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.folder import (
    OwnCertificate,
    init_coordinator,
    renew,
    replace_certificate,
)
from medfed.federation.keys import load_key

LOCAL = "https://localhost:8443"


def shown(front, authority, host="localhost"):
    """The certificate that a real TLS client is shown and believes."""
    context = c.trusting(authority)
    with (
        socket.create_connection(("127.0.0.1", front.port), 10) as raw,
        context.wrap_socket(raw, server_hostname=host) as end,
    ):
        assert end.version() == "TLSv1.3"
        return end.getpeercert(binary_form=True)


def test_a_new_folder_has_everything_and_hides_its_keys(tmp_path):
    folder = init_coordinator(tmp_path / "c", LOCAL, name="lungs")
    assert folder.settings().name == "lungs"
    assert folder.settings().address == LOCAL
    assert (folder.settings().bind_host, folder.settings().bind_port) == ("0.0.0.0", 8443)
    assert load_key(folder.path).public_key() == folder.public_key()
    for name in ("key.pem", "ca.key", "tls.pem"):
        assert (folder.path / name).stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.warnings() == []
    with pytest.raises(SiteError, match="already"):
        init_coordinator(tmp_path / "c", LOCAL)


def test_the_authority_may_sign_servers_and_nothing_below(tmp_path):
    authority = init_coordinator(tmp_path, LOCAL).authority()
    basic = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature
    assert 3600 < c.days_left(authority) < 3660


@pytest.mark.parametrize("address", [LOCAL, "https://10.1.2.3:8443", "https://[::1]"])
def test_the_certificate_satisfies_a_strict_verifier(tmp_path, address):
    folder = init_coordinator(tmp_path, address)
    where = Address.parse(address)
    subject = x509.IPAddress(where.ip) if where.ip else x509.DNSName(where.host)
    verifier = PolicyBuilder().store(Store([folder.authority()])).build_server_verifier(subject)
    assert verifier.verify(folder.certificate(), [])


def test_renewal_keeps_the_trust_of_sites(federation):
    folder = federation.folder
    pinned = folder.authority()
    with federation.front() as front:
        before = shown(front, pinned)
    renew(folder)
    with federation.front() as front:
        after = shown(front, pinned)
    assert before != after
    assert folder.authority() == pinned
    assert folder.tls.stat().st_mode & 0o777 == 0o600


def test_another_host_or_authority_is_not_believed(federation, tmp_path):
    other = init_coordinator(tmp_path / "other", LOCAL)
    with federation.front() as front:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
            shown(front, other.authority())
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            shown(front, federation.folder.authority(), "elsewhere.org")


@pytest.mark.parametrize(
    ("days", "says"), [(400, ""), (29, "expires in 29 days"), (-1, "expired on")]
)
def test_expiry_is_told_thirty_days_ahead(tmp_path, days, says):
    certificate = init_coordinator(tmp_path, LOCAL).certificate()
    then = certificate.not_valid_after_utc - timedelta(days=days, hours=1)
    told = c.expiry_warning(certificate, "it", then)
    assert says in told
    assert bool(told) == bool(says)


def test_an_expiring_certificate_shows_in_the_warnings(tmp_path):
    folder = init_coordinator(tmp_path, LOCAL)
    renew(folder, days=20)
    (told,) = folder.warnings()
    assert "medfed coordinator renew" in told


@pytest.mark.parametrize("days", [0, 399, -5])
def test_times_that_clients_refuse_are_refused(tmp_path, days):
    folder = init_coordinator(tmp_path, LOCAL)
    before = folder.tls.read_bytes()
    with pytest.raises(SiteError, match="398"):
        renew(folder, days=days)
    assert folder.tls.read_bytes() == before


# --- a certificate of the hospital's own ----------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """What a hospital's certificate office hands out: certificate, key, issuer."""
    office = init_coordinator(tmp_path / "office", LOCAL)
    chain, key = tmp_path / "chain.pem", tmp_path / "own.key"
    pem = office.tls.read_bytes()
    split = pem.index(b"-----BEGIN PRIVATE KEY")
    chain.write_bytes(pem[:split])
    key.write_bytes(pem[split:])
    return OwnCertificate(chain, key, office.path / "ca.pem")


def test_a_certificate_of_ones_own_is_taken_and_never_renewed_here(tmp_path, own):
    folder = init_coordinator(tmp_path / "c", LOCAL, own=own)
    assert folder.authority() == c.load_certificate(own.authority)
    assert not (folder.path / "ca.key").exists()
    with pytest.raises(SiteError, match="somebody else's"):
        renew(folder)
    replace_certificate(folder, own.chain, own.key)
    assert c.trial(folder.tls, folder.tls, folder.authority(), "localhost") == ""


def test_what_no_site_could_connect_to_is_refused_at_once(tmp_path, own):
    other = init_coordinator(tmp_path / "other", LOCAL)
    cases = {
        "mismatch": (OwnCertificate(own.chain, other.path / "ca.key", own.authority), LOCAL),
        "issuer|self-signed": (OwnCertificate(own.chain, own.key, other.path / "ca.pem"), LOCAL),
        "ostname": (own, "https://elsewhere.org"),
        "no certificate|PEM": (OwnCertificate(own.key, own.key, own.authority), LOCAL),
        "cannot be read": (OwnCertificate(own.chain, own.key, tmp_path / "none"), LOCAL),
    }
    for says, (given, address) in cases.items():
        with pytest.raises(SiteError, match=f"(?i){says}"):
            init_coordinator(tmp_path / "c", address, own=given)
        assert not (tmp_path / "c" / "coordinator.toml").exists()


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path, own):
    key = ec.generate_private_key(ec.SECP256R1())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    own.key.write_bytes(locked)
    with pytest.raises(SiteError, match="password"):
        init_coordinator(tmp_path / "c", LOCAL, own=own)


def test_a_chain_with_an_intermediate_is_taken(tmp_path):
    """Root, issuing authority, server: what most hospitals have."""
    now = datetime.now(UTC)

    def make(name, issuer, signer, key, *, ca, length=None):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca, length), critical=True)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())

    root_key, mid_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = make("root", None, root_key, root_key, ca=True)
    middle = make("middle", root.subject, root_key, mid_key, ca=True, length=0)
    leaf = make("localhost", middle.subject, mid_key, key, ca=False)
    pem = Encoding.PEM
    (tmp_path / "chain").write_bytes(leaf.public_bytes(pem) + middle.public_bytes(pem))
    (tmp_path / "key").write_bytes(key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "root").write_bytes(root.public_bytes(pem))
    own = OwnCertificate(tmp_path / "chain", tmp_path / "key", tmp_path / "root")
    folder = init_coordinator(tmp_path / "c", LOCAL, own=own)
    assert folder.certificate() == leaf
    assert folder.authority() == root
