"""
Links over TLS: the layer between TCP and the protocols of links.

L{TLSLayer} is where the records are moved. Everything else here and in
L{reitunnel.transports.gate} asks no more of it than Twisted's
C{TLSMemoryBIOProtocol} gives: C{getHandle()}, C{handshakeCompleted} for the protocol
above, and connections made by the creators in L{reitunnel.transports.certificates}
and L{reitunnel.transports.client_tls}.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast

from OpenSSL.SSL import Connection
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOProtocol

from reitunnel.errors import TransportError
from reitunnel.transports.layers import tls_connection
from reitunnel.transports.tls_transport import TLSTransport


class TLSLayer(WrappingFactory[TLSTransport]):
    """
    Puts TLS between the connections it is given and the protocols of another
    factory.

    @ivar clock: what the time-outs are measured with.
    @ivar closing_timeout: seconds that a peer has to answer the end of TLS.
    """

    noisy = False

    def __init__(
        self,
        connections: IOpenSSLClientConnectionCreator | IOpenSSLServerConnectionCreator,
        factory: IProtocolFactory,
        clock: IReactorTime,
        closing_timeout: float,
    ) -> None:
        """
        @param connections: makes the TLS connections; which side they are is
            said by the interface that it provides.
        """
        super().__init__(factory)  # type: ignore[no-untyped-call]  # Twisted's
        self.clock = clock
        self.closing_timeout = closing_timeout
        self._connections = connections

    def buildProtocol(  # type: ignore[override]  # as IProtocolFactory has it
        self, addr: IAddress | None
    ) -> TLSTransport | None:
        """
        Build a protocol, and TLS below it.
        """
        protocol = self.wrappedFactory.buildProtocol(addr)
        if protocol is None:
            return None
        return TLSTransport(self, protocol, self._connect())

    def _connect(self) -> Connection:
        """
        Make a TLS connection.
        """
        # The interfaces want Twisted's own protocol, for creators that keep it.
        nobody = cast(TLSMemoryBIOProtocol, None)
        creator = self._connections
        if IOpenSSLClientConnectionCreator.providedBy(creator):
            connection = creator.clientConnectionForTLS(nobody)
            connection.set_connect_state()
        else:
            connection = creator.serverConnectionForTLS(nobody)
            connection.set_accept_state()
        return connection


def negotiated(protocols: Collection[bytes]) -> Callable[[ITransport], None]:
    """
    Make a check that the peers have agreed on one of these by ALPN.

    @param protocols: C{b""} among them accepts a peer that negotiates nothing.
    """
    names = " or ".join(name.decode("ascii") for name in protocols if name)

    def check(transport: ITransport) -> None:
        connection = tls_connection(transport)
        chosen = b"" if connection is None else connection.get_alpn_proto_negotiated()
        if chosen not in protocols:
            offers = f"only {chosen!r}" if chosen else "no ALPN"
            raise TransportError(
                f"the peer does not speak {names} ({offers})", permanent=True
            )

    return check
