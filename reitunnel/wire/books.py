"""
What the parts of a session share: its books, what it may use, and what waits to be
sent.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

from reitunnel.errors import LocalProtocolError, RemoteProtocolError
from reitunnel.wire import events
from reitunnel.wire.events import Event
from reitunnel.wire.frames import Buffer, Frame, FrameKind
from reitunnel.wire.journal import Journal
from reitunnel.wire.scheduler import FairScheduler
from reitunnel.wire.streams import EARLY_CREDIT, MAX_CREDIT, Half, Stream
from reitunnel.wire.tunnels import Tunnel


class Role(Enum):
    """
    Which peer this side is.
    """

    CLIENT = "client"
    SERVER = "server"


class SessionLimits(Struct, frozen=True, kw_only=True):
    """
    What one side of a session may use.

    @ivar max_tunnels: tunnels at a time.
    @ivar max_streams: streams at a time.
    @ivar max_window: the credit that a stream is given to begin with, in bytes.
    @ivar grown_window: the most credit that a stream is given once it has shown
        that it needs it, in bytes; no less than C{max_window} holds.
    @ivar max_session_bytes: the credit given to all streams together, in bytes.
        Beyond it each further stream still gets the least, 16 KiB.
    @ivar chunk: the most bytes of one C{DATA} frame that this side sends, and of
        a stream's turn.
    """

    max_tunnels: int = 1024
    max_streams: int = 16384
    max_window: int = 256 << 10
    grown_window: int = 16 << 20
    max_session_bytes: int = 64 << 20
    chunk: int = 64 << 10

    def __post_init__(self) -> None:
        """
        @raise ValueError: when a session could not work with a limit.
        """
        windows = (self.max_window, self.grown_window)
        if self.chunk < 1 or not all(0 <= size <= MAX_CREDIT for size in windows):
            raise ValueError("chunk, max_window or grown_window is out of range")
        if min(self.max_tunnels, self.max_streams, self.max_session_bytes) < 0:
            raise ValueError("a limit is below 0")


_BOTH: Final = frozenset(Role)
SENDERS: Final[dict[FrameKind, frozenset[Role]]] = {
    FrameKind.TUNNEL_OPEN: frozenset({Role.CLIENT}),
    FrameKind.TUNNEL_OPENED: frozenset({Role.SERVER}),
    FrameKind.TUNNEL_REFUSED: frozenset({Role.SERVER}),
    FrameKind.TUNNEL_CLOSE: _BOTH,
    FrameKind.STREAM_OPEN: frozenset({Role.SERVER}),
    FrameKind.STREAM_ACCEPTED: frozenset({Role.CLIENT}),
    FrameKind.STREAM_RESET: _BOTH,
    FrameKind.STREAM_CLOSE: _BOTH,
    FrameKind.DATA: _BOTH,
    FrameKind.WINDOW: _BOTH,
    FrameKind.EOF: _BOTH,
    FrameKind.SWITCH: _BOTH,
    FrameKind.PING: _BOTH,
    FrameKind.PONG: _BOTH,
    FrameKind.ACK: _BOTH,
    FrameKind.GOAWAY: _BOTH,
}
"""
Who may send what on an authenticated control link. C{ACK} is out of turn in a session
that cannot be resumed.
"""
FIRST_NUMBER: Final = {Role.CLIENT: 1, Role.SERVER: 2}
"""The client opens streams with odd numbers, the server with even ones."""
UNANSWERED_BEYOND: Final = 1024
"""
How many streams beyond C{max_streams} may wait for the peer's last word.
"""


class SessionBooks:
    """
    The streams and tunnels of one side, its credit, and its outbox.
    """

    def __init__(
        self, role: Role, limits: SessionLimits, first_number: int | None = None
    ) -> None:
        """
        @param first_number: the number of the first stream that this side opens;
            for tests, which begin near the last one.
        """
        self.role = role
        self.limits = limits
        self.events: list[Event] = []
        self.drained: list[Stream] = []
        self.draining = False
        self.peer_draining = False
        self.direct = False
        self.journal: Journal | None = None
        self.now = 0.0
        self.round_trip = 0.0
        self.streams: dict[int, Stream] = {}
        self.tunnels: dict[int, Tunnel] = {}
        self._peer = Role.SERVER if role is Role.CLIENT else Role.CLIENT
        self._next_number = first_number or FIRST_NUMBER[role]
        self._promised = 0
        self._unanswered = 0
        self._tunnels_held = 0
        # By numbers that are never used again, in their order.
        self._control: dict[int, bytes] = {}
        self._control_count = 0
        self._control_size = 0
        self._scheduler = FairScheduler(limits.chunk)

    @property
    def wants_to_send(self) -> bool:
        """
        Whether L{data_to_send} may have something to give.
        """
        return bool(self._control) or bool(self._scheduler)

    @property
    def control_queued(self) -> int:
        """
        Bytes of frames other than C{DATA} that wait to be sent. A peer that asks
        for answers and does not read them makes this grow: stop reading from it
        while this is large.
        """
        return self._control_size

    @property
    def promised(self) -> int:
        """
        Bytes that this side has room for: those received and not yet consumed,
        and the credit that it has given.
        """
        return self._promised

    @property
    def peer_overdue(self) -> bool:
        """
        Whether the peer owes the last word on so many streams that it does not
        seem to answer resets at all. The owner should close the link.
        """
        return self._unanswered > self.limits.max_streams + UNANSWERED_BEYOND

    def _take_control(self, pieces: list[Buffer]) -> None:
        pieces.extend(self._control.values())
        self._control.clear()
        self._control_size = 0

    def _send(self, frame: bytes) -> int:
        """
        Have a frame sent.

        @return: what L{_take_back} knows it by.
        """
        self._control_count += 1
        self._control[self._control_count] = frame
        self._control_size += len(frame)
        return self._control_count

    def _take_back(self, number: int) -> bool:
        """
        Do not send a frame after all.

        @return: whether it was not too late for that.
        """
        frame = self._control.pop(number, None)
        if frame is None:
            return False
        self._control_size -= len(frame)
        return True

    def _check_role(self, kind: FrameKind) -> None:
        if self.role not in SENDERS[kind]:
            raise LocalProtocolError(f"{kind.name} is not for a {self.role.value}")

    def _remote_stream(self, frame: Frame) -> Stream:
        stream = self.streams.get(frame.stream)
        if stream is None:
            raise RemoteProtocolError(f"{frame.kind.name}: no stream {frame.stream}")
        return stream

    def _remote_tunnel(self, number: int, kind: FrameKind) -> Tunnel:
        tunnel = self.tunnels.get(number)
        if tunnel is None:
            raise RemoteProtocolError(f"{kind.name}: no tunnel {number}")
        return tunnel

    def _local_tunnel(self, number: int) -> Tunnel:
        tunnel = self.tunnels.get(number)
        if tunnel is None:
            raise LocalProtocolError(f"no tunnel {number}")
        return tunnel

    def _local_end(self, stream: Stream) -> None:
        """
        This side has said its last word.
        """
        del self.tunnels[stream.tunnel].streams[stream.number]
        self._promised -= stream.unread
        stream.unread = 0
        stream.switch_queued = 0
        if stream.remote is Half.ENDED:
            self._over(stream)
        else:
            self._unanswered += 1

    def _add(self, stream: Stream, tunnel: Tunnel) -> None:
        self.streams[stream.number] = stream
        tunnel.streams[stream.number] = stream
        self._promised += stream.receive_credit

    def _over(self, stream: Stream) -> None:
        del self.streams[stream.number]
        self._promised -= stream.receive_credit
        stream.receive_credit = 0
        self.events.append(events.StreamOver(stream))

    def _add_credit(self, stream: Stream, more: int, kind: FrameKind) -> None:
        stream.send_credit += more
        if stream.send_credit > MAX_CREDIT:
            raise RemoteProtocolError(
                f"{kind.name} on stream {stream.number}: too much"
            )
        if stream.ready:
            self._scheduler.put(stream)

    def _after(self, number: int) -> int:
        return number + 2 if number + 2 <= 0xFFFFFFFF else FIRST_NUMBER[self.role]

    def _first_window(self) -> int:
        """
        Choose the credit that a stream begins with: what is asked for, as long
        as the session's total leaves room, and the least beyond.
        """
        room = (self.limits.max_session_bytes - self._promised) // 16
        return max(EARLY_CREDIT, min(self.limits.max_window, room))

    def _next_window(self, stream: Stream, held: int) -> int:
        """
        Choose the credit that a stream aims for from now on: it grows while the
        session's total leaves room, and gives way when it does not.

        @param held: what the stream has of the total now.
        """
        if stream.window < self.limits.max_window:
            stream.window = max(stream.window, self._first_window())
        elif self.now - stream.granted_at < 2 * self.round_trip:
            # Half a window went by in less than two round trips: the peer was
            # waiting for credit, or nearly so.
            most = max(self.limits.grown_window, stream.window)
            stream.window = min(2 * stream.window, most)
        room = self.limits.max_session_bytes - self._promised + held
        return max(EARLY_CREDIT, min(stream.window, room))
