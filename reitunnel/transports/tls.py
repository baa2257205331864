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

from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProducer,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure

from reitunnel.errors import TransportError
from reitunnel.transports.layers import tls_connection


class _TLSTransport(BufferingTLSTransport):
    """
    Twisted's TLS, with a bound on how long a peer may take to answer the end of
    TLS. Twisted itself would wait for ever.
    """

    factory: TLSLayer

    def __init__(self, *arguments: object, **keywords: object) -> None:
        super().__init__(*arguments, **keywords)  # type: ignore[arg-type]  # as given
        self._streaming = False
        self._impatience: IDelayedCall | None = None

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Write what the producer produces; until it is unregistered, the
        connection is not closed.
        """
        self._streaming = True
        super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]  # Twisted's

    def unregisterProducer(self) -> None:
        """
        The producer is done.
        """
        if self._streaming:
            # Twisted gathers small writes, and would end TLS before they are out.
            self._aggregator.flush()
        self._streaming = False
        super().unregisterProducer()  # type: ignore[no-untyped-call]  # Twisted's
        self._limit_closing()

    def loseConnection(self) -> None:
        """
        Write what is left and close.
        """
        super().loseConnection()
        self._limit_closing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        if self._impatience is not None and self._impatience.active():
            self._impatience.cancel()
        super().connectionLost(reason)

    def _limit_closing(self) -> None:
        if (
            self.disconnecting
            and self.connected
            and not self._streaming
            and self._impatience is None
        ):
            self._impatience = self.factory.clock.callLater(
                self.factory.closing_timeout, self._stop_waiting
            )

    def _stop_waiting(self) -> None:
        # Not an abort: what is still on its way to a slow peer arrives.
        if self.transport is not None:
            self.transport.loseConnection()


class TLSLayer(TLSMemoryBIOFactory):
    """
    Puts TLS between the connections it is given and the protocols of another
    factory.

    @ivar closing_timeout: seconds that a peer has to answer the end of TLS.
    """

    protocol = _TLSTransport

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
        is_client = IOpenSSLClientConnectionCreator.providedBy(connections)
        super().__init__(connections, is_client, factory, clock)
        self.clock = clock
        self.closing_timeout = closing_timeout


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
