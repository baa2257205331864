"""
TLS handshakes with a server, by a client that is neither side's own: Python's C{ssl}.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress

from benchmarks.running.ports import LOOPBACK

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_TIMEOUT = 10.0
_TICK, _TICKS = 0.05, 8
"""How long a ticket may take, in seconds, and how often it is looked for."""


class Handshakes:
    """
    Makes handshakes of one kind.
    """

    def __init__(self, port: int, *, ca: str, version: str, alpn: str | None) -> None:
        """
        @param ca: the file of the authority that the server is trusted for.
        @param version: C{1.2} or C{1.3}.
        @param alpn: the protocol that is offered.
        """
        self._port = port
        self._context = ssl.create_default_context(cafile=ca)
        self._context.minimum_version = _VERSIONS[version]
        self._context.maximum_version = _VERSIONS[version]
        if alpn is not None:
            self._context.set_alpn_protocols([alpn])

    def make(self, count: int, *, resume: bool) -> list[float]:
        """
        Make handshakes, one after the other.

        @param resume: whether they resume one session, or are full.
        @return: how long each took, in seconds, the TCP connection left out.
        @raise ConnectionError: if the server does not resume.
        """
        session = self._session() if resume else None
        return [self._handshake(session) for _ in range(count)]

    def _handshake(self, session: ssl.SSLSession | None) -> float:
        with socket.create_connection((LOOPBACK, self._port), _TIMEOUT) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begun = time.perf_counter()
            with self._context.wrap_socket(
                plain, server_hostname=LOOPBACK, session=session
            ) as secure:
                taken = time.perf_counter() - begun
                if bool(secure.session_reused) is not (session is not None):
                    raise ConnectionError("the server did not resume the session")
        return taken

    def _session(self) -> ssl.SSLSession:
        """
        Get a session to resume.
        """
        with (
            socket.create_connection((LOOPBACK, self._port), _TIMEOUT) as plain,
            self._context.wrap_socket(plain, server_hostname=LOOPBACK) as secure,
        ):
            # With TLS 1.3 the tickets come after the handshake, and are read with
            # what the server says, which is nothing.
            secure.settimeout(_TICK)
            for _ in range(_TICKS):
                session = secure.session
                if session is not None and session.has_ticket:
                    break
                with suppress(TimeoutError):
                    secure.recv(1)
        if session is None:
            raise ConnectionError("the server gave no session to resume")
        return session
