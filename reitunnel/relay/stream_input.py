"""
The way into a stream's protocol: what comes is held until it is wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol

from reitunnel.errors import Code
from reitunnel.relay.direct import Receiving
from reitunnel.relay.stream_base import StreamCarrier, count_nothing
from reitunnel.relay.stream_output import StreamOutput
from reitunnel.wire.streams import Stream

_MANY: Final = 64
_SMALL: Final = 2048
"""
Of many pieces that are held, further ones are put together up to so many bytes: credit
bounds the bytes, and not what tiny pieces cost besides.
"""


class StreamInput(StreamOutput):
    """
    An C{IPushProducer} towards the protocol.

    Bytes that come before a protocol is there, or while it is paused, are held: at
    most the credit that this side gave on the control link, and what was read at a
    time from the data link, which is not read then. A byte counts as consumed, and
    gives credit back, when the protocol has got it.

    @ivar on_delivered: told how many bytes the protocol has got.
    @ivar delivery_held: whether nothing is delivered, even if it is wanted.
    """

    def __init__(
        self, carrier: StreamCarrier, stream: Stream, peer: IAddress, host: IAddress
    ) -> None:
        super().__init__(carrier, stream, peer, host)
        self.on_delivered: Callable[[int], None] = count_nothing
        self._protocol: IProtocol | None = None
        self.delivery_held = False
        self._pause_asked = True
        self._paused = True
        self._delivering = False
        self._held: deque[bytes] = deque()
        self._eof_held = False

    # What its owner does.

    def hold_delivery(self, held: bool) -> None:
        """
        Deliver nothing, or what is wanted again.
        """
        if held is self.delivery_held:
            return
        self.delivery_held = held
        self._paused = held or self._pause_asked
        if held:
            self._throttle_link()
        else:
            self._deliver_held()

    # What the mux tells.

    def received(self, data: bytes) -> None:
        """
        Bytes came.
        """
        if self.disconnecting:
            if self._discard(len(data)):
                self.abort(Code.ABORTED)
        else:
            held = self._held
            if len(held) >= _MANY and len(held[-1]) + len(data) <= _SMALL:
                held[-1] += data
            else:
                held.append(data)
            self._deliver_held()

    def finished(self, raw: int | None = None) -> None:
        """
        The other side sends no more.

        @param raw: the bytes that it has sent on the data link; L{None} if it has
            not switched.
        """
        if self._path is None:
            self.ended()
        else:
            self._path.peer_finished(raw)

    # What the data link tells.

    def link_data(self, data: bytes) -> None:
        """
        Bytes came on the data link.
        """
        self.received(data)

    def link_opened(self) -> None:
        """
        The other side sends on the data link now.
        """
        self._throttle_link()

    def ended(self) -> None:
        """
        All that the other side has sent has come.
        """
        self._eof_held = True
        if self.disconnecting:
            self._finish_if_agreed()
        else:
            self._deliver_held()

    @property
    def nothing_held(self) -> bool:
        """
        Whether all that came is delivered, and more is wanted.
        """
        return not (self._held or self._paused)

    # IPushProducer: towards the protocol.

    def pauseProducing(self) -> None:
        """
        Hold what comes.
        """
        self._pause_asked = self._paused = True
        self._throttle_link()

    def resumeProducing(self) -> None:
        """
        Deliver what was held and what comes.
        """
        if self._protocol is not None:
            self._pause_asked = False
            self._paused = self.delivery_held
            self._deliver_held()

    # The parts.

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
        self._throttle_link()

    def _deliver(self, data: bytes) -> None:
        assert self._protocol is not None
        size = len(data)
        self._protocol.dataReceived(data)
        self.on_delivered(size)
        self._give_credit(size)

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
        if self._all_was_sent:
            return True
        self._give_credit(size)
        return False

    def _discard_held(self) -> bool:
        """
        Drop what is held.

        @return: whether the other side must be told.
        """
        held = sum(len(data) for data in self._held)
        self._held.clear()
        return bool(held) and self._discard(held)

    def _give_credit(self, size: int) -> None:
        """
        Give credit for bytes that came on the control link; they all came before
        those of the data link, which need none.
        """
        credited = min(size, self.stream.unread)
        if credited:
            session = self._carrier.session
            session.now = self._carrier.clock.seconds()
            session.consumed(self.stream, credited)
            self._carrier.changed()

    def _throttle_link(self) -> None:
        """
        Read from the data link as long as what comes is taken.
        """
        path = self._path
        if path is None or path.receiving is not Receiving.LINK:
            return
        if path.pump is not None and path.pump.back:
            return
        if (self._held or self._paused) and not self.disconnecting:
            path.data_link.link.pause_reading()
        else:
            path.data_link.link.resume_reading()
            self.on_carrier()
