"""The certificates that `srmd init --tls` makes: a CA of the pair's own, and one for each node.

Needs `cryptography` (the extra `srmd[tls]`); a node that runs does not.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
"""How long a new CA holds; nodes get new certificates from it before."""
EARLIER = timedelta(hours=1)
"""A certificate begins so much in the past: the clocks of two hosts differ."""
COMMON_NAME_MAX = 64
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""So that the commands on the host itself believe its node."""


class BadAuthority(Exception):
    """A CA that cannot sign: the message has the file and what is wrong with it."""


class Authority:
    """A CA, which signs for nodes of one group."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, days: float
    ) -> None:
        """Its nodes' certificates hold so many days, and no longer than its own."""
        self._key = key
        self._certificate = certificate
        self._begins = datetime.now(UTC) - EARLIER
        ends = self._begins + EARLIER + timedelta(days=days)
        self._ends = min(ends, certificate.not_valid_after_utc)

    @classmethod
    def new(cls, group: str, days: float) -> Authority:
        key, name, begins = _new_key(), _named(f"srmd CA of {group}"), datetime.now(UTC) - EARLIER
        ends = begins + EARLIER + timedelta(days=CA_DAYS)
        certificate = (
            _begun(name, name, key, begins, ends)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate, days)

    @classmethod
    def read(cls, certificate: Path, key: Path, days: float) -> Authority:
        """One that was made before.  Raises BadAuthority."""
        try:
            found = x509.load_pem_x509_certificate(certificate.read_bytes())
            secret = serialization.load_pem_private_key(key.read_bytes(), None)
        except OSError as failed:
            raise BadAuthority(f"{failed.filename}: {failed.strerror}") from failed
        except (TypeError, ValueError) as failed:
            right = "a certificate and its key, as srmd init --tls writes them"
            raise BadAuthority(f"{certificate}, {key}: {failed}; {right}") from failed
        if not isinstance(secret, ec.EllipticCurvePrivateKey):
            raise BadAuthority(f"{key}: not a key of an elliptic curve, as srmd init --tls makes")
        if secret.public_key() != found.public_key():
            raise BadAuthority(f"{key}: not the key of {certificate}")
        if found.not_valid_after_utc <= datetime.now(UTC):
            raise BadAuthority(f"{certificate}: has expired; make a new pair of files without it")
        return cls(secret, found, days)

    @property
    def certificate(self) -> str:
        """PEM."""
        return _pem(self._certificate)

    @property
    def key(self) -> str:
        """PEM."""
        return _key_pem(self._key)

    def sign(self, uri: str, host: str) -> tuple[str, str]:
        """Certificate and key, as PEM, of a node with this name at this address."""
        key = _new_key()
        names = dict.fromkeys((host, *LOCAL_NAMES))
        shown = [x509.UniformResourceIdentifier(uri), *map(_address, names)]
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer = self._certificate.subject
        certificate = (
            _begun(_named(uri.rpartition("/")[2]), issuer, key, self._begins, self._ends)
            .add_extension(x509.SubjectAlternativeName(shown), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return _pem(certificate), _key_pem(key)


def _begun(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:COMMON_NAME_MAX])])


def _address(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode("ascii")
