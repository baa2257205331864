"""
Makes throw-away certificates for tests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def write_private(path: Path, data: bytes) -> Path:
    """
    Write a file that only its owner can read, in place of what was there.

    @return: the path.
    """
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return path


@dataclass(frozen=True)
class Issued:
    """
    A certificate and its private key, both as PEM.
    """

    cert_pem: bytes
    key_pem: bytes

    @property
    def pem(self) -> bytes:
        """
        The key, then the certificate.
        """
        return self.key_pem + self.cert_pem

    def write(self, path: Path) -> Path:
        """
        Write both to one file, which only its owner can read.

        @return: the path.
        """
        return write_private(path, self.pem)


class CertificateAuthority:
    """
    An authority that nobody trusts unless told to.
    """

    def __init__(self, name: str = "Reitunnel test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._certificate = (
            self._builder(self._name, self._key.public_key(), -1, 365)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, SHA256())
        )

    @property
    def cert_pem(self) -> bytes:
        """
        The authority's own certificate.
        """
        return self._certificate.public_bytes(Encoding.PEM)

    def write(self, path: Path) -> Path:
        """
        Write the authority's own certificate to a file.

        @return: the path.
        """
        path.write_bytes(self.cert_pem)
        return path

    def issue(
        self,
        name: str,
        *names: str,
        client: bool = False,
        valid_from: int = -1,
        valid_to: int = 30,
        organization: str | None = None,
    ) -> Issued:
        """
        Issue a certificate.

        @param name: the subject's common name.
        @param names: DNS names and IP addresses that it is for.
        @param client: whether it is for a client; otherwise it is for a server.
        @param valid_from: in days from now.
        @param valid_to: in days from now.
        @param organization: the subject's, if it has one.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usage = (
            ExtendedKeyUsageOID.CLIENT_AUTH
            if client
            else ExtendedKeyUsageOID.SERVER_AUTH
        )
        builder = (
            self._builder(
                _name(name, organization), key.public_key(), valid_from, valid_to
            )
            .add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._key.public_key()
                ),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(each) for each in names]),
                critical=False,
            )
        certificate = builder.sign(self._key, SHA256())
        return Issued(
            cert_pem=certificate.public_bytes(Encoding.PEM),
            key_pem=key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
        )

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        valid_from: int,
        valid_to: int,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=valid_from))
            .not_valid_after(now + timedelta(days=valid_to))
        )


def _name(common_name: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
