"""
Connections in memory that have the manners of Twisted's TCP connections, the bad
ones too:

  - a connection that is closed while its producer is paused stays open until that is
    unregistered or writes again;
  - neither FIN nor RST is noticed while reading is paused and nothing is written;
  - C{loseConnection} after a half-close calls C{connectionLost} at once, while
    C{abortConnection} calls it in the next turn of the reactor.

Nothing moves by itself: L{MemoryTransport.turn} is one turn of the reactor for one
end of a connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IProtocol,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.interfaces import IHalfCloseTransport, ILinkTransport

HERE: Final = IPv4Address("TCP", "192.0.2.1", 6000)
THERE: Final = IPv4Address("TCP", "198.51.100.7", 40000)

ROOM: Final = 64 << 10
"""Bytes that wait to be sent, beyond which the producer is paused."""


@implementer(ILinkTransport)
class MemoryTransport:
    """
    One end of a connection that cannot be half-closed: the other direction ends
    with one, as on TLS.

    @ivar far: the other end.
    @ivar protocol: who is connected to this end.
    @ivar outgoing: what was written and has not left.
    @ivar reading: whether the protocol wants data.
    @ivar lost: whether C{connectionLost} was called.
    @ivar reason: what it was called with.
    @ivar aborted: how often C{abortConnection} was called.
    @ivar stalled: whether the network brings nothing to this end for now.
    """

    half_closes = False
    far: MemoryTransport
    protocol: IProtocol

    def __init__(self, clock: Clock, room: int = ROOM) -> None:
        self.outgoing = bytearray()
        self.reading = True
        self.lost = False
        self.reason: Failure | None = None
        self.aborted = 0
        self.stalled = False
        self.disconnecting = False
        self.producer: Any = None
        self._streaming = True
        self._clock = clock
        self._room = room
        self._writing = False
        self._producer_paused = False
        self._fin_queued = False
        self._fin_sent = False
        self._fin_read = False
        self._reset = False

    # ITransport and IConsumer.

    def write(self, data: bytes | memoryview) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"Data must be bytes, not {type(data)}")
        if self.lost or self.aborted or self._fin_sent:
            return
        self.outgoing += data
        self._writing = True
        if len(self.outgoing) > self._room and self.producer and self._streaming:
            self._producer_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes | memoryview]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self.lost or self.disconnecting:
            return
        if self._fin_sent:
            self._lose(Failure(ConnectionDone()))
        else:
            self.reading = False
            self.disconnecting = self._writing = True

    def abortConnection(self) -> None:
        self.aborted += 1
        if not self.lost and self.aborted == 1:
            self.reading = False
            self.outgoing.clear()
            self.far._reset = True
            self._clock.callLater(0, self._lose, Failure(ConnectionAborted()))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError("a producer was never unregistered")
        if self.lost:
            producer.stopProducing()
            return
        self.producer = producer
        self._streaming = streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
        if self.disconnecting:
            self._writing = True

    def getPeer(self) -> IAddress:
        return THERE

    def getHost(self) -> IAddress:
        return HERE

    # IPushProducer.

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if not (self.lost or self.disconnecting):
            self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()

    # One turn of the reactor.

    def turn(self, size: int = ROOM) -> bool:
        """
        Read at most C{size} of what the far end has sent, or notice how it ended;
        then take note of what has left.

        @return: whether anything happened.
        """
        if self.lost or self.aborted or self.stalled:
            return False
        happened = self._read(size)
        return self._write() or happened

    def cut(self) -> None:
        """
        The network breaks: this end loses the connection.
        """
        self._lose(Failure(ConnectionLost("cut")))

    def _read(self, size: int) -> bool:
        if self._reset and (self.reading or self.outgoing):
            self._lose(Failure(ConnectionLost()))
            return True
        if not self.reading or self._fin_read:
            return False
        arriving = self.far.outgoing
        if arriving:
            data = bytes(arriving[:size])
            del arriving[:size]
            self.protocol.dataReceived(data)
            return True
        if self.far._fin_sent:
            self._fin_read = True
            self.reading = False
            protocol: object = self.protocol
            if self.half_closes and IHalfCloseableProtocol.providedBy(protocol):
                IHalfCloseableProtocol(protocol).readConnectionLost()
            else:
                self._lose(Failure(ConnectionDone()))
            return True
        return False

    def _write(self) -> bool:
        if self.lost or self.aborted or not self._writing:
            return False
        if self.outgoing:
            if self.far.lost:
                self.outgoing.clear()
                self._reset = True
                return True
            return False
        self._writing = False
        producer = self.producer
        if producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            producer.resumeProducing()
            return True
        if self.disconnecting:
            self._lose(Failure(ConnectionDone()))
            return True
        if self._fin_queued and not self._fin_sent:
            self._fin_sent = True
        return True

    def _lose(self, reason: Failure) -> None:
        if self.lost:
            return
        self.lost = self._fin_sent = True
        self.reason = reason
        self.reading = False
        if self.far.outgoing:
            self.far._reset = True
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(reason)


@implementer(IHalfCloseTransport, IHalfCloseableDescriptor)
class MemorySocket(MemoryTransport):
    """
    One end of a connection that can be half-closed.
    """

    half_closes = True

    def loseWriteConnection(self) -> None:
        self._fin_queued = self._writing = True

    def readConnectionLost(self, reason: Failure) -> None:
        """
        The reactor's affair.
        """

    def writeConnectionLost(self, reason: Failure) -> None:
        """
        The reactor's affair.
        """


class EagerSocket(MemorySocket):
    """
    One that has read more than it was asked for, and gives it from inside
    C{resumeProducing}, as a WebSocket does.
    """

    _giving = False

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.stalled or self.aborted or self._giving:
            return
        self._giving = True
        while self.reading and self.far.outgoing:
            self._read(ROOM)
        self._giving = False


@implementer(IHalfCloseableProtocol)
class Remote(Protocol):
    """
    The program at the far end of a connection: it does what tests say, and writes
    down what it sees.

    @ivar received: the bytes that came.
    @ivar finished: whether the other side sends no more.
    @ivar lost: why the connection was lost, once it is.
    """

    transport: MemorySocket

    def __init__(self) -> None:
        self.received = bytearray()
        self.finished = False
        self.lost: Failure | None = None

    @property
    def was_reset(self) -> bool:
        """
        Whether the connection was reset by the other side.
        """
        return self.lost is not None and type(self.lost.value) is ConnectionLost

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.finished = True

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.lost is None
        self.lost = reason


def connect(
    near: IProtocol,
    far: IProtocol,
    clock: Clock,
    kind: type[MemoryTransport] = MemorySocket,
    room: int = ROOM,
) -> tuple[MemoryTransport, MemoryTransport]:
    """
    Connect two protocols, the near one first.
    """
    ends = kind(clock, room), kind(clock, room)
    for end, other, protocol in zip(ends, reversed(ends), (near, far), strict=True):
        end.far, end.protocol = other, protocol
    for end in ends:
        end.protocol.makeConnection(end)
    return ends
