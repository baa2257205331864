"""
What a client's TLS trusts, shows and remembers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import idna
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from service_identity.exceptions import CertificateError as UnusableCertificate
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from reitunnel.errors import CertificateError, TransportError
from reitunnel.transports.contexts import (
    HTTP_PROTOCOL,
    LINK_PROTOCOL,
    MinimumVersion,
    new_context,
    trust,
    use_credentials,
)
from reitunnel.transports.pem import (
    Stamp,
    load_authorities,
    load_credentials,
    stamp,
)

_log = Logger()

_SESSIONS: Final = 64
"""How many servers are remembered."""

_SessionKey = tuple[bytes, str, str, int]

# The numbers of X509_verify_cert_error_string(3), which pyOpenSSL does not offer.
_DISTRUST: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "it comes from an authority that is not trusted",
    20: "it comes from an authority that is not known",
    21: "it comes from an authority that is not known",
    23: "it was revoked",
    26: "it is not meant for servers",
}


class ClientTLS:
    """
    What a client trusts and shows, and the TLS sessions that it can resume.

    The files are read when this is made, and again when the client dials and
    they have changed.
    """

    def __init__(
        self,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        certificate_file: str | os.PathLike[str] | None = None,
        server_name: str | None = None,
        minimum_version: MinimumVersion = "1.3",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param ca_file: the authorities that are trusted, instead of those that
            the system trusts.
        @param certificate_file: a private key and its certificates, for servers
            that ask for one.
        @param server_name: the name that the server's certificate must be for,
            instead of the host that is dialled.
        @param minimum_version: the oldest TLS that is spoken.
        @param now: seconds of a clock that only moves forward.
        @raise CertificateError: if a file cannot be used.
        @raise ValueError: if the server's name is no name.
        """
        self._ca_file = None if ca_file is None else Path(ca_file)
        self._certificate_file = (
            None if certificate_file is None else Path(certificate_file)
        )
        self._server_name = None if server_name is None else _ascii_name(server_name)
        self._minimum = minimum_version
        self._sessions: dict[_SessionKey, SSL.Session] = {}
        self._seen = self._stamp()
        self._contexts: dict[bytes, SSL.Context] = {}
        if self._files():
            self._contexts = self._load()

    def dial(self, host: str, port: int, alpn: bytes) -> TLSDial:
        """
        Get ready for one connection.

        @param host: the host that is dialled.
        @param alpn: the protocol that is offered.
        @raise CertificateError: if a file cannot be used.
        """
        self._reload_if_changed()
        name = self._server_name or host
        key = (alpn, name, host, port)
        context = self._contexts[alpn]
        return TLSDial(
            context,
            name,
            self._sessions.get(key),
            lambda session: self._remember(key, context, session),
        )

    def _remember(
        self, key: _SessionKey, context: SSL.Context, session: SSL.Session
    ) -> None:
        if self._contexts.get(key[0]) is not context:
            # A session is worth what was verified when it began.
            return
        # The one used last goes to the end; the first one goes away.
        self._sessions.pop(key, None)
        self._sessions[key] = session
        while len(self._sessions) > _SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    def _reload_if_changed(self) -> None:
        seen = self._stamp()
        if self._contexts and seen == self._seen:
            return
        self._seen = seen
        try:
            contexts = self._load()
        except CertificateError as error:
            if not self._contexts:
                raise
            _log.error(
                "the changed certificates are not used, the old ones stay: {error}",
                error=error,
            )
        else:
            self._contexts = contexts
            self._sessions.clear()

    def _files(self) -> list[Path]:
        both = (self._ca_file, self._certificate_file)
        return [path for path in both if path is not None]

    def _stamp(self) -> Stamp:
        return stamp(self._files())

    def _load(self) -> dict[bytes, SSL.Context]:
        authorities = None if self._ca_file is None else load_authorities(self._ca_file)
        credentials = (
            None
            if self._certificate_file is None
            else load_credentials(self._certificate_file)
        )
        contexts = {}
        for alpn in (LINK_PROTOCOL, HTTP_PROTOCOL):
            context = new_context(SSL.TLS_CLIENT_METHOD, self._minimum)
            context.set_alpn_protos([alpn])
            if credentials is not None:
                use_credentials(context, credentials)
            if authorities is None:
                context.set_default_verify_paths()
            else:
                trust(context, authorities)
            contexts[alpn] = context
        return contexts


@implementer(IOpenSSLClientConnectionCreator)
class TLSDial:
    """
    One TLS connection of a client: made, verified, remembered.

    @ivar name: the name that the server's certificate must be for.
    @ivar problem: what is wrong with the server's certificate, once seen.
    @ivar full: whether the server showed its certificate: not so when a session
        was resumed.
    """

    def __init__(
        self,
        context: SSL.Context,
        name: str,
        session: SSL.Session | None,
        remember: Callable[[SSL.Session], None],
    ) -> None:
        # Neither the zone of an address nor the dot at the end of a name is part of
        # it to others.
        self.name = name.partition("%")[0].removesuffix(".")
        self.problem: TransportError | None = None
        self.full = False
        self._context = context
        self._session = session
        self._remember = remember
        self._is_address = _is_address(self.name)

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """
        Make the connection.
        """
        connection = SSL.Connection(self._context)
        connection.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify
        )
        if not self._is_address:
            connection.set_tlsext_host_name(self.name.encode("ascii"))
        if self._session is not None:
            connection.set_session(self._session)
        return connection

    def remember(self, connection: SSL.Connection) -> None:
        """
        Keep the session for the next time.

        @param connection: one on which the server has sent data: in TLS 1.3 it
            sends what makes a session resumable after the handshake, but before
            any data.
        """
        session = connection.get_session()
        if session is not None:
            self._remember(session)

    def release(self, connection: SSL.Connection) -> None:
        """
        Keep the session usable when a connection is gone. OpenSSL would spoil it
        unless both sides had said goodbye: after a link is lost, which is when
        it is needed. TLS has not asked for that since version 1.1.
        """
        connection.set_shutdown(SSL.SENT_SHUTDOWN)

    def _verify(
        self,
        connection: SSL.Connection,
        certificate: X509,
        number: int,
        depth: int,
        trusted: int,
    ) -> bool:
        """
        Called by OpenSSL for each certificate of the chain, the server's own
        last. What it raises would be lost.
        """
        self.full = True
        if not trusted:
            reason = _DISTRUST.get(number, f"OpenSSL's reason is number {number}")
            where = "" if depth == 0 else " (an authority's, in its chain)"
            self._distrust(f"the server's certificate{where} is not trusted: {reason}")
        elif depth == 0:
            self._verify_name(certificate)
        return self.problem is None

    def _verify_name(self, certificate: X509) -> None:
        verify = (
            verify_certificate_ip_address
            if self._is_address
            else verify_certificate_hostname
        )
        try:
            verify(certificate.to_cryptography(), self.name)
        except (VerificationError, UnusableCertificate):
            self._distrust(f"the server's certificate is not for {self.name!r}")
        except Exception:
            _log.failure("a certificate could not be read")
            self._distrust("the server's certificate cannot be read")

    def _distrust(self, message: str) -> None:
        if self.problem is None:
            self.problem = TransportError(message, permanent=True)


def _ascii_name(name: str) -> str:
    if name.isascii():
        return name.lower()
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError(f"{name!r} is not a host name") from None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
