"""
A pump: a socket and a stream joined, each direction with back-pressure, its own
end, and aborts passed on.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IPushProducer,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.interfaces import IHalfCloseTransport
from reitunnel.relay.stream import StreamTransport


@implementer(IHalfCloseableProtocol, IPushProducer)
class _End(Protocol):
    """
    One end of a pump.

    As a producer it is what the other end's transport pauses. It never follows
    C{stopProducing}: ends are closed when their reasons are known, in
    C{connectionLost}.

    @ivar other: the other end, once they are joined.
    @ivar finished: whether this end sends no more.
    @ivar lost: whether the transport is gone.
    """

    transport: IHalfCloseTransport

    def __init__(self) -> None:
        self.other: _End | None = None
        self.finished = False
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        """
        Pass bytes on.
        """
        assert self.other is not None
        self.other.transport.write(data)

    def readConnectionLost(self) -> None:
        """
        Pass the end of this direction on.
        """
        other = self.other
        self.finished = True
        if other is not None:
            other.transport.unregisterProducer()
            other.transport.loseWriteConnection()
            self.both_finished()

    def both_finished(self) -> None:
        """
        Close the socket if both directions have ended; the stream follows.
        """

    def writeConnectionLost(self) -> None:
        """
        The half-close was sent.
        """

    def pauseProducing(self) -> None:
        """
        The other end is full.
        """
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The other end has room.
        """
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        The other end is gone; its C{connectionLost} tells how.
        """


class SocketEnd(_End):
    """
    The protocol of a visitor's or a target's connection. It reads nothing until
    it is joined to a stream.

    @ivar on_connected: told once the connection is there.
    @ivar on_lost: told when it is lost before it is joined.
    """

    def __init__(
        self,
        on_connected: Callable[[SocketEnd], None],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__()
        self.on_connected = on_connected
        self.on_lost = on_lost

    def connectionMade(self) -> None:
        """
        Wait for the stream.
        """
        self.transport.pauseProducing()
        self.on_connected(self)

    def both_finished(self) -> None:
        """
        Close, when both directions have ended.
        """
        assert self.other is not None
        if self.finished and self.other.finished:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the stream: in order, if both directions ended and all was written.
        """
        self.lost = True
        other = self.other
        if other is None:
            self.on_lost()
        elif self.finished and other.finished and reason.check(ConnectionDone):
            other.transport.loseConnection()
        else:
            other.transport.abortConnection()

    def abort(self) -> None:
        """
        Reset the connection.
        """
        if not self.lost:
            self.transport.abortConnection()


class _StreamEnd(_End):
    """
    The protocol of the stream.
    """

    def both_finished(self) -> None:
        """
        Close the socket; the stream is closed when all is written to it.
        """
        assert self.other is not None
        self.other.both_finished()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Reset the socket, unless it is closed already.
        """
        self.lost = True
        if self.other is not None and not self.other.lost:
            self.other.transport.abortConnection()


def join(socket: SocketEnd, stream: StreamTransport) -> None:
    """
    Move bytes between a socket and a stream from now on.
    """
    end = _StreamEnd()
    socket.other = end
    end.other = socket
    socket.transport.registerProducer(end, True)
    stream.registerProducer(socket, True)
    stream.connect(end)
    if not socket.lost:
        socket.transport.resumeProducing()


class SocketFactory(Factory):
    """
    Builds the ends for connections.
    """

    noisy = False

    def __init__(self, build: Callable[[IAddress], SocketEnd]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> SocketEnd:
        """
        Build an end for a connection from or to C{addr}.
        """
        assert addr is not None
        return self._build(addr)
