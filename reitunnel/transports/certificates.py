"""
The certificates of a server: by server name, and read again when they change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate
from OpenSSL.SSL import Connection, Context
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from reitunnel.errors import CertificateError
from reitunnel.transports.contexts import (
    HTTP_PROTOCOL,
    LINK_PROTOCOL,
    MinimumVersion,
    server_context,
)
from reitunnel.transports.pem import (
    Credentials,
    Stamp,
    dns_names,
    load_authorities,
    load_credentials,
    pem_files,
    stamp,
)

_log = Logger()

CHECK_INTERVAL: Final = 3.0
"""Seconds between two looks at the files, at the least."""


class ServerCertificates:
    """
    What a server shows to clients, and what it asks of them.

    The files are read when this is made, by L{reload}, and when a client connects
    and they have changed. Open connections keep what they have.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        client_ca: str | os.PathLike[str] | None = None,
        require_client_certificate: bool = True,
        minimum_version: MinimumVersion = "1.3",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param path: a file with a private key and its certificates; or a
            directory of such files, C{*.pem}. Of a directory, each is used for
            the DNS names in its certificate (for the file's name, if there are
            none), wildcards included, and C{default.pem}, or else the first by
            name, for every other client.
        @param client_ca: a file with the authorities that vouch for clients;
            L{None} asks no client for a certificate.
        @param require_client_certificate: whether, where an authority is given,
            every client must have one. What a client does show must be good in
            either case.
        @param minimum_version: the oldest TLS that is spoken.
        @param now: seconds of a clock that only moves forward.
        @raise CertificateError: if a file cannot be used.
        """
        self._path = Path(path)
        self._client_ca = None if client_ca is None else Path(client_ca)
        self._required = require_client_certificate
        self._minimum = minimum_version
        self._now = now
        self._checked_at = now()
        self._seen = self._stamp()
        self._current = self._load()

    @property
    def names(self) -> tuple[str, ...]:
        """
        The server names that have a certificate, sorted.
        """
        return tuple(sorted(self._current.by_name))

    def reload(self) -> None:
        """
        Read every file again, and use what they say for new connections.

        @raise CertificateError: if a file cannot be used; nothing has changed
            then.
        """
        seen = self._stamp()
        self._current = self._load()
        self._seen = seen

    def become(self, other: ServerCertificates) -> None:
        """
        Use the files and the settings of another one from now on, for all who have
        this one.
        """
        self.__dict__.update(other.__dict__)

    def context(self, alpn: bytes) -> Context:
        """
        The context for new connections.

        @param alpn: what the listener speaks.
        """
        self._reload_if_changed()
        return self._current.context(alpn)

    def _reload_if_changed(self) -> None:
        now = self._now()
        if now - self._checked_at < CHECK_INTERVAL:
            return
        self._checked_at = now
        seen = self._stamp()
        if seen == self._seen:
            return
        # Remembered even if the files cannot be used: it is said once.
        self._seen = seen
        try:
            self._current = self._load()
        except CertificateError as error:
            _log.error(
                "the changed certificates are not used, the old ones stay: {error}",
                error=error,
            )
        else:
            _log.info("{path}: changed certificates are in use", path=str(self._path))

    def _files(self) -> list[Path]:
        if self._path.is_dir():
            return pem_files(self._path)
        return [self._path]

    def _stamp(self) -> Stamp:
        try:
            files = self._files()
        except CertificateError:
            files = []
        if self._client_ca is not None:
            files.append(self._client_ca)
        return stamp(files)

    def _load(self) -> _Loaded:
        loaded = _Loaded(
            [load_credentials(path) for path in self._files()],
            by_directory=self._path.is_dir(),
            authorities=()
            if self._client_ca is None
            else load_authorities(self._client_ca),
            required=self._required,
            minimum=self._minimum,
        )
        # What OpenSSL does not take must be found now, not by the first client.
        for alpn in (LINK_PROTOCOL, HTTP_PROTOCOL):
            loaded.context(alpn)
        return loaded


class _Loaded:
    """
    What the files said at one time.

    @ivar by_name: the certificates by server name.
    """

    def __init__(
        self,
        credentials: list[Credentials],
        *,
        by_directory: bool,
        authorities: tuple[Certificate, ...],
        required: bool,
        minimum: MinimumVersion,
    ) -> None:
        self.by_name: dict[str, Credentials] = {}
        for each in credentials:
            for name in dns_names(each.certificate) or (each.path.stem.lower(),):
                best = self.by_name.setdefault(name, each)
                if _expiry(each) > _expiry(best):
                    self.by_name[name] = each
        self._default = next(
            (each for each in credentials if each.path.name == "default.pem"),
            credentials[0],
        )
        self._by_directory = by_directory
        self._authorities = authorities
        self._required = required
        self._minimum = minimum
        self._contexts: dict[bytes, Context] = {}

    def context(self, alpn: bytes) -> Context:
        """
        The context that connections begin with; for a directory, the server
        name then selects another.
        """
        found = self._contexts.get(alpn)
        if found is None:
            found = self._contexts[alpn] = self._new_context(alpn)
        return found

    def _new_context(self, alpn: bytes) -> Context:
        default = self._context_of(self._default, alpn)
        if self._by_directory:
            by_name = {
                name: self._context_of(credentials, alpn)
                for name, credentials in self.by_name.items()
            }

            def select(connection: Connection) -> None:
                context = _lookup(by_name, connection.get_servername())
                if context is not None:
                    connection.set_context(context)

            default.set_tlsext_servername_callback(select)
        return default

    def _context_of(self, credentials: Credentials, alpn: bytes) -> Context:
        return server_context(
            credentials,
            alpn=alpn,
            minimum=self._minimum,
            authorities=self._authorities,
            required=self._required,
        )


def _expiry(credentials: Credentials) -> float:
    return credentials.certificate.not_valid_after_utc.timestamp()


def _lookup(by_name: Mapping[str, Context], name: bytes | None) -> Context | None:
    """
    The context for a server name, or for the wildcard that covers it.
    """
    if name is None:
        return None
    # Names that are not ASCII are sent in an ASCII form: anything else is junk.
    text = name.decode("ascii", "replace").lower().removesuffix(".")
    found = by_name.get(text)
    return found if found is not None else by_name.get(f"*.{text.partition('.')[2]}")


@implementer(IOpenSSLServerConnectionCreator)
@dataclass(frozen=True, slots=True)
class ServerConnections:
    """
    Makes the TLS connections of one listener.

    @ivar alpn: what the listener speaks.
    """

    certificates: ServerCertificates
    alpn: bytes = field(default=LINK_PROTOCOL)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> Connection:
        """
        Make the connection of a new peer.
        """
        return Connection(self.certificates.context(self.alpn))
