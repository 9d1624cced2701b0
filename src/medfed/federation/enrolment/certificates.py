"""The federation's certificates: an authority of its own, or the hospital's.

::

    ca.pem  ca.key    the authority that sites trust; no ca.key when it is somebody else's
    tls.pem           what the coordinator shows to sites, and its key; renewed without telling them

Key and certificate lie in one file, which nginx and Python both take: a renewal replaces the pair
in one step, and no crash leaves two that do not belong together.
"""

import hashlib
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from medfed.core.errors import SiteError
from medfed.core.files import write_atomic
from medfed.federation.enrolment.address import Address

CA, CA_KEY, TLS = "ca.pem", "ca.key", "tls.pem"
CA_DAYS, SERVER_DAYS, MOST_DAYS = 3652, 365, 398
"""Ten years, one year, and the most that today's TLS clients accept of a server."""
WARN_DAYS = 30


def make_authority(folder: Path, name: str, days: int = CA_DAYS) -> x509.Certificate:
    """Make the federation's own authority in a folder."""
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name[:48]} medfed CA")])
    usage = _usage(key_cert_sign=True, crl_sign=True)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(subject, subject, key.public_key(), _start() + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(own, critical=False)
        .add_extension(_issuer_id(own), critical=False)
        .sign(key, hashes.SHA384())
    )
    write_atomic(folder / CA_KEY, _private(key))
    write_atomic(folder / CA, certificate.public_bytes(Encoding.PEM))
    return certificate


def make_server_certificate(
    folder: Path, address: Address, days: int = SERVER_DAYS
) -> x509.Certificate:
    """Make the coordinator's certificate, signed by the authority in the folder.

    Called again it renews: sites trust the authority and notice nothing. A server that is up
    shows the new one once it is reloaded.

    Raises:
        SiteError: The folder holds no authority that may sign, or the time is too long.
    """
    if not 1 <= days <= MOST_DAYS:
        remedy = f"Give 1 to {MOST_DAYS}: what is valid for longer is refused by TLS clients"
        raise SiteError(f"a server certificate cannot be valid for {days} days", remedy=remedy)
    authority, signer = load_certificate(folder / CA), _load_authority_key(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address.host[:64])])
    end = min(_start() + timedelta(days=days), authority.not_valid_after_utc)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(subject, authority.subject, key.public_key(), end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(address)]), critical=False)
        .add_extension(own, critical=False)
        .add_extension(_issuer_id(identifier), critical=False)
        .sign(signer, hashes.SHA384())
    )
    write_atomic(folder / TLS, certificate.public_bytes(Encoding.PEM) + _private(key))
    return certificate


def adopt(folder: Path, chain: Path, key: Path, authority: Path, address: Address) -> None:
    """Take over a certificate that somebody else made, after trying it as a site would.

    Args:
        folder: The coordinator's folder.
        chain: The certificate, then those between it and the issuer; PEM.
        key: Its private key, without a password; PEM.
        authority: The issuer's certificate, which sites are to trust; PEM.
        address: The address that the certificate must be for.

    Raises:
        SiteError: A file cannot be read, or no site could connect with this certificate.
    """
    issuer = load_certificate(authority)
    problem = trial(chain, key, issuer, address.host)
    if problem:
        remedy = "Give the certificate of this address with its chain, its key and its issuer"
        raise SiteError(f"{chain} cannot be used: {problem}", remedy=remedy)
    write_atomic(folder / CA, issuer.public_bytes(Encoding.PEM))
    write_atomic(folder / TLS, (chain.read_bytes(), b"\n", key.read_bytes()))


def trial(chain: Path, key: Path, authority: x509.Certificate, host: str) -> str:
    """Shake hands in memory: what OpenSSL at a site would say; empty when all is well."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(chain, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        return getattr(error, "reason", None) or str(error)
    client = trusting(authority)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends: Sequence[ssl.SSLObject] = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for end in (*ends, *ends):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except ssl.SSLError as error:
            return str(error.reason)
    return ""


def trusting(authority: x509.Certificate) -> ssl.SSLContext:
    """TLS as a site speaks it: 1.3, this authority and no other, the host's name checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority.public_bytes(Encoding.PEM).decode())
    return context


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
        SiteError: There is none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise SiteError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SiteError(f"{path} holds no certificate in PEM form") from None


def certificate_fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the whole certificate."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def days_left(certificate: x509.Certificate, now: datetime | None = None) -> float:
    """Days until a certificate expires; negative afterwards."""
    return (certificate.not_valid_after_utc - (now or _now())).total_seconds() / 86400


def expiry_warning(certificate: x509.Certificate, what: str, now: datetime | None = None) -> str:
    """A sentence when a certificate ends within 30 days or has ended; else nothing."""
    left, end = days_left(certificate, now), certificate.not_valid_after_utc.date()
    if left <= 0:
        return f"{what} expired on {end}"
    if left <= WARN_DAYS:
        return f"{what} expires in {int(left)} days, on {end}"
    return ""


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, end: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=_start(),
        not_valid_after=end,
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer_id(identifier: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _alternative(address: Address) -> x509.GeneralName:
    return x509.IPAddress(address.ip) if address.ip else x509.DNSName(address.host)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_authority_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key((folder / CA_KEY).read_bytes(), password=None)
    except FileNotFoundError:
        message = f"{folder} has no authority of its own: the certificate is somebody else's"
        remedy = "Ask them for a new one, and give it with --certificate and --key"
        raise SiteError(message, remedy=remedy) from None
    except (OSError, ValueError, TypeError):
        raise SiteError(f"{folder / CA_KEY} cannot be read", remedy="Restore a backup") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SiteError(f"{folder / CA_KEY} is not a key that medfed made")
    return key


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise ValueError("its key is protected by a password")


def _now() -> datetime:
    return datetime.now(UTC)


def _start() -> datetime:
    """A little before now, for machines whose clocks are behind."""
    return _now() - timedelta(hours=1)
