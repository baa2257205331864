"""
TLS as a layer between a transport and a protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Final

from OpenSSL.SSL import Connection, Error
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IProducer,
    IProtocol,
    ISystemHandle,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.interfaces import ILinkTransport
from reitunnel.prompt import prompt_writer
from reitunnel.transports.records import RECORD, Buffer, Records

if TYPE_CHECKING:
    from reitunnel.transports.tls import TLSLayer

_log = Logger()

LONE_WRITES: Final = 8
"""
Writes that are not held back after one that nothing was gathered with: to hold it
back was in vain.
"""


class _Phase(Enum):
    """
    How far a connection has come.
    """

    SHAKING = "in the handshake"
    OPEN = "bytes go both ways"
    CLOSING = "this side sends no more, and the peer has not said so yet"
    OVER = "nothing more comes and nothing more is sent"


@implementer(ILinkTransport, ISystemHandle)
class TLSTransport(ProtocolWrapper):
    """
    Speaks TLS on another transport.

    What one read brings is opened at once and delivered at once. What is written is
    sealed at once if it fills a record; less than that is gathered until the end of
    the reactor's turn, when the transport below sends. No more is kept here, so
    back-pressure passes through: producers are registered with the transport below.

    The protocol above is connected at once, but must only look and close until it
    is told, as an C{IHandshakeListener}, that the handshake is over.

    A connection ends by close_notify (RFC 8446, section 6.1), of both sides: one
    direction alone cannot be closed. Without it the end may be somebody else's
    doing, and counts as a loss.

    @ivar paused: whether the protocol wants no data now.
    @ivar disconnecting: whether the protocol has closed the connection.
    """

    factory: TLSLayer
    transport: ILinkTransport
    _write_below: Callable[[bytes], None]

    def __init__(
        self, factory: TLSLayer, wrapped: IProtocol, connection: Connection
    ) -> None:
        """
        @param connection: OpenSSL's, with the side that it is on chosen.
        """
        super().__init__(factory, wrapped)
        self.paused = False
        self.disconnecting = False
        self._records = Records(connection)
        self._phase = _Phase.SHAKING
        self._unread = False
        self._delivering = False
        self._gathered: list[bytes] = []
        self._gathered_size = 0
        self._turn: IDelayedCall | None = None
        self._lone_writes = 0
        self._producer: IProducer | None = None
        self._reason: Failure | None = None
        self._impatience: IDelayedCall | None = None

    # What the transport below tells.

    def makeConnection(self, transport: ITransport) -> None:
        """
        Connect the protocol and begin the handshake.
        """
        # Not the wrapper's way, which claims to do all that the transport below can.
        Protocol.makeConnection(self, transport)
        self._write_below = prompt_writer(transport)
        self.factory.registerProtocol(self)  # type: ignore[no-untyped-call]  # Twisted's
        self.wrappedProtocol.makeConnection(self)
        if self._phase is _Phase.SHAKING:
            self._shake_hands()

    def dataReceived(self, data: bytes) -> None:
        """
        Take what was read.
        """
        if self._phase is _Phase.OVER:
            return
        self._records.receive(data)
        self._unread = True
        if self._phase is _Phase.SHAKING:
            self._shake_hands()
        self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The transport below is gone.
        """
        self.connected = 0
        # What came while the protocol was paused comes before the end.
        self.paused = False
        try:
            self._read()
        except Exception:
            # The reactor would close the connection for that: it is closed already.
            self._reason = Failure()
            _log.failure("the protocol failed on the last data", self._reason)
        self._phase = _Phase.OVER
        self._producer = None
        self._stop_timers()
        if reason.check(ConnectionDone) and not self._records.ended:
            reason = Failure(ConnectionLost("the peer did not end TLS"))
        super().connectionLost(self._reason or reason)  # type: ignore[no-untyped-call]  # Twisted's

    # What the protocol above does.

    def write(self, data: Buffer) -> None:
        """
        Send bytes. After L{loseConnection} they are dropped, unless a producer is
        registered.

        @raise TypeError: when they are not bytes.
        @raise RuntimeError: during the handshake.
        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if self._phase is not _Phase.OPEN:
            self._refuse_early_use()
            return
        if not data or (self.disconnecting and self._producer is None):
            return
        self._gathered.append(data)
        self._gathered_size += len(data)
        if self._gathered_size >= RECORD:
            self._send_gathered()
        elif self._turn is None:
            if self._lone_writes:
                self._lone_writes -= 1
                self._send_gathered()
            else:
                self._turn = self.factory.clock.callLater(0, self._end_turn)

    def writeSequence(self, data: Iterable[Buffer]) -> None:
        """
        Send several pieces.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Close in order, after everything written, and once a producer that is
        registered is done. What still comes is dropped. During the handshake there
        is no order yet: the connection is aborted.
        """
        if self.disconnecting or self._phase is _Phase.OVER:
            return
        if self._phase is _Phase.SHAKING:
            self.abortConnection()
            return
        self.disconnecting = True
        if self._producer is None:
            self._close()
        if self.paused:
            # The peer's answer comes after whatever else it has sent.
            self.resumeProducing()

    def abortConnection(self) -> None:
        """
        Close at once; what was written may be lost.
        """
        self.disconnecting = True
        self._phase = _Phase.OVER
        self.transport.abortConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Let the transport below tell a producer when there is room.

        @raise RuntimeError: if there is one already, or during the handshake.
        """
        if self._phase is not _Phase.OPEN:
            self._refuse_early_use()
            producer.stopProducing()
            return
        if self._producer is not None:
            raise RuntimeError(
                f"cannot register {producer!r}: {self._producer!r} is registered"
            )
        # First, because a producer that is asked for bytes may be done at once.
        self._producer = producer
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        The producer is done.
        """
        if self._producer is not None:
            self._producer = None
            self.transport.unregisterProducer()
            if self.disconnecting and self._phase is _Phase.OPEN:
                self._close()

    def pauseProducing(self) -> None:
        """
        Deliver nothing until L{resumeProducing}. A connection that is being closed
        reads on.
        """
        if not self.disconnecting and self._phase is not _Phase.OVER:
            self.paused = True
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Deliver again.
        """
        self.paused = False
        self._read()
        if not self.paused and self._phase is not _Phase.OVER:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        Close in order.
        """
        self.loseConnection()

    def getHandle(self) -> Connection:
        """
        The TLS connection.
        """
        return self._records.connection

    # The parts.

    def _refuse_early_use(self) -> None:
        if self._phase is _Phase.SHAKING:
            raise RuntimeError("the TLS handshake is not over")

    def _shake_hands(self) -> None:
        records = self._records
        through = records.shake_hands()
        if records.problem is not None:
            self._finish(records.problem)
            return
        self._send(records.remarks())
        if through:
            self._phase = _Phase.OPEN
            if IHandshakeListener.providedBy(self.wrappedProtocol):
                IHandshakeListener(self.wrappedProtocol).handshakeCompleted()

    def _read(self) -> None:
        """
        Deliver what has come, unless the protocol is paused, or is being given
        something already.
        """
        if self._delivering or self._phase is _Phase.SHAKING:
            return
        self._delivering = True
        try:
            while self._unread and not self.paused and self._phase is not _Phase.OVER:
                self._unread = False
                self._deliver()
        finally:
            self._delivering = False

    def _deliver(self) -> None:
        records = self._records
        data = records.open()
        if records.addressed:
            self._send(records.remarks())
        if data and not self.disconnecting:
            self.wrappedProtocol.dataReceived(data)
        if records.ended or records.problem is not None:
            if self.paused:
                # The end waits too.
                self._unread = True
            else:
                self._finish(records.problem)

    def _end_turn(self) -> None:
        self._turn = None
        if len(self._gathered) == 1:
            self._lone_writes = LONE_WRITES
        self._send_gathered()

    def _send_gathered(self) -> None:
        """
        Seal and send what was written.
        """
        gathered = self._gathered
        if self._phase is not _Phase.OPEN or not self._gathered_size:
            return
        plain = b"".join(gathered)
        gathered.clear()
        self._gathered_size = 0
        self._send(self._records.seal(plain))
        if self._records.problem is not None:
            self._finish(self._records.problem)

    def _send(self, sealed: list[bytes]) -> None:
        # Nothing may come in between: a producer that is paused could write.
        if sealed:
            self._write_below(b"".join(sealed))

    def _close(self) -> None:
        """
        Send close_notify and wait for the peer's.
        """
        self._send_gathered()
        if self._phase is not _Phase.OPEN:
            return
        self._phase = _Phase.CLOSING
        self._impatience = self.factory.clock.callLater(
            self.factory.closing_timeout, self._stop_waiting
        )
        self._send(self._records.end())

    def _finish(self, problem: Error | None) -> None:
        """
        Nothing more comes, and nothing more can be sent: tell the producer, and
        close the transport below.

        @param problem: what has gone wrong; nothing has if the peer has ended TLS.
        """
        if problem is None:
            self._send_gathered()
        if self._phase is _Phase.OVER:
            return
        answer = problem is None and self._phase is _Phase.OPEN
        self._phase = _Phase.OVER
        self._stop_timers()
        if problem is not None:
            self._reason = Failure(problem)
            # Nobody waits longer for a peer that breaks TLS and does not read.
            self._impatience = self.factory.clock.callLater(
                self.factory.closing_timeout, self.transport.abortConnection
            )
        producer, self._producer = self._producer, None
        if producer is not None:
            self.transport.unregisterProducer()
            producer.stopProducing()
        self._send(self._records.end() if answer else self._records.remarks())
        self.transport.loseConnection()

    def _stop_waiting(self) -> None:
        # Not an abort: what is still on its way to a slow peer arrives.
        self.transport.loseConnection()

    def _stop_timers(self) -> None:
        for timer in (self._turn, self._impatience):
            if timer is not None and timer.active():
                timer.cancel()
