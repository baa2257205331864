"""
A data link: idle at first, then one stream's raw bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Structural

from twisted.internet.interfaces import IReactorTime
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
        The peer goes on here: what follows are the stream's bytes.
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
        on_lost: Callable[[DataLink], None],
    ) -> None:
        """
        @param on_lost: told when it is lost while it is idle.
        """
        self.number = number
        self.link = link
        self.stream = 0
        self._on_lost = on_lost
        self._receiver: RawReceiver | None = None
        self._begun = False
        self._early: list[bytes] = []
        self._heartbeat = Heartbeat(
            clock, heartbeat_interval, heartbeat_timeout, self._ping, link.abort
        )

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
        self._heartbeat.stop()
        self._receiver = receiver
        if not self._begun:
            self.stream = stream
            return
        if self.stream != stream:
            raise RemoteProtocolError("SWITCH names another stream")
        self.link.resume_reading()
        receiver.raw_began()
        early, self._early = self._early, []
        for data in early:
            receiver.raw_received(data)

    def begin(self) -> None:
        """
        Go on with the stream here: what is written from now on are its bytes.
        """
        frame = encode_number(FrameKind.SWITCH, self.stream, self.number)
        self.link.write([frame])

    def close(self) -> None:
        """
        Send what was written, and close.
        """
        self._heartbeat.stop()
        self.link.close()

    def abort(self) -> None:
        """
        Close at once.
        """
        self._heartbeat.stop()
        self.link.abort()

    # What the link tells.

    def link_ready(self, link: Link) -> None:
        """
        The link was ready before.
        """

    def frame_received(self, frame: Frame) -> None:
        """
        A frame came: the link is idle in this direction.
        """
        match frame.kind:
            case FrameKind.PING if self._receiver is None:
                pong = encode_frame(FrameKind.PONG, 0, frame.payload)
                self.link.write([pong])
            case FrameKind.PING:
                # This side may have gone on to the stream's bytes already.
                pass
            case FrameKind.PONG:
                self._heartbeat.answered(frame.payload)
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
        self.link.abort()

    def link_lost(self, reason: Failure) -> None:
        """
        The link is gone.
        """
        self._heartbeat.stop()
        if self._receiver is None:
            self._on_lost(self)
        else:
            self._receiver.raw_lost(reason)

    # The parts.

    def _switched(self, frame: Frame) -> None:
        if decode_number(frame.payload) != self.number:
            raise RemoteProtocolError("SWITCH names another data link")
        if self._receiver is not None and frame.stream != self.stream:
            raise RemoteProtocolError("SWITCH names another stream")
        self.link.read_raw(self.raw_received)
        self._begun = True
        if self._receiver is not None:
            self._receiver.raw_began()
        else:
            # The word on the control link is still on its way. No ping is answered
            # from here on: if the word does not come, the heartbeat ends this.
            self.stream = frame.stream
            self.link.pause_reading()

    def _ping(self, payload: bytes) -> None:
        self.link.write([encode_frame(FrameKind.PING, 0, payload)])
