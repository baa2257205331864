"""
The certificates of C{reitunnel demo}: made on the spot, good for a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509 import (
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    DNSName,
    ExtendedKeyUsage,
    IPAddress,
    Name,
    NameAttribute,
    SubjectAlternativeName,
    random_serial_number,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reitunnel.service.private_files import write_new

LIFETIME: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DemoCertificates:
    """
    Where the files are.

    @ivar authority: the authority that signed the server's certificate.
    @ivar server: the server's key and certificate.
    """

    authority: Path
    server: Path


def make_certificates(directory: Path, host: str) -> DemoCertificates:
    """
    Make an authority, which is forgotten at once, and a server's certificate.

    @param directory: where to write them.
    @param host: the IP address that the server's is for.
    """
    now = datetime.now(UTC)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("Reitunnel demo authority")
    authority = (
        _builder(now, authority_name, authority_name, authority_key)
        .add_extension(BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = SubjectAlternativeName([DNSName("localhost"), IPAddress(ip_address(host))])
    certificate = (
        _builder(now, _name("Reitunnel demo server"), authority_name, key)
        .add_extension(BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(
            ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .sign(authority_key, SHA256())
    )
    private = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode()
    made = DemoCertificates(directory / "ca.pem", directory / "server.pem")
    write_new(made.authority, _pem(authority))
    write_new(made.server, private + _pem(certificate))
    return made


def _builder(
    now: datetime, subject: Name, issuer: Name, key: ec.EllipticCurvePrivateKey
) -> CertificateBuilder:
    return (
        CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        # The clocks are the same; a minute is for their rounding.
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + LIFETIME)
    )


def _name(text: str) -> Name:
    return Name([NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
