"""
One stream as a Twisted transport.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final
from typing import Protocol as Structural

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.interfaces import IHalfCloseTransport
from reitunnel.relay.pull import PullAdapter
from reitunnel.wire.frames import Buffer
from reitunnel.wire.session import Session
from reitunnel.wire.streams import Half, Stream

LINGER: Final = 600.0
"""
How long, in seconds, a stream that this side has closed waits for the other side
to close it too, at least, once all is sent. After that it is reset, as the kernel
drops a connection in FIN-WAIT-2. It is long because a window full of bytes may still
be on its way, on the other side, to someone who reads slowly.
"""


class StreamAborted(ConnectionLost):
    """
    The other side reset the stream.

    @ivar code: why.
    """

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason or code.name)
        self.code = code
        self.reason = reason


class StreamCarrier(Structural):
    """
    What carries a stream: a session, and something that sends what it queues.

    @ivar session: the session that the stream belongs to.
    @ivar clock: for the linger time.
    @ivar high_water: how many queued bytes pause a stream's producer.
    """

    session: Session
    clock: IReactorTime
    high_water: int

    def changed(self) -> None:
        """
        The session was told something: send what it wants to send.
        """


def _count_nothing(count: int) -> None:
    """
    The default of L{StreamTransport.on_written} and its like.
    """


def _tell_nobody(code: Code, reason: str) -> None:
    """
    The default of L{StreamTransport.on_over}.
    """


def _nothing() -> None:
    """
    The default of L{StreamTransport.on_accepted} and its like.
    """


@implementer(IHalfCloseTransport)
class StreamTransport:
    """
    An C{ITransport} over one stream of a session: half-close, abort, and
    producers in both directions, as on a TCP connection.

    Bytes that come before a protocol is there, or while it is paused, are held:
    at most the credit that this side gave. A byte counts as consumed, and gives
    credit back, when the protocol has got it.

    Nothing is delivered from inside C{connectionMade}, C{dataReceived} or
    C{readConnectionLost}, whatever the protocol calls there. What it raises is logged
    and resets this stream alone.

    @ivar stream: the stream on the wire.
    @ivar on_written: told how many bytes the protocol has written.
    @ivar on_delivered: told how many bytes the protocol has got.
    @ivar on_over: told the code and the reason, once, when the stream is over on
        both sides, or the session is.
    @ivar on_accepted: told when the other side accepts the stream.
    @ivar on_heartbeat: told from time to time, while the session lives.
    @ivar lost: whether it is closed for the protocol.
    @ivar disconnecting: whether the protocol has closed it.
    """

    _log = Logger()

    def __init__(
        self, carrier: StreamCarrier, stream: Stream, peer: IAddress, host: IAddress
    ) -> None:
        self.stream = stream
        self.disconnecting = False
        self.lost = False
        self.on_written: Callable[[int], None] = _count_nothing
        self.on_delivered: Callable[[int], None] = _count_nothing
        self.on_over: Callable[[Code, str], None] = _tell_nobody
        self.on_accepted: Callable[[], None] = _nothing
        self.on_heartbeat: Callable[[], None] = _nothing
        self._carrier = carrier
        self._peer = peer
        self._host = host
        self._protocol: IProtocol | None = None
        self._producer: IPushProducer | PullAdapter | None = None
        self._producer_paused = False
        self._eof_waits = False
        self._paused = True
        self._delivering = False
        self._held: deque[bytes] = deque()
        self._eof_held = False
        self._linger: IDelayedCall | None = None
        self._reason: Failure | None = None

    # What its owner does.

    def accept(self) -> None:
        """
        Accept the stream, which the other side opened.
        """
        self._carrier.session.accept_stream(self.stream)
        self._carrier.changed()

    def connect(self, protocol: IProtocol) -> None:
        """
        Give the stream to a protocol, and deliver what was held, unless it pauses
        the stream at once. If the stream is lost already, it is told so.
        """
        self._protocol = protocol
        self._paused = False
        self._delivering = True
        try:
            protocol.makeConnection(self)
        except Exception:
            self._failed()
        finally:
            self._delivering = False
        if self.lost:
            self._tell_lost()
        else:
            self._deliver_held()

    def abort(self, code: Code, reason: str = "") -> None:
        """
        Reset the stream with a code. Once this side has ended it in order, the other
        side hears nothing of it.
        """
        self._say_reset(code, reason)
        self.reset(code, reason)

    # What the mux tells.

    def received(self, data: bytes) -> None:
        """
        Bytes came.
        """
        if self.disconnecting:
            if self._discard(len(data)):
                self.abort(Code.ABORTED)
        else:
            self._held.append(data)
            self._deliver_held()

    def finished(self) -> None:
        """
        The other side sends no more.
        """
        self._eof_held = True
        if self.disconnecting:
            self._finish_if_agreed()
        else:
            self._deliver_held()

    def drained(self) -> None:
        """
        The queue has room.
        """
        if self._producer is not None and self._producer_paused:
            self._producer_paused = False
            try:
                self._producer.resumeProducing()
            except Exception:
                self._failed()

    def reset(self, code: Code, reason: str) -> None:
        """
        The stream was reset, by either side.
        """
        self._lose(Failure(StreamAborted(code, reason)))
        self._tell_lost()

    def over(self, code: Code, reason: str) -> None:
        """
        The stream is over on both sides, or the session is.
        """
        if code is Code.NONE:
            self._lose(Failure(ConnectionDone()))
            self._tell_lost()
        else:
            self.reset(code, reason)
        self.on_over(code, reason)

    # ITransport and IConsumer: towards the other side.

    def write(self, data: Buffer) -> None:
        """
        Send bytes; after L{loseWriteConnection} or L{loseConnection} they are
        dropped, unless a producer is still at work.

        @raise TypeError: when they are not bytes.
        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        stream = self.stream
        if self.lost or stream.eof_queued or stream.said_eof or not data:
            return
        carrier = self._carrier
        carrier.session.send(stream, data)
        self.on_written(len(data))
        carrier.changed()
        if (
            stream.queued > carrier.high_water
            and self._producer is not None
            and not self._producer_paused
        ):
            stream.blocked = self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[Buffer]) -> None:
        """
        Send several pieces.
        """
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """
        Send C{EOF} after what is written, and once a producer that is paused, or
        that is asked for each piece, is unregistered.
        """
        self._eof_waits = self._producer_paused or self._pulling
        if not (self._eof_waits or self.lost):
            self._carrier.session.send_eof(self.stream)
            self._carrier.changed()

    def loseConnection(self) -> None:
        """
        Close once all is sent, as L{loseWriteConnection} does, and the other side
        has finished too. What still comes is dropped. A stream that this side has
        not accepted is reset.
        """
        if self.disconnecting:
            return
        if self.stream.local is Half.PENDING:
            self.abortConnection()
            return
        self.disconnecting = True
        held = sum(len(data) for data in self._held)
        self._held.clear()
        if held and self._discard(held):
            self.abortConnection()
            return
        self.loseWriteConnection()
        self._finish_if_agreed()
        self._await_other_side()

    def abortConnection(self) -> None:
        """
        Reset the stream. As on a TCP connection, C{connectionLost} comes in the next
        turn of the reactor.
        """
        if not self.lost:
            self._say_reset(Code.ABORTED, "")
            self._lose(Failure(StreamAborted(Code.ABORTED, "")))
            self._carrier.clock.callLater(0, self._tell_lost)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Pause a producer while too much is queued.

        @raise RuntimeError: when one is registered already.
        """
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if self.lost:
            producer.stopProducing()
            return
        if streaming:
            self._producer = producer
        else:
            self._producer = PullAdapter(producer, self._carrier.clock, self._failed)
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        Forget the producer.
        """
        producer, self._producer = self._producer, None
        self.stream.blocked = self._producer_paused = False
        if isinstance(producer, PullAdapter):
            producer.pauseProducing()
        if self._eof_waits:
            self.loseWriteConnection()
            if self.disconnecting:
                self._finish_if_agreed()

    def getPeer(self) -> IAddress:
        """
        Give the visitor's address.
        """
        return self._peer

    def getHost(self) -> IAddress:
        """
        Give the tunnel's public address.
        """
        return self._host

    # IPushProducer: towards the protocol.

    def pauseProducing(self) -> None:
        """
        Hold what comes.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        Deliver what was held and what comes.
        """
        if self._protocol is not None:
            self._paused = False
            self._deliver_held()

    def stopProducing(self) -> None:
        """
        Close: whoever takes what comes is gone.
        """
        self.loseConnection()

    # The parts.

    @property
    def _pulling(self) -> bool:
        return isinstance(self._producer, PullAdapter)

    def _deliver_held(self) -> None:
        """
        Deliver what came, as long as the protocol wants it.
        """
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._held and not self._paused:
                self._deliver(self._held.popleft())
            if self._eof_held and not (self._paused or self.disconnecting):
                self._eof_held = False
                self._deliver_eof()
        except Exception:
            self._failed()
        finally:
            self._delivering = False

    def _deliver(self, data: bytes) -> None:
        assert self._protocol is not None
        size = len(data)
        self._protocol.dataReceived(data)
        self.on_delivered(size)
        self._carrier.session.consumed(self.stream, size)
        self._carrier.changed()

    def _deliver_eof(self) -> None:
        protocol: object = self._protocol
        if IHalfCloseableProtocol.providedBy(protocol):
            IHalfCloseableProtocol(protocol).readConnectionLost()
        else:
            # To such a protocol this is the end. On a TCP connection it could write
            # no more; here it can send what it has written.
            self._stop_producer()
            self.loseConnection()

    def _discard(self, size: int) -> bool:
        """
        Drop bytes that nobody wants any more. While this side still has data to
        send, the other side must not get stuck; after that it is told, as the
        kernel answers data for a closed socket with RST.

        @return: whether it must be told.
        """
        if self.stream.said_eof:
            return True
        self._carrier.session.consumed(self.stream, size)
        self._carrier.changed()
        return False

    def _finish_if_agreed(self) -> None:
        if self.stream.peer_finished and not (self.lost or self._eof_waits):
            self._carrier.session.finish(self.stream)
            self._carrier.changed()

    def _await_other_side(self) -> None:
        if not self.lost:
            self._linger = self._carrier.clock.callLater(
                LINGER, self._linger_over, self.stream.said_eof
            )

    def _linger_over(self, all_was_sent: bool) -> None:
        """
        @param all_was_sent: whether it was when the time began.
        """
        self._linger = None
        if all_was_sent:
            self.abort(Code.TIMEOUT, "the other side did not close")
            return
        if not (self.stream.queued or self._producer_paused or self._pulling):
            # Only the producer keeps it open, and that was free to write: it is one
            # that nobody unregisters.
            self.unregisterProducer()
        self._await_other_side()

    def _failed(self) -> None:
        """
        The protocol, or its producer, has raised the exception at hand.
        """
        self._log.failure("{peer}: the protocol failed", peer=self._peer)
        self.abort(Code.INTERNAL, "the protocol failed")

    def _stop_producer(self) -> None:
        producer = self._producer
        self.unregisterProducer()
        if producer is not None:
            with self._log.failuresHandled(
                "{peer}: the producer failed", peer=self._peer
            ):
                producer.stopProducing()

    def _say_reset(self, code: Code, reason: str) -> None:
        self._carrier.session.reset(self.stream, code, reason)
        self._carrier.changed()

    def _lose(self, reason: Failure) -> None:
        """
        Close it for the protocol. L{_tell_lost} tells it.
        """
        if self.lost:
            return
        self.lost = self.disconnecting = True
        self._reason = reason
        self.on_heartbeat = _nothing
        self._held.clear()
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._stop_producer()

    def _tell_lost(self) -> None:
        """
        Tell the protocol, once, that the connection is lost.
        """
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            assert self._reason is not None
            with self._log.failuresHandled(
                "{peer}: the protocol failed", peer=self._peer
            ):
                protocol.connectionLost(self._reason)
