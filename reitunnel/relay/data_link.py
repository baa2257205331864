"""
A data link: idle at first, then one stream's raw bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Structural

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from reitunnel.errors import RemoteProtocolError
from reitunnel.relay.heartbeat import Heartbeat
from reitunnel.relay.link import Link
from reitunnel.wire.frames import Frame, FrameKind, encode_frame
from reitunnel.wire.messages import decode_number, encode_number


class RawReceiver(Structural):
    """
    Who gets what comes on a data link that a stream uses.
    """

    def raw_began(self) -> None:
        """
        The peer goes on here: what follows are the stream's bytes. If it had begun
        before the stream was known here, reading from the link is paused.
        """

    def raw_received(self, data: bytes) -> None:
        """
        Bytes of the stream came.
        """

    def raw_lost(self, reason: Failure) -> None:
        """
        The link is gone.
        """

    def raw_full(self) -> None:
        """
        The link has no room for what is written.
        """

    def raw_writable(self) -> None:
        """
        The link has room again.
        """


def _nothing(data_link: DataLink) -> None:
    """
    The default of those who are told of a data link.
    """


class DataLink:
    """
    One data link of a session, after its handshake.

    While it is idle, both sides ping each other. Each direction has frames until
    C{SWITCH}, which names the stream, and its bytes after that.

    @ivar number: the number that the client gave it.
    @ivar link: the link.
    @ivar stream: the number of the stream that uses it, or 0.
    """

    def __init__(
        self,
        number: int,
        link: Link,
        clock: IReactorTime,
        *,
        heartbeat_interval: float,
        heartbeat_timeout: float,
        word_timeout: float | None = None,
        peer_gives: bool,
        on_lost: Callable[[DataLink], None],
        on_ready: Callable[[DataLink], None] = _nothing,
    ) -> None:
        """
        @param word_timeout: how long the word on the control link that a stream has
            it may come later than its bytes, in seconds; C{heartbeat_timeout} if it
            is L{None}.
        @param peer_gives: whether the peer, the server, gives data links to streams,
            so that its bytes may begin before this side knows of the stream.
        @param on_lost: told, once, when the link is of no more use to a stream, as
            long as no stream has it.
        @param on_ready: told when the peer has answered for the first time: from then
            on it has the link, too.
        """
        self.number = number
        self.link = link
        self.stream = 0
        self._clock = clock
        self._timeout = heartbeat_timeout if word_timeout is None else word_timeout
        self._peer_gives = peer_gives
        self._on_lost: Callable[[DataLink], None] | None = on_lost
        self._on_ready = on_ready
        self._receiver: RawReceiver | None = None
        self._sending = False
        self._begun = False
        self._early: list[bytes] = []
        self._patience: IDelayedCall | None = None
        self._heartbeat = Heartbeat(
            clock, heartbeat_interval, heartbeat_timeout, self._ping, self._give_up
        )

    @property
    def ready(self) -> bool:
        """
        Whether the peer has the link, as far as can be known: it has answered, and
        owes no answer for so long that it may be gone.
        """
        heartbeat = self._heartbeat
        return heartbeat.round_trip is not None and not heartbeat.late

    def start(self) -> None:
        """
        Take the link over from its handshake.
        """
        self.link.receiver = self
        self._heartbeat.start()

    def use(self, stream: int, receiver: RawReceiver) -> None:
        """
        Give it to a stream.

        @raise RemoteProtocolError: when the peer has begun another stream on it.
        """
        self._stop_clocks()
        self._on_lost = None
        if self._begun and self.stream != stream:
            self.link.abort()
            raise RemoteProtocolError("SWITCH names another stream")
        self.stream = stream
        self._receiver = receiver
        if self._begun:
            # Reading is resumed by the receiver, when what is early is not early any
            # more.
            receiver.raw_began()
            early, self._early = self._early, []
            for data in early:
                receiver.raw_received(data)

    def begin(self) -> None:
        """
        Go on with the stream here: what is written from now on are its bytes.
        """
        self._sending = True
        frame = encode_number(FrameKind.SWITCH, self.stream, self.number)
        self.link.write([frame])

    def close(self) -> None:
        """
        Send what was written, and close.
        """
        self._stop_clocks()
        self._on_lost = None
        self.link.close()

    def abort(self) -> None:
        """
        Close at once.
        """
        self._stop_clocks()
        self._on_lost = None
        self.link.abort()

    # What the link tells.

    def link_ready(self, link: Link) -> None:
        """
        The link was ready before.
        """

    def frame_received(self, frame: Frame) -> None:
        """
        A frame came: the peer has not switched yet.
        """
        match frame.kind:
            case FrameKind.PING:
                self._answer(frame)
            case FrameKind.PONG:
                self._answered(frame)
            case FrameKind.SWITCH:
                self._switched(frame)
            case _:
                raise RemoteProtocolError(f"{frame.kind.name} on a data link")

    def batch_received(self) -> None:
        """
        Frames were answered as they came.
        """

    def raw_received(self, data: bytes) -> None:
        """
        Bytes of the stream came.
        """
        if self._receiver is None:
            self._early.append(data)
        else:
            self._receiver.raw_received(data)

    def link_full(self) -> None:
        """
        The link has no room.
        """
        if self._receiver is not None:
            self._receiver.raw_full()

    def link_writable(self) -> None:
        """
        The link has room again.
        """
        if self._receiver is not None:
            self._receiver.raw_writable()

    def link_broken(self, error: RemoteProtocolError) -> None:
        """
        The peer broke the protocol.
        """
        self._give_up()

    def link_lost(self, reason: Failure) -> None:
        """
        The link is gone.
        """
        self._stop_clocks()
        self._tell_lost()
        if self._receiver is not None:
            self._receiver.raw_lost(reason)

    # The parts.

    def _answer(self, ping: Frame) -> None:
        # After SWITCH there is no room for an answer between the stream's bytes. The
        # peer has asked before it knew.
        if not self._sending:
            if not self.link.writable:
                raise RemoteProtocolError("PING: the answers are not read")
            self.link.write([encode_frame(FrameKind.PONG, 0, ping.payload)])

    def _answered(self, pong: Frame) -> None:
        first = self._heartbeat.round_trip is None
        self._heartbeat.answered(pong.payload)
        if first and self._heartbeat.round_trip is not None:
            self._on_ready(self)

    def _switched(self, frame: Frame) -> None:
        if decode_number(frame.payload) != self.number:
            raise RemoteProtocolError("SWITCH names another data link")
        if self._receiver is None:
            if not self._peer_gives:
                raise RemoteProtocolError("SWITCH on a data link without a stream")
            # The word on the control link is still on its way. No ping is answered
            # from here on.
            self._stop_clocks()
            self._patience = self._clock.callLater(self._timeout, self._give_up)
            self.stream = frame.stream
            self.link.pause_reading()
        elif frame.stream != self.stream:
            raise RemoteProtocolError("SWITCH names another stream")
        self._begun = True
        self.link.read_raw(self.raw_received)
        if self._receiver is not None:
            self._receiver.raw_began()

    def _ping(self, payload: bytes) -> None:
        self.link.write([encode_frame(FrameKind.PING, 0, payload)])

    def _give_up(self) -> None:
        """
        Cut the link off. Nobody is to have it in the meantime, until that is done.
        """
        self._stop_clocks()
        self.link.abort()
        self._tell_lost()

    def _stop_clocks(self) -> None:
        self._heartbeat.stop()
        patience, self._patience = self._patience, None
        if patience is not None and patience.active():
            patience.cancel()

    def _tell_lost(self) -> None:
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost(self)
