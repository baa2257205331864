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
from reitunnel.prompt import prompt_writer
from reitunnel.relay.closing import cut, half_close, is_broken


@implementer(IHalfCloseableProtocol, IPushProducer)
class _End(Protocol):
    """
    One end of a pump.

    As a producer it is what the other end's transport pauses. It never follows
    C{stopProducing}: ends are closed when their reasons are known, in
    C{connectionLost}.

    @ivar other: the other end, once they are joined.
    @ivar reading: whether it wants to read.
    @ivar finished: whether this end sends no more.
    @ivar lost: whether the transport is gone.
    @ivar write: writes to the transport.
    """

    transport: IHalfCloseTransport
    write: Callable[[bytes], None]

    def __init__(self) -> None:
        self.other: _End | None = None
        self.reading = False
        self.finished = False
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        """
        Pass bytes on.
        """
        assert self.other is not None
        self.other.write(data)

    def readConnectionLost(self) -> None:
        """
        Pass the end of this direction on.
        """
        other = self.other
        self.finished = True
        self.reading = False
        if other is not None:
            other.transport.unregisterProducer()
            other.finish_writing()
            self.both_finished()

    def finish_writing(self) -> None:
        """
        Close the direction away from this side, once all is sent.
        """
        self.transport.loseWriteConnection()

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
        self.reading = False
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The other end has room.
        """
        if not self.lost:
            self.reading = True
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        The other end is gone; its C{connectionLost} tells how.
        """

    def part(self) -> None:
        """
        Let go of the other end, when both are lost.
        """
        other = self.other
        if other is not None and self.lost and other.lost:
            self.other = other.other = None


def _nothing() -> None:
    """
    The default of L{SocketEnd.on_close} and its like.
    """


class SocketEnd(_End):
    """
    The protocol of a visitor's or a target's connection. It reads nothing until
    it is joined to a stream.

    @ivar on_connected: told once the connection is there.
    @ivar on_lost: told when it is lost before it is joined.
    @ivar on_gone: told when it is lost, whatever comes of the stream.
    @ivar on_close: told before it is closed in order.
    @ivar read_elsewhere: whether the kernel's pump reads from the connection.
    """

    def __init__(
        self,
        on_connected: Callable[[SocketEnd], None],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__()
        self.on_connected = on_connected
        self.on_lost = on_lost
        self.on_gone: Callable[[], None] = _nothing
        self.on_close: Callable[[], None] = _nothing
        self.read_elsewhere = False

    def connectionMade(self) -> None:
        """
        Wait for the stream.
        """
        self.transport.pauseProducing()
        self.write = prompt_writer(self.transport)
        self.on_connected(self)

    def finish_writing(self) -> None:
        """
        Close the direction away from this side. Where there is no such thing, as on
        TLS, close altogether: TLS sends all that was written, and what its peer
        still sends arrives.
        """
        if not half_close(self.transport):
            self.transport.loseConnection()

    def both_finished(self) -> None:
        """
        Close, when both directions have ended.
        """
        if self.finished and self.other is not None and self.other.finished:
            self.on_close()
            self.transport.loseConnection()

    def peer_finished(self) -> None:
        """
        The other end sends no more, and the direction away from this side is closed
        already.
        """
        if self.other is not None:
            self.other.finished = True
            self.both_finished()

    def pauseProducing(self) -> None:
        """
        The other end is full.
        """
        if not self.read_elsewhere:
            super().pauseProducing()

    def resumeProducing(self) -> None:
        """
        The other end has room.
        """
        if not self.read_elsewhere:
            super().resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the stream: in order if the connection was. That is when both directions
        have ended and all was written; or, where there is no half-close, when its
        peer has closed it.
        """
        self.lost = True
        gone, self.on_gone = self.on_gone, _nothing
        gone()
        other = self.other
        if other is None:
            self.on_lost()
        elif reason.check(ConnectionDone):
            other.transport.unregisterProducer()
            other.transport.loseConnection()
        else:
            other.transport.abortConnection()
        self.part()

    def look(self) -> None:
        """
        See whether the connection was reset while nothing was read from it.
        """
        if not (self.reading or self.lost) and is_broken(self.transport):
            self.abort()

    def abort(self) -> None:
        """
        Reset the connection.
        """
        if not self.lost:
            cut(self.transport)


class StreamEnd(_End):
    """
    The protocol of the stream.
    """

    def connectionMade(self) -> None:
        """
        Write to the stream.
        """
        self.write = self.transport.write

    def both_finished(self) -> None:
        """
        Close the socket; the stream is closed when all is written to it.
        """
        if self.other is not None:
            self.other.both_finished()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Reset the socket, unless it is closed already.
        """
        self.lost = True
        if self.other is not None and not self.other.lost:
            cut(self.other.transport)
        self.part()


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
