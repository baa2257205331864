"""
Two transports that are joined, with what a kernel does in between: bounded buffers,
FIN, RST, and what a connection learns of them only when it reads or writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IProtocol,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.interfaces import IHalfCloseTransport

CAPACITY: Final = 64 << 10
"""How many bytes the kernel holds for a reader, in each direction."""
READ_SIZE: Final = 64 << 10
"""The most bytes that are read at a time."""


@dataclass(eq=False, slots=True)
class Socket:
    """
    What the kernel knows of one end.

    @ivar inbox: what came and was not read yet.
    @ivar fin: whether FIN came.
    @ivar reset: whether RST came.
    @ivar gone: whether it is closed.
    @ivar swallowed: how many bytes were sent that the network has dropped.
    """

    inbox: bytearray = field(default_factory=bytearray)
    fin: bool = False
    reset: bool = False
    gone: bool = False
    swallowed: int = 0


@implementer(IHalfCloseTransport, IHalfCloseableDescriptor)
class MemoryTransport:
    """
    One end of a connection. It behaves as Twisted's TCP transports do on Linux:

      - Writes leave in a later turn of the reactor. A streaming producer is paused
        while more than C{bufferSize} bytes wait.
      - A FIN from the peer is C{readConnectionLost}, or the end of the connection
        for a protocol that does not half-close.
      - While it is paused, and after a FIN, it does not notice that it was reset,
        unless it has something to write.
      - To close it with unread bytes resets the peer, and so does writing to a
        peer that has closed.

    @ivar connected: whether the protocol has not lost it yet.
    @ivar disconnecting: whether the protocol has closed it.
    @ivar reading: whether the protocol wants to read.
    @ivar other: the other end.
    @ivar socket: what the kernel knows of this end.
    """

    _log = Logger()
    bufferSize = 64 << 10

    def __init__(
        self, connection: MemoryConnection, host: IAddress, peer: IAddress
    ) -> None:
        self.connection = connection
        self.connected = False
        self.disconnecting = False
        self.reading = False
        self.other: MemoryTransport
        self.socket = Socket()
        self._host = host
        self._peer = peer
        self._protocol: IProtocol | None = None
        self._on_lost: Callable[[Failure], None] | None = None
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._writing = False
        self._aborting = False
        self._half_closing = False
        self._half_closed = False
        self._buffer = bytearray()
        self._awake = False
        self._fin_read = False

    # What the reactor and the test do.

    def begin(
        self, protocol: IProtocol, on_lost: Callable[[Failure], None] | None = None
    ) -> None:
        """
        Connect a protocol.

        @param on_lost: told, after the protocol, when the connection is over.
        """
        self._protocol = protocol
        self._on_lost = on_lost
        self.connected = self.reading = True
        protocol.makeConnection(self)
        self.wake()

    def fail(self) -> None:
        """
        Let the kernel reset this end: it finds out when it reads or writes.
        """
        self.socket.reset = True
        self.wake()

    def wake(self) -> None:
        """
        Look in the next turn of the reactor at what can be read and written.
        """
        if not self._awake:
            self._awake = True
            self.connection.soon(self._turn)

    @property
    def protocol(self) -> Any:
        """
        The protocol that was connected.
        """
        return self._protocol

    # ITransport and IConsumer.

    def write(self, data: bytes | memoryview) -> None:
        """
        Send bytes.
        """
        if not isinstance(data, bytes):
            raise TypeError(f"Data must be bytes, not {type(data).__name__}")
        if not self.connected or self._half_closed or not data:
            return
        self._buffer += data
        if (
            self._producer is not None
            and self._streaming
            and len(self._buffer) > self.bufferSize
        ):
            self._producer_paused = True
            self._producer.pauseProducing()
        self._start_writing()

    def writeSequence(self, data: Iterable[bytes | memoryview]) -> None:
        """
        Send several pieces.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Close once all is sent.
        """
        if not self.connected or self.disconnecting:
            return
        self.reading = False
        if self._half_closed:
            self._lose(Failure(ConnectionDone()))
        else:
            self.disconnecting = True
            self._start_writing()

    def loseWriteConnection(self) -> None:
        """
        Close this direction once all is sent.
        """
        self._half_closing = True
        self._start_writing()

    def abortConnection(self) -> None:
        """
        Close at once, and reset the peer.
        """
        if self.connected and not self._aborting:
            self._aborting = True
            self.reading = self._writing = False
            self.connection.soon(lambda: self._lose(Failure(ConnectionAborted())))

    def getPeer(self) -> IAddress:
        """
        Give the address of the other end.
        """
        return self._peer

    def getHost(self) -> IAddress:
        """
        Give the address of this end.
        """
        return self._host

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Pause a producer while too much waits to be sent.
        """
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        Forget the producer.
        """
        self._producer = None
        if self.connected and self.disconnecting:
            self._start_writing()

    # IPushProducer.

    def pauseProducing(self) -> None:
        """
        Read no more.
        """
        self.reading = False

    def resumeProducing(self) -> None:
        """
        Read again.
        """
        if self.connected and not self.disconnecting and not self._aborting:
            self.reading = True
            self.wake()

    def stopProducing(self) -> None:
        """
        Close.
        """
        self.loseConnection()

    # IHalfCloseableDescriptor: what tells that this transport half-closes.

    def readConnectionLost(self, reason: Failure) -> None:
        """
        The peer has closed its direction.
        """
        self._fin_read = True
        protocol: object = self._protocol
        if IHalfCloseableProtocol.providedBy(protocol):
            self._tell(lambda protocol: protocol.readConnectionLost())
        else:
            self._lose(reason)

    def writeConnectionLost(self, reason: Failure) -> None:
        """
        This direction is broken.
        """
        self._lose(reason)

    # The turns.

    def _start_writing(self) -> None:
        if self.connected and not self._aborting:
            self._writing = True
            self.wake()

    def _turn(self) -> None:
        self._awake = False
        if self.connected and self._writing:
            self._do_write()
        if self.connected and self.reading and not self._fin_read:
            self._do_read()

    def _do_write(self) -> None:
        if self._buffer and self.socket.reset:
            self._lose(Failure(ConnectionLost()))
            return
        if self._buffer:
            sent = self.connection.carry(self, self._buffer)
            del self._buffer[:sent]
        if self._buffer:
            return
        self._writing = False
        if self._producer is not None and (
            not self._streaming or self._producer_paused
        ):
            # One that then says nothing and stays holds up the end, as it does on
            # Twisted's own transports.
            self._producer_paused = False
            self._producer.resumeProducing()
        elif self.disconnecting:
            self._lose(Failure(ConnectionDone()))
        elif self._half_closing and not self._half_closed:
            self._half_closed = True
            self.connection.finish(self)
            protocol: object = self._protocol
            if IHalfCloseableProtocol.providedBy(protocol):
                IHalfCloseableProtocol(protocol).writeConnectionLost()

    def _do_read(self) -> None:
        if self.socket.inbox:
            data = bytes(self.socket.inbox[:READ_SIZE])
            del self.socket.inbox[:READ_SIZE]
            self.other.wake()
            self._tell(lambda protocol: protocol.dataReceived(data))
            self.wake()
        elif self.socket.reset:
            self._lose(Failure(ConnectionLost()))
        elif self.socket.fin:
            self.readConnectionLost(Failure(ConnectionDone()))

    def _tell(self, call: Callable[[Any], None]) -> None:
        try:
            call(self._protocol)
        except Exception:
            failure = Failure()
            self._log.failure("the protocol failed", failure)
            self._lose(failure)

    def _lose(self, reason: Failure) -> None:
        if not self.connected:
            return
        self.connected = False
        self.reading = self._writing = False
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        self.connection.close(self, aborted=bool(reason.check(ConnectionAborted)))
        assert self._protocol is not None
        self._protocol.connectionLost(reason)
        if self._on_lost is not None:
            self._on_lost(reason)


class MemoryConnection:
    """
    A connection: its two ends, and the network in between.

    @ivar client: the end that connected.
    @ivar server: the end that accepted.
    @ivar silent: whether the network drops everything.
    """

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], None],
        client: IAddress,
        server: IAddress,
    ) -> None:
        """
        @param soon: calls something in a later turn of the reactor.
        """
        self.soon = soon
        self.silent = False
        self.client = MemoryTransport(self, client, server)
        self.server = MemoryTransport(self, server, client)
        self.client.other, self.server.other = self.server, self.client

    def silence(self) -> None:
        """
        Let nothing through any more, in neither direction, as when a cable is
        pulled.
        """
        self.silent = True

    def cut(self) -> None:
        """
        Reset both ends, as a box in between does.
        """
        self.client.fail()
        self.server.fail()

    # What the ends ask the kernel for.

    def carry(self, source: MemoryTransport, data: bytearray) -> int:
        """
        Take bytes to the other end.

        @return: how many were taken.
        """
        sender, receiver = source.socket, source.other.socket
        if self.silent:
            taken = min(len(data), CAPACITY - sender.swallowed)
            sender.swallowed += taken
            return taken
        if receiver.gone:
            source.fail()
            return len(data)
        taken = min(len(data), CAPACITY - len(receiver.inbox))
        receiver.inbox += data[:taken]
        source.other.wake()
        return taken

    def finish(self, source: MemoryTransport) -> None:
        """
        Take a FIN to the other end.
        """
        if not self.silent:
            source.other.socket.fin = True
            source.other.wake()

    def close(self, source: MemoryTransport, *, aborted: bool) -> None:
        """
        Close a socket: with a FIN, or with an RST if there is something in it
        that was not read.
        """
        socket = source.socket
        unread, socket.gone = bool(socket.inbox), True
        socket.inbox.clear()
        if aborted or unread or socket.reset:
            if not self.silent:
                source.other.fail()
        else:
            self.finish(source)
