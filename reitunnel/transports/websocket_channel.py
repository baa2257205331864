"""
Autobahn's WebSocket protocols as channels of binary messages.

Autobahn does the opening and the closing handshake, control frames, and everything
that a peer may do but links do not, such as fragments. Only whole binary messages,
of which a link consists, are taken here in one pass over the bytes that were read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketAdapterProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.errors import TransportError
from reitunnel.interfaces import ILinkTransport
from reitunnel.prompt import prompt_writer
from reitunnel.transports.failures import handshake_problem
from reitunnel.transports.layers import abort
from reitunnel.transports.masking import apply_mask
from reitunnel.transports.websocket import Buffer, WebSocketTransport
from reitunnel.transports.websocket_frames import MAX_MESSAGE, make_head
from reitunnel.transports.websocket_messages import MessageReader

_log = Logger()

SUBPROTOCOL: Final = "reitunnel.1"
"""What is negotiated as the subprotocol."""

MAX_HEAD: Final = 16 * 1024
"""The size, in bytes, of the largest head of an HTTP request or answer."""

_CONNECTING: Final = WebSocketProtocol.STATE_CONNECTING
_OPEN: Final = WebSocketProtocol.STATE_OPEN
_CLOSING: Final = WebSocketProtocol.STATE_CLOSING
_CLOSED: Final = WebSocketProtocol.STATE_CLOSED

_UNSUPPORTED_DATA: Final = WebSocketProtocol.CLOSE_STATUS_CODE_UNSUPPORTED_DATA
_TOO_BIG: Final = WebSocketProtocol.CLOSE_STATUS_CODE_MESSAGE_TOO_BIG


class _Quiet:
    """
    Instead of autobahn's log: what matters is said by the channel, once.
    """

    def _say_nothing(self, *arguments: object, **fields: object) -> None:
        pass

    trace = debug = info = warn = error = critical = failure = _say_nothing


@implementer(IPushProducer)
class LinkChannel(WebSocketAdapterProtocol, WebSocketProtocol):
    """
    What the channels of servers and clients have in common.

    @ivar ready: fires with the protocol of the link, once connected; fails with
        L{TransportError} if it never is. Cancelling it closes the connection.
    @ivar clock: what the time-outs are measured with.
    """

    log = _Quiet()
    transport: ILinkTransport

    # Autobahn has these without types, or with different ones in its own bases.
    peer: Any
    current_frame: Any
    inside_message: bool
    websocket_protocol_in_use: str | None
    _transport_details: Any

    _write_below: Callable[[bytes | bytearray], None]

    masks: bool
    """Whether this side masks what it sends: clients do."""

    def __init__(
        self, factory: IProtocolFactory, clock: IReactorTime, timeout: float
    ) -> None:
        """
        @param factory: builds the protocol of the link.
        @param timeout: seconds for the opening handshake, and for the closing
            one.
        """
        super().__init__()
        self.ready: Deferred[IProtocol] = Deferred(lambda _: self._abort())
        self.clock = clock
        self._link_factory = factory
        self._timeout = timeout
        self._timer: IDelayedCall | None = None
        self._link: WebSocketTransport | None = None
        self._consuming = False
        self._congested = False
        self._registered = False
        self._ending = False
        self._pong: bytes | None = None
        self._violation: str | None = None
        self._messages = MessageReader(masked=not self.masks)
        self._message_size = 0

    # From the connection below

    def connectionMade(self) -> None:
        """
        Begin the opening handshake.
        """
        self.peer = str(self.transport.getPeer())
        self._start_timer(self._late)
        self._connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """
        Take what was read.
        """
        link, messages = self._link, self._messages
        size = len(data)
        if link is None:
            self._shake_hands(data)
        elif (
            size <= messages.missing
            and not self.data
            and not link.paused
            and self.state == _OPEN
        ):
            # Inside a message, as most of what is read is.
            messages.missing -= size
            link.deliver(messages.unmask(data) if messages.mask else data)
        elif self.state != _CLOSED:
            self.data = self.data + data if self.data else data
            self.consume()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Deliver what was kept back, then tell the protocol.
        """
        link = self._link
        problem: Failure | None = None
        if link is not None and not link.disconnecting:
            self._ending = True
            try:
                self.consume()
            except Exception:
                # The reactor would close the connection for that: it is closed.
                problem = Failure()
                _log.failure("the protocol failed on the last data", problem)
        self._stop_timer()
        self._connectionLost(reason)  # type: ignore[arg-type]  # says str, means this
        if link is None:
            self._fail(handshake_problem(reason))
        else:
            link.lost(problem or self._end(reason))

    def pauseProducing(self) -> None:
        """
        There is no more room below.
        """
        self._congested = True
        if self._link is not None:
            self._link.congested()

    def resumeProducing(self) -> None:
        """
        There is room again.
        """
        self._congested = False
        pong, self._pong = self._pong, None
        if pong is not None:
            self.sendPong(pong)  # type: ignore[no-untyped-call]  # autobahn's
        if self._link is not None:
            self._link.cleared()

    def stopProducing(self) -> None:
        """
        The connection below is going away.
        """
        if self._link is not None:
            self._link.stopped()

    # From the transport above

    def send(self, data: Buffer) -> None:
        """
        Send one message, of at most L{MAX_MESSAGE} bytes.
        """
        if self.state != _OPEN:
            return
        size = len(data)
        if self.masks:
            # Not from a generator that can be guessed: whoever chooses the bytes
            # must not choose what goes over the wire (RFC 6455, section 10.3).
            mask = os.urandom(4)
            head = make_head(size, mask)
            message = bytearray(head)
            message += data
            apply_mask(mask, memoryview(message)[len(head) :])
            self._write_below(message)
        else:
            self._write_below(b"".join((make_head(size), data)))

    def close(self) -> None:
        """
        Begin the closing handshake, after what was sent.
        """
        if self.state == _OPEN:
            self.sendClose(WebSocketProtocol.CLOSE_STATUS_CODE_NORMAL)
            self._start_timer(self._stop_waiting)

    def resume(self) -> None:
        """
        Go on with what was read while the transport was paused; then read again,
        if it is not paused again.
        """
        self.consume()
        if self._wanted():
            self.transport.resumeProducing()

    def consume(self) -> None:
        """
        Go through what was read, as far as the protocol wants it.
        """
        # A protocol may pause and resume from inside what it is given.
        if self._consuming:
            return
        self._consuming = True
        try:
            more = True
            while more and self._wanted():
                if self.current_frame is None and not self.inside_message:
                    payload, self.data, foreign = self._messages.take(self.data)
                    self._deliver(payload)
                    if not (foreign and self._wanted()):
                        break
                more = self.processData()
        except Exception:
            # The reactor closes the connection: no more of this.
            self.data = b""
            raise
        finally:
            self._consuming = False

    # From autobahn

    def consumeData(self) -> None:
        """
        Called by autobahn when there are bytes to look at.
        """
        if self.state == _CONNECTING:
            super().consumeData()
        elif self._link is not None:
            self.consume()

    def onPing(self, payload: bytes) -> None:
        """
        Answer a ping. To a peer that does not read, only the last one: the RFC
        allows it (section 5.5.3), and answers must not pile up.
        """
        if self._congested:
            self._pong = payload
        else:
            self.sendPong(payload)  # type: ignore[no-untyped-call]  # autobahn's

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> Any:
        """
        The peer closes, or has answered.
        """
        result = super().onCloseFrame(
            code,  # type: ignore[arg-type]  # it tests for None
            reasonRaw,  # type: ignore[arg-type]  # it tests for None
        )
        self._start_timer(self._stop_waiting)
        return result

    def unregisterProducer(self) -> None:
        """
        Write no more: the connection below is about to be closed.
        """
        if self._registered:
            self._registered = False
            self.transport.unregisterProducer()

    def _onOpen(self) -> None:
        """
        The opening handshake is over. L{_shake_hands} goes on from there: what a
        protocol raises must not end in autobahn's hands.
        """

    def _onMessageBegin(self, isBinary: bool) -> None:
        self._message_size = 0
        if not isBinary:
            self._fail_connection(_UNSUPPORTED_DATA, "text messages have no meaning")

    def _onMessageFrameBegin(self, length: int) -> None:
        self._message_size += length
        if self._message_size > MAX_MESSAGE:
            reason = f"a message has more than {MAX_MESSAGE} bytes"
            self._fail_connection(_TOO_BIG, reason)

    def _onMessageFrameData(self, payload: bytes) -> None:
        self._deliver(payload)

    def _onMessageFrameEnd(self) -> None:
        """
        Nothing is kept of a frame.
        """

    def _onMessageEnd(self) -> None:
        """
        Nothing is kept of a message.
        """

    def _onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """
        Said by L{connectionLost}.
        """

    def _closeConnection(self, abort: bool = False) -> None:
        """
        Close the connection below. What autobahn wants to abort is closed in order
        as well: both sides have seen everything then, and a reset would only look
        like a fault to a proxy in between.
        """
        self.transport.loseConnection()

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        """
        The peer has broken the protocol.
        """
        if self._violation is None:
            self._violation = reason
        super()._fail_connection(code, reason)
        self._start_timer(self._stop_waiting)

    # Inside

    def _shake_hands(self, data: bytes) -> None:
        if self.state != _CONNECTING:
            # Refused, but the connection is not closed yet.
            return
        received = self.data + data
        end = received.find(b"\r\n\r\n")
        if end > MAX_HEAD or (end < 0 and len(received) > MAX_HEAD):
            self._refuse(TransportError("the head of the HTTP message is too long"))
            return
        try:
            self._dataReceived(data)
        except Exception:
            # Autobahn does not expect everything that can come over a network.
            self._refuse(TransportError("the peer does not speak HTTP"))
        else:
            if self.state == _OPEN:
                self._open()

    def _open(self) -> None:
        self._stop_timer()
        if self.websocket_protocol_in_use != SUBPROTOCOL:
            self._refuse(
                TransportError(
                    f"the server does not speak {SUBPROTOCOL} over WebSocket",
                    permanent=True,
                )
            )
            return
        try:
            protocol = self._link_factory.buildProtocol(self.transport.getPeer())
        except Exception as error:
            self._refuse(error)
            return
        if protocol is None:
            self._refuse(TransportError("the link is not wanted"))
            return
        link = self._link = WebSocketTransport(self.transport, self, protocol)
        self._registered = True
        self._write_below = prompt_writer(self.transport, shared=True)
        self.transport.registerProducer(self, True)
        protocol.makeConnection(link)
        if not self.ready.called:
            self.ready.callback(protocol)
        self.consume()

    def _wanted(self) -> bool:
        if self.state not in (_OPEN, _CLOSING):
            return False
        return self._ending or self._link is None or not self._link.paused

    def _deliver(self, data: bytes) -> None:
        if data and self._link is not None and self.state == _OPEN:
            self._link.deliver(data)

    def _end(self, reason: Failure) -> Failure:
        """
        Why the connection was lost, as far as the protocol of the link goes.
        """
        if self._violation is not None:
            return Failure(ConnectionLost(f"WebSocket: {self._violation}"))
        if self.wasClean:
            return Failure(ConnectionDone("the WebSocket was closed"))
        if not reason.check(ConnectionDone):
            known = reason.check(ConnectionClosed)
            return reason if known else Failure(ConnectionLost(str(reason.value)))
        if self.closedByMe:
            return reason
        return Failure(ConnectionLost("the peer left without closing the WebSocket"))

    def _late(self) -> None:
        seconds = self._timeout
        self._refuse(TransportError(f"no WebSocket handshake within {seconds:g} s"))

    def _stop_waiting(self) -> None:
        # Not an abort: what is still on its way to a slow peer arrives.
        self.unregisterProducer()
        self.transport.loseConnection()

    def _refuse(self, error: Exception) -> None:
        self._fail(error)
        self._abort()

    def _fail(self, error: Exception) -> None:
        self._stop_timer()
        if not self.ready.called:
            self.ready.errback(error)

    def _abort(self) -> None:
        self._stop_timer()
        abort(self.transport)

    def _start_timer(self, late: Any) -> None:
        if self._timer is None or not self._timer.active():
            self._timer = self.clock.callLater(self._timeout, late)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
