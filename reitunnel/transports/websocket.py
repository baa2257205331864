"""
A WebSocket seen as a transport of bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol as Structural
from typing import cast

from OpenSSL.crypto import X509
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProducer,
    IProtocol,
    IPullProducer,
    IPushProducer,
    IReactorTime,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.interfaces import ILinkTransport
from reitunnel.transports.layers import LayeredTransport, tls_connection
from reitunnel.transports.websocket_frames import MAX_MESSAGE

Buffer = bytes | memoryview


class Channel(Structural):
    """
    What the transport needs of the WebSocket below it.
    """

    clock: IReactorTime

    def send(self, data: Buffer) -> None:
        """
        Send one message, of at most L{MAX_MESSAGE} bytes.
        """

    def close(self) -> None:
        """
        Begin the closing handshake, after what was sent.
        """

    def resume(self) -> None:
        """
        Go on with what was read while the transport was paused; then read again,
        if it is not paused again.
        """


@implementer(IPushProducer)
class _Pull:
    """
    Makes a producer that is asked for each piece look like one that pushes.
    """

    def __init__(self, producer: IPullProducer, clock: IReactorTime) -> None:
        self._producer = producer
        self._clock = clock
        self._call: IDelayedCall | None = None

    def pauseProducing(self) -> None:
        """
        Ask for nothing more.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def resumeProducing(self) -> None:
        """
        Ask for pieces, one each turn of the reactor.
        """
        if self._call is None:
            self._call = self._clock.callLater(0, self._ask)

    def stopProducing(self) -> None:
        """
        The connection is gone.
        """
        self.pauseProducing()
        self._producer.stopProducing()

    def _ask(self) -> None:
        # Before asking: it may pause or unregister.
        self._call = self._clock.callLater(0, self._ask)
        self._producer.resumeProducing()


@implementer(ILinkTransport)
class WebSocketTransport(LayeredTransport):
    """
    What a protocol writes to when its link is a WebSocket: what it writes goes
    out as binary messages, and those that come in are its data.

    @ivar paused: whether the protocol wants no data now.
    @ivar disconnecting: whether the protocol has closed the link.
    """

    lower: ILinkTransport

    def __init__(
        self, lower: ILinkTransport, channel: Channel, protocol: IProtocol
    ) -> None:
        """
        @param lower: what the WebSocket goes over.
        @param protocol: who gets the data.
        """
        scheme = "ws" if tls_connection(lower) is None else "wss"
        super().__init__(lower, scheme)
        self.paused = False
        self.disconnecting = False
        self._channel = channel
        self._protocol = protocol
        self._producer: IPushProducer | None = None
        self._pull: _Pull | None = None
        self._congested = False
        self._lost = False

    def write(self, data: Buffer) -> None:
        """
        Send bytes, as one message if they fit in one. After L{loseConnection}
        they are dropped, unless a producer is registered.
        """
        if self.disconnecting and self._producer is None:
            return
        size = len(data)
        if size <= MAX_MESSAGE:
            if size:
                self._channel.send(data)
            return
        view = memoryview(data)
        for start in range(0, size, MAX_MESSAGE):
            self._channel.send(view[start : start + MAX_MESSAGE])

    def writeSequence(self, data: Iterable[Buffer]) -> None:
        """
        Send several pieces, as one message if they fit in one.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Close the link in order, after everything written, and once a producer
        that is registered is done. What still comes in is dropped.
        """
        if not self.disconnecting:
            self.disconnecting = True
            if self._producer is None:
                self._channel.close()
            # The peer's answer comes after whatever else it has sent.
            self.resumeProducing()

    def abortConnection(self) -> None:
        """
        Close the link at once; what was written may be lost.
        """
        self.disconnecting = True
        self.lower.abortConnection()

    def getPeer(self) -> IAddress:
        """
        The far end of the connection below.
        """
        return self.lower.getPeer()

    def getHost(self) -> IAddress:
        """
        This end of the connection below.
        """
        return self.lower.getHost()

    def getPeerCertificate(self) -> X509 | None:
        """
        The certificate that the peer has shown to the TLS below, if it has.
        """
        connection = tls_connection(self.lower)
        return None if connection is None else connection.get_peer_certificate()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Tell a producer when there is room and when there is none.

        @raise RuntimeError: if there is one already.
        """
        if self._producer is not None:
            raise RuntimeError(
                f"cannot register {producer!r}: {self._producer!r} is registered"
            )
        if self._lost:
            producer.stopProducing()
            return
        if streaming:
            self._producer = cast(IPushProducer, producer)
        else:
            pull = _Pull(cast(IPullProducer, producer), self._channel.clock)
            self._producer = self._pull = pull
        if self._congested:
            self._producer.pauseProducing()
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        The producer is done.
        """
        if self._pull is not None:
            self._pull.pauseProducing()
            self._pull = None
        producer, self._producer = self._producer, None
        if self.disconnecting and producer is not None:
            self._channel.close()

    def pauseProducing(self) -> None:
        """
        Deliver nothing until L{resumeProducing}. What was read already is kept:
        it is no more than one read of the connection below.
        """
        if not self.disconnecting:
            self.paused = True
            self.lower.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Deliver again, first what was kept.
        """
        self.paused = False
        self._channel.resume()

    def stopProducing(self) -> None:
        """
        Close the link.
        """
        self.loseConnection()

    def deliver(self, data: bytes) -> None:
        """
        Called by the channel: the peer sent bytes.
        """
        if not self.disconnecting:
            self._protocol.dataReceived(data)

    def congested(self) -> None:
        """
        Called by the channel: there is no more room below.
        """
        self._congested = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def cleared(self) -> None:
        """
        Called by the channel: there is room again.
        """
        self._congested = False
        if self._producer is not None:
            self._producer.resumeProducing()

    def stopped(self) -> None:
        """
        Called by the channel: nothing more can be sent.
        """
        self._lost = True
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()

    def lost(self, reason: Failure) -> None:
        """
        Called by the channel: the connection is gone.
        """
        self.stopped()
        self.disconnecting = True
        self._protocol.connectionLost(reason)
