"""
One stream as a Twisted transport: how it begins and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.interfaces import IHalfCloseTransport
from reitunnel.relay.data_link import DataLink
from reitunnel.relay.direct import DirectPath
from reitunnel.relay.stream_base import (
    StreamAborted,
    StreamCarrier,
    nothing_changed,
)
from reitunnel.relay.stream_input import StreamInput
from reitunnel.wire.streams import Half, Stream

__all__ = ["LINGER", "StreamAborted", "StreamCarrier", "StreamTransport"]

LINGER: Final = 600.0
"""
How long, in seconds, a stream that this side has closed waits for the other side
to close it too, at least, once all is sent. After that it is reset, as the kernel
drops a connection in FIN-WAIT-2. It is long because a window full of bytes may still
be on its way, on the other side, to someone who reads slowly.
"""
_GOES_ON: Final = (Half.OPEN, Half.FINISHED)


def _tell_nobody(code: Code, reason: str) -> None:
    """
    The default of L{StreamTransport.on_over}.
    """


def _nothing() -> None:
    """
    The default of L{StreamTransport.on_accepted} and its like.
    """


@implementer(IHalfCloseTransport)
class StreamTransport(StreamInput):
    """
    An C{ITransport} over one stream of a session: half-close, abort, and
    producers in both directions, as on a TCP connection.

    Nothing is delivered from inside C{connectionMade}, C{dataReceived} or
    C{readConnectionLost}, whatever the protocol calls there. What it raises is logged
    and resets this stream alone.

    @ivar on_over: told the code and the reason, once, when the stream is over on
        both sides, or the session is.
    @ivar on_accepted: told when the other side accepts the stream.
    @ivar on_heartbeat: told from time to time, while the session lives, with a link or
        without.
    """

    def __init__(
        self, carrier: StreamCarrier, stream: Stream, peer: IAddress, host: IAddress
    ) -> None:
        super().__init__(carrier, stream, peer, host)
        self.on_over: Callable[[Code, str], None] = _tell_nobody
        self.on_accepted: Callable[[], None] = _nothing
        self.on_heartbeat: Callable[[], None] = _nothing
        self._linger: IDelayedCall | None = None
        self._reason: Failure | None = None

    # What its owner does.

    @property
    def can_switch(self) -> bool:
        """
        Whether a data link could carry some of it: it is accepted, has none yet, is
        not closed, and has not finished in both directions.
        """
        stream = self.stream
        ending = stream.eof_queued or stream.said_eof
        return (
            self._path is None
            and not (self.disconnecting or (ending and stream.peer_finished))
            and stream.local in _GOES_ON
            and stream.remote in _GOES_ON
        )

    def attach(self, data_link: DataLink) -> None:
        """
        Give the stream a data link. What this side sends goes on there after what
        is written, unless it has finished. The other side switches on its own. If
        the stream is lost already, the data link is closed when that is settled.

        @raise RemoteProtocolError: when the peer uses the link for another stream.
        """
        stream, session = self.stream, self._carrier.session
        goes_on = stream.local is Half.OPEN and not stream.eof_queued
        path = DirectPath(
            self, data_link, goes_on=goes_on, peer_finished=stream.peer_finished
        )
        data_link.use(stream.number, path)
        self._path = path
        if self.lost:
            path.drop()
            return
        if goes_on:
            self._pause_producer()
        if goes_on or not stream.link:
            session.switch(stream, data_link.number)
            self._carrier.changed()

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
        self._pause_asked = False
        self._paused = self.delivery_held
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

    def reset(self, code: Code, reason: str) -> None:
        """
        The stream was reset, by either side.
        """
        self._lose(Failure(StreamAborted(code, reason)))
        self._tell_lost()

    def over(
        self, code: Code, reason: str, settled: Deferred[None] | None = None
    ) -> None:
        """
        The stream is over on both sides, or the session is.

        @param settled: fires when the other side knows why. The end of the data link
            must not come before that.
        """
        if code is Code.NONE:
            self._lose(Failure(ConnectionDone()))
            self._tell_lost()
        else:
            self.reset(code, reason)
        if self._path is not None:
            close = partial(self._path.close, in_order=code is Code.NONE)
            if settled is None:
                close()
            else:
                settled.addCallback(lambda _: close())
        self.on_over(code, reason)

    # ITransport: the ends.

    def loseConnection(self) -> None:
        """
        Close once all is sent, as C{loseWriteConnection} does, and the other side
        has finished too. What still comes is dropped. A stream that this side has
        not accepted is reset.
        """
        if self.disconnecting:
            return
        if self.stream.local is Half.PENDING:
            self.abortConnection()
            return
        self.disconnecting = True
        if self._discard_held():
            self.abortConnection()
            return
        self.loseWriteConnection()
        self._finish_if_agreed()
        self._throttle_link()
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

    def stopProducing(self) -> None:
        """
        Close: whoever takes what comes is gone.
        """
        self.loseConnection()

    # The parts.

    def _await_other_side(self) -> None:
        if not self.lost:
            self._linger = self._carrier.clock.callLater(
                LINGER, self._linger_over, self._all_was_sent
            )

    def _linger_over(self, all_was_sent: bool) -> None:
        """
        @param all_was_sent: whether it was when the time began.
        """
        self._linger = None
        if all_was_sent:
            self.abort(Code.TIMEOUT, "the other side did not close")
            return
        if not (self.stream.queued or self._producer_waits or self._pulling):
            # Only the producer keeps it open, and that was free to write: it is one
            # that nobody unregisters.
            self.unregisterProducer()
        self._await_other_side()

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
        self.on_carrier = nothing_changed
        self.on_heartbeat = _nothing
        self._held.clear()
        if self._path is not None:
            self._path.drop()
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
