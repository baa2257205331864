"""
What is known of a link that is ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    IPAddress,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
)
from cryptography.x509.oid import NameOID, ObjectIdentifier
from OpenSSL import SSL
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, ITransport
from zope.interface import implementer

from reitunnel.interfaces import ICertificate, ILinkFacts
from reitunnel.transports.layers import LayeredTransport, tls_connection

_BINDING_LABEL: Final = b"EXPORTER-Channel-Binding"
_BINDING_LENGTH: Final = 32


@implementer(ICertificate)
@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """
    A certificate that the peer has shown and that was verified.
    """

    common_name: str
    subject: str
    organization: str
    names: tuple[str, ...]
    fingerprint: str

    @classmethod
    def of(cls, certificate: Certificate) -> PeerCertificate:
        """
        Take what matters from a certificate.
        """
        return cls(
            common_name=_attribute(certificate, NameOID.COMMON_NAME),
            subject=certificate.subject.rfc4514_string(),
            organization=_attribute(certificate, NameOID.ORGANIZATION_NAME),
            names=_alternative_names(certificate),
            fingerprint=certificate.fingerprint(SHA256()).hex(),
        )


@implementer(ILinkFacts)
@dataclass(frozen=True, slots=True)
class LinkFacts:
    """
    What is known of a link.
    """

    scheme: str
    peer: IAddress
    host: IAddress
    secure: bool
    tls_version: str | None
    channel_binding: bytes | None
    certificate: ICertificate | None


def link_facts(transport: ITransport) -> ILinkFacts:
    """
    Say what is known of a link.

    The addresses are those of the connection itself: behind a proxy the peer is
    the proxy, whatever it says of others.

    @param transport: what the protocol of the link was connected to. If it can
        be adapted to L{ILinkFacts}, that is the answer.
    """
    own = cast(ILinkFacts | None, ILinkFacts(transport, None))
    if own is not None:
        return own
    connection = tls_connection(transport)
    host = transport.getHost()
    if isinstance(transport, LayeredTransport):
        scheme = transport.scheme
    elif connection is not None:
        scheme = "tls"
    else:
        scheme = "unix" if isinstance(host, UNIXAddress) else "tcp"
    return LinkFacts(
        scheme=scheme,
        peer=transport.getPeer(),
        host=host,
        secure=connection is not None,
        tls_version=None if connection is None else _version(connection),
        channel_binding=None if connection is None else _channel_binding(connection),
        certificate=None if connection is None else _certificate(connection),
    )


def _version(connection: SSL.Connection) -> str:
    # Its name for them begins like this.
    return connection.get_protocol_version_name().removeprefix("TLSv")


def _channel_binding(connection: SSL.Connection) -> bytes | None:
    """
    The C{tls-exporter} of RFC 9266, section 4.2.

    With TLS 1.2 it is only worth something if the master secret is an extended one
    (RFC 7627), which pyOpenSSL cannot tell: so there is none.
    """
    if connection.get_protocol_version() < SSL.TLS1_3_VERSION:
        return None
    return connection.export_keying_material(_BINDING_LABEL, _BINDING_LENGTH, b"")


def _certificate(connection: SSL.Connection) -> PeerCertificate | None:
    if connection.get_verify_mode() == SSL.VERIFY_NONE:
        # Whatever the peer has shown, nobody has looked at it.
        return None
    certificate = connection.get_peer_certificate(as_cryptography=True)
    return None if certificate is None else PeerCertificate.of(certificate)


def _attribute(certificate: Certificate, kind: ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(kind)
    return str(found[0].value) if found else ""


def _alternative_names(certificate: Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(
            SubjectAlternativeName
        )
    except (ExtensionNotFound, ValueError):
        return ()
    return tuple(
        str(name.value)
        for name in extension.value
        if isinstance(name, (DNSName, IPAddress, RFC822Name, UniformResourceIdentifier))
    )
