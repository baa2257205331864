"""
Makes the OpenSSL contexts of servers and clients.

Twisted's C{CertificateOptions} is not used: it has no way to refuse a peer by its
ALPN, and pyOpenSSL warns of the types that it hands over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from cryptography.x509 import Certificate
from OpenSSL import SSL
from OpenSSL.crypto import X509

from reitunnel.errors import CertificateError
from reitunnel.transports.pem import Credentials

MinimumVersion = Literal["1.2", "1.3"]
"""The oldest version of TLS that is spoken."""

LINK_PROTOCOL: Final = b"reitunnel/1"
"""What is negotiated by ALPN on C{tls} links."""

HTTP_PROTOCOL: Final = b"http/1.1"
"""What is negotiated by ALPN on C{wss} links, by peers that negotiate at all."""

_VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

# Of TLS 1.2 only what is as good as TLS 1.3: forward secrecy and authenticated
# encryption.
_OLD_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"

# SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not offer.
_PARTIAL_WRITE: Final = 1

_OPTIONS: Final = (
    SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION
)


class ALPNRefused(SSL.Error):
    """
    The client offers no protocol that the server speaks. OpenSSL tells it so by
    an alert.
    """

    def __init__(self) -> None:
        # The form of OpenSSL's own errors, which Twisted takes apart.
        super().__init__([("SSL routines", "", "no application protocol")])


def new_context(method: int, minimum: MinimumVersion) -> SSL.Context:
    """
    A context with what servers and clients have in common.
    """
    context = SSL.Context(method)
    context.set_options(_OPTIONS)
    # Idle connections give their buffers back.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if hasattr(context, "clear_mode"):
        # Many records are sealed in one call. pyOpenSSL before 25.2 has no way to
        # say so, and seals them one by one.
        context.clear_mode(_PARTIAL_WRITE)
    context.set_min_proto_version(_VERSIONS[minimum])
    context.set_cipher_list(_OLD_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def server_context(
    credentials: Credentials,
    *,
    alpn: bytes,
    minimum: MinimumVersion,
    authorities: Sequence[Certificate],
    required: bool,
) -> SSL.Context:
    """
    A context for one certificate.

    @param alpn: the protocol that is spoken. Clients that offer only others are
        refused; what becomes of clients that offer none is for the caller.
    @param authorities: who vouches for clients; with none, no client is asked
        for a certificate.
    @param required: whether every client must have one.
    @raise CertificateError: if OpenSSL does not take the certificate.
    """
    context = new_context(SSL.TLS_SERVER_METHOD, minimum)
    use_credentials(context, credentials)

    def select(connection: SSL.Connection, offered: list[bytes]) -> bytes:
        if alpn not in offered:
            raise ALPNRefused
        return alpn

    context.set_alpn_select_callback(select)
    # Tickets are bound to it. Without one, a client that has a certificate
    # could not resume.
    context.set_session_id(b"reitunnel")
    if authorities:
        mode = SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE
        if required:
            mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        context.set_verify(mode)
        trust(context, authorities)
        for authority in authorities:
            context.add_client_ca(authority)
    return context


def use_credentials(context: SSL.Context, credentials: Credentials) -> None:
    """
    Show a certificate to peers.

    @raise CertificateError: if OpenSSL does not take it, because the key is too
        weak for example.
    """
    try:
        context.use_certificate(credentials.certificate)
        for certificate in credentials.chain:
            context.add_extra_chain_cert(certificate)
        # OpenSSL refuses the types of key that TLS has no use for.
        context.use_privatekey(credentials.key)  # type: ignore[arg-type]
        context.check_privatekey()
    except (SSL.Error, TypeError) as error:
        raise CertificateError(
            f"{credentials.path}: OpenSSL does not take the certificate: "
            f"{_reason(error)}"
        ) from None


def trust(context: SSL.Context, authorities: Sequence[Certificate]) -> None:
    """
    Trust these authorities, and only these.
    """
    store = context.get_cert_store()
    # Every context that OpenSSL makes has a store.
    assert store is not None
    for authority in authorities:
        store.add_cert(X509.from_cryptography(authority))


def _reason(error: Exception) -> str:
    queue = error.args[0] if error.args else ""
    return str(queue[-1][-1] if isinstance(queue, list) and queue else queue)
