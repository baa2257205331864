"""
A session after its handshake: frames of the peer in, events out; commands in,
frames for the peer out.

docs/protocol.md, "Sessions", is the specification.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from msgspec import Struct

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire import events, messages
from reitunnel.wire.events import Event
from reitunnel.wire.frames import (
    MAX_PAYLOAD,
    PING_SIZE,
    Buffer,
    Frame,
    FrameKind,
    encode_frame,
    encode_header,
)
from reitunnel.wire.messages import (
    clip,
    decode_message,
    decode_number,
    encode_message,
    encode_number,
    known_code,
)
from reitunnel.wire.scheduler import FairScheduler
from reitunnel.wire.streams import EARLY_CREDIT, MAX_CREDIT, Half, Stream
from reitunnel.wire.tunnels import Tunnel, TunnelHalf


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
    @ivar max_window: the most credit that a stream is given, in bytes.
    @ivar max_session_bytes: the credit given to all streams together, in bytes.
        Beyond it each further stream still gets the least, 16 KiB.
    @ivar chunk: the most bytes of one C{DATA} frame that this side sends, and of
        a stream's turn.
    """

    max_tunnels: int = 1024
    max_streams: int = 16384
    max_window: int = 256 << 10
    max_session_bytes: int = 64 << 20
    chunk: int = 64 << 10

    def __post_init__(self) -> None:
        """
        @raise ValueError: when a session could not work with a limit.
        """
        if self.chunk < 1 or not 0 <= self.max_window <= MAX_CREDIT:
            raise ValueError("chunk or max_window is out of range")
        if min(self.max_tunnels, self.max_streams, self.max_session_bytes) < 0:
            raise ValueError("a limit is below 0")


_BOTH: Final = frozenset(Role)
_SENDERS: Final[dict[FrameKind, frozenset[Role]]] = {
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
    FrameKind.PING: _BOTH,
    FrameKind.PONG: _BOTH,
    FrameKind.GOAWAY: _BOTH,
}
"""
Who may send what on an authenticated control link. C{SWITCH} and C{ACK} wait for
the direct carrier and for resumption; without them they are out of turn.
"""
_FIRST_NUMBER: Final = {Role.CLIENT: 1, Role.SERVER: 2}
"""The client opens streams with odd numbers, the server with even ones."""
_UNANSWERED_BEYOND: Final = 1024
"""
How many streams beyond C{max_streams} may wait for the peer's last word.
"""


class Session:
    """
    One side of a session.

    Feed it frames with L{receive}, take what it wants to send with
    L{data_to_send}, and take L{events} after each call of any method. It reads
    no clock and does no I/O.

    @ivar role: which peer this side is.
    @ivar limits: what this side may use.
    @ivar events: what happened, oldest first. The owner empties it.
    @ivar drained: the streams whose L{Stream.blocked} was set and whose queue
        has drained. The owner empties it.
    @ivar draining: whether this side has said C{GOAWAY}.
    @ivar peer_draining: whether the peer has said it.
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
        self.streams: dict[int, Stream] = {}
        self.tunnels: dict[int, Tunnel] = {}
        self._peer = Role.SERVER if role is Role.CLIENT else Role.CLIENT
        self._next_number = first_number or _FIRST_NUMBER[role]
        self._promised = 0
        self._unanswered = 0
        self._tunnels_held = 0
        self._pings: deque[bytes] = deque()
        self._control: list[bytes] = []
        self._control_size = 0
        self._scheduler = FairScheduler(limits.chunk)
        self._low_water = limits.chunk // 2
        self._receivers: dict[FrameKind, Callable[[Frame], None]] = {
            FrameKind.TUNNEL_OPEN: self._tunnel_open,
            FrameKind.TUNNEL_OPENED: self._tunnel_opened,
            FrameKind.TUNNEL_REFUSED: self._tunnel_refused,
            FrameKind.TUNNEL_CLOSE: self._tunnel_close,
            FrameKind.STREAM_OPEN: self._stream_open,
            FrameKind.STREAM_ACCEPTED: self._stream_accepted,
            FrameKind.STREAM_RESET: self._stream_reset,
            FrameKind.STREAM_CLOSE: self._stream_close,
            FrameKind.DATA: self._data,
            FrameKind.WINDOW: self._window,
            FrameKind.EOF: self._eof,
            FrameKind.PING: self._ping,
            FrameKind.PONG: self._pong,
            FrameKind.GOAWAY: self._goaway,
        }

    # What the owner asks.

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
        return self._unanswered > self.limits.max_streams + _UNANSWERED_BEYOND

    # What the owner commands: tunnels.

    def open_tunnel(self, request: messages.TunnelOpen) -> None:
        """
        Ask the server for a tunnel.

        @raise LocalProtocolError: when its number is in use, or a field of it out
            of bounds.
        """
        self._check_role(FrameKind.TUNNEL_OPEN)
        if request.tunnel in self.tunnels:
            raise LocalProtocolError(f"tunnel {request.tunnel} is in use")
        frame = encode_message(FrameKind.TUNNEL_OPEN, request)
        self.tunnels[request.tunnel] = Tunnel(request.tunnel, opener=True)
        self._tunnels_held += 1
        self._send(frame)

    def accept_tunnel(self, number: int, host: str, port: int) -> None:
        """
        Tell the client that its tunnel is open at a public address.
        """
        tunnel = self._local_tunnel(number)
        opened = messages.TunnelOpened(number, host, port)
        frame = encode_message(FrameKind.TUNNEL_OPENED, opened)
        tunnel.say(FrameKind.TUNNEL_OPENED)
        self._send(frame)

    def refuse_tunnel(self, number: int, code: Code, reason: str) -> None:
        """
        Tell the client that it does not get the tunnel.
        """
        self._end_tunnel(
            self._local_tunnel(number), FrameKind.TUNNEL_REFUSED, code, reason
        )

    def close_tunnel(self, number: int, code: Code, reason: str) -> None:
        """
        Close a tunnel, and reset its streams. On one that this side has closed
        already, or that is over, this does nothing.
        """
        tunnel = self.tunnels.get(number)
        if tunnel is None or tunnel.local is TunnelHalf.ENDED:
            return
        self._reset_streams(tunnel, code, reason)
        self._end_tunnel(tunnel, FrameKind.TUNNEL_CLOSE, code, reason)

    # What the owner commands: streams.

    def reserve_number(self) -> int:
        """
        Take a number for a stream that is to be opened later, or never.
        """
        number = self._next_number
        while number in self.streams:
            number = self._after(number)
        self._next_number = self._after(number)
        return number

    def open_stream(
        self, tunnel: int, host: str, port: int, number: int | None = None
    ) -> Stream:
        """
        Open a stream for a visitor from C{host} and C{port}.

        @param number: one from L{reserve_number}.
        @raise LocalProtocolError: when the tunnel is not open.
        """
        self._check_role(FrameKind.STREAM_OPEN)
        owner = self._local_tunnel(tunnel)
        if owner.local is not TunnelHalf.OPEN:
            raise LocalProtocolError(f"tunnel {tunnel} is not open")
        if number is None or number in self.streams:
            number = self.reserve_number()
        window = self._first_window()
        stream = Stream(
            number, tunnel, opener=True, send_credit=EARLY_CREDIT, window=window
        )
        opened = messages.StreamOpen(tunnel, window, host, port)
        frame = encode_message(FrameKind.STREAM_OPEN, opened, number)
        self._add(stream, owner)
        self._send(frame)
        return stream

    def accept_stream(self, stream: Stream) -> None:
        """
        Accept a stream: its target is connected. On one that is reset already
        this does nothing.
        """
        if stream.local is Half.ENDED:
            return
        stream.say(FrameKind.STREAM_ACCEPTED)
        more = 0
        if stream.remote is Half.OPEN:
            stream.window = self._first_window()
            more = stream.window - stream.receive_credit - stream.unread
        stream.receive_credit += more
        self._promised += more
        self._send(encode_number(FrameKind.STREAM_ACCEPTED, stream.number, more))

    def send(self, stream: Stream, data: Buffer) -> None:
        """
        Queue bytes on a stream. C{stream.queued} tells how many wait. On a
        stream that is reset already the bytes are dropped.

        @raise LocalProtocolError: after L{send_eof}, or before the stream was
            accepted by this side.
        """
        if stream.local is not Half.OPEN or stream.eof_queued:
            if stream.local is Half.ENDED:
                return
            raise LocalProtocolError(
                f"DATA on stream {stream.number}: this side is {stream.local.value}"
            )
        if data:
            stream.queue.append(data)
            stream.queued += len(data)
            if stream.send_credit:
                self._scheduler.put(stream)

    def send_eof(self, stream: Stream) -> None:
        """
        Say, after what is queued, that this side sends no more. Saying it again
        does nothing.
        """
        if stream.local is Half.OPEN:
            stream.eof_queued = True
            self._scheduler.put(stream)
        elif stream.local is Half.PENDING:
            raise LocalProtocolError(f"EOF on stream {stream.number}: not accepted")

    def finish(self, stream: Stream) -> None:
        """
        Say that all went well on this side: what was received is delivered and
        what was to be sent is queued, C{EOF} included. The word goes out when
        the queue is empty.

        @raise LocalProtocolError: when either side has not said C{EOF}.
        """
        if stream.local is Half.ENDED:
            return
        if not stream.peer_finished:
            raise LocalProtocolError(
                f"STREAM_CLOSE on stream {stream.number}: the peer has not finished"
            )
        self.send_eof(stream)
        stream.close_queued = True
        self._close_if_finishable(stream)

    def reset(self, stream: Stream, code: Code, reason: str = "") -> None:
        """
        Abort a stream. On one that this side has ended already this does
        nothing.
        """
        if stream.local is not Half.ENDED:
            self._say_reset(stream, code, reason)

    def consumed(self, stream: Stream, size: int) -> None:
        """
        Give back C{size} received bytes, which the target has taken, as credit.
        On a stream that this side has ended this does nothing.

        @raise LocalProtocolError: when so many were not received.
        """
        if stream.local is Half.ENDED:
            return
        if not 0 <= size <= stream.unread:
            raise LocalProtocolError(f"stream {stream.number}: {size} bytes consumed")
        stream.unread -= size
        self._promised -= size
        if stream.remote is not Half.OPEN or stream.local is Half.PENDING:
            return
        held = stream.receive_credit + stream.unread
        if 2 * held > stream.window:
            return
        window = self._next_window(stream, held)
        if 2 * held <= window:
            more = window - held
            stream.receive_credit += more
            self._promised += more
            self._send(encode_number(FrameKind.WINDOW, stream.number, more))

    # What the owner commands: the session.

    def ping(self, payload: bytes) -> None:
        """
        Ask the peer for a sign of life.

        @param payload: eight bytes, which come back in L{events.PingAnswered}.
        """
        if len(payload) != PING_SIZE:
            raise LocalProtocolError(f"PING: a payload of {len(payload)} bytes")
        self._pings.append(payload)
        self._send(encode_frame(FrameKind.PING, 0, payload))

    def goaway(self, code: Code, reason: str) -> None:
        """
        Tell the peer, once, that this side opens no more tunnels and streams.
        """
        if not self.draining:
            self.draining = True
            ended = messages.Ended(code, clip(reason))
            self._send(encode_message(FrameKind.GOAWAY, ended))

    def data_to_send(self, budget: int) -> list[Buffer]:
        """
        Take what goes out next: every frame that is not C{DATA}, then about
        C{budget} bytes of C{DATA} and C{EOF}, streams taking turns.

        @return: the pieces to write, in order; none if there is nothing to send.
        """
        pieces: list[Buffer] = []
        self._take_control(pieces)
        scheduler, chunk = self._scheduler, min(self.limits.chunk, MAX_PAYLOAD)
        while budget > 0 and (stream := scheduler.pick()) is not None:
            if not stream.queued:
                stream.eof_queued = False
                stream.say(FrameKind.EOF)
                pieces.append(encode_frame(FrameKind.EOF, stream.number))
                if stream.close_queued:
                    self._close_if_finishable(stream)
                    self._take_control(pieces)
                continue
            size, taken = stream.take(min(chunk, stream.deficit))
            pieces.append(encode_header(FrameKind.DATA, stream.number, size))
            pieces.extend(taken)
            scheduler.charge(stream, size)
            budget -= size
            if stream.blocked and stream.queued <= self._low_water:
                stream.blocked = False
                self.drained.append(stream)
        return pieces

    # What the peer says.

    def receive(self, frame: Frame) -> None:
        """
        Take a frame of the peer, or a piece of one.

        @raise RemoteProtocolError: when the peer breaks the protocol. The link
            must be closed; the session must not be used again.
        """
        senders = _SENDERS.get(frame.kind)
        if senders is None or self._peer not in senders:
            raise RemoteProtocolError(f"{frame.kind.name} is out of turn")
        self._receivers[frame.kind](frame)

    def _data(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        if stream.remote is not Half.OPEN:
            stream.hear(FrameKind.DATA)
        size = len(frame.payload)
        if size > stream.receive_credit:
            raise RemoteProtocolError(f"DATA on stream {stream.number}: no credit left")
        stream.receive_credit -= size
        if stream.local is Half.ENDED:
            self._promised -= size
            return
        stream.unread += size
        self.events.append(events.DataReceived(stream, frame.payload))

    def _window(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        stream.hear(FrameKind.WINDOW)
        more = decode_number(frame.payload)
        if not more:
            raise RemoteProtocolError(f"WINDOW on stream {stream.number}: no bytes")
        self._add_credit(stream, more, FrameKind.WINDOW)

    def _eof(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        stream.hear(FrameKind.EOF)
        self._promised -= stream.receive_credit
        stream.receive_credit = 0
        if stream.local is not Half.ENDED:
            self.events.append(events.EOFReceived(stream))

    def _stream_open(self, frame: Frame) -> None:
        number = frame.stream
        message = decode_message(messages.StreamOpen, frame.payload)
        tunnel = self.tunnels.get(message.tunnel)
        if number % 2 != _FIRST_NUMBER[self._peer] % 2 or number in self.streams:
            raise RemoteProtocolError(f"STREAM_OPEN: stream {number} cannot be opened")
        if tunnel is None or tunnel.remote is not TunnelHalf.OPEN:
            raise RemoteProtocolError(f"STREAM_OPEN: tunnel {message.tunnel} not open")
        if message.window > MAX_CREDIT:
            raise RemoteProtocolError(f"STREAM_OPEN: a window of {message.window}")
        if self.peer_overdue:
            raise RemoteProtocolError("STREAM_OPEN: resets are not answered")
        full = len(self.streams) - self._unanswered >= self.limits.max_streams
        stream = Stream(
            number,
            message.tunnel,
            opener=False,
            send_credit=message.window,
            window=EARLY_CREDIT,
        )
        self._add(stream, tunnel)
        if tunnel.local is TunnelHalf.ENDED:
            self._say_reset(stream, Code.CLOSED, "the tunnel is closed")
        elif self.draining:
            self._say_reset(stream, Code.SHUTDOWN, "this side is stopping")
        elif full:
            self._say_reset(stream, Code.LIMIT, "too many streams")
        else:
            self.events.append(events.StreamOpened(stream, message.host, message.port))

    def _stream_accepted(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        stream.hear(FrameKind.STREAM_ACCEPTED)
        more = decode_number(frame.payload)
        self._add_credit(stream, more, FrameKind.STREAM_ACCEPTED)
        if stream.local is not Half.ENDED:
            self.events.append(events.StreamAccepted(stream))

    def _stream_reset(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        message = decode_message(messages.Ended, frame.payload)
        stream.hear(FrameKind.STREAM_RESET)
        code = known_code(message.code)
        stream.remote_code = code if code is not Code.NONE else Code.ABORTED
        stream.remote_reason = message.reason
        if stream.local is not Half.ENDED:
            reset = events.StreamReset(stream, stream.remote_code, stream.remote_reason)
            self.events.append(reset)
            self._say_reset(stream, stream.remote_code, stream.remote_reason)
        else:
            self._unanswered -= 1
            self._over(stream)

    def _stream_close(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        stream.hear(FrameKind.STREAM_CLOSE)
        if stream.local is Half.ENDED:
            self._unanswered -= 1
            self._over(stream)

    def _tunnel_open(self, frame: Frame) -> None:
        request = decode_message(messages.TunnelOpen, frame.payload)
        if request.tunnel in self.tunnels:
            raise RemoteProtocolError(f"TUNNEL_OPEN: tunnel {request.tunnel} in use")
        if len(self.tunnels) >= self.limits.max_tunnels + _UNANSWERED_BEYOND:
            raise RemoteProtocolError("TUNNEL_OPEN: refusals are not answered")
        self.tunnels[request.tunnel] = Tunnel(request.tunnel, opener=False)
        self._tunnels_held += 1
        if self.draining:
            self.refuse_tunnel(request.tunnel, Code.SHUTDOWN, "the server is stopping")
        elif self._tunnels_held > self.limits.max_tunnels:
            reason = f"more than {self.limits.max_tunnels} tunnels"
            self.refuse_tunnel(request.tunnel, Code.LIMIT, reason)
        else:
            self.events.append(events.TunnelRequested(request))

    def _tunnel_opened(self, frame: Frame) -> None:
        message = decode_message(messages.TunnelOpened, frame.payload)
        tunnel = self._remote_tunnel(message.tunnel, FrameKind.TUNNEL_OPENED)
        tunnel.hear(FrameKind.TUNNEL_OPENED)
        if tunnel.local is TunnelHalf.OPEN:
            self.events.append(
                events.TunnelAccepted(message.tunnel, message.host, message.port)
            )

    def _tunnel_refused(self, frame: Frame) -> None:
        self._hear_tunnel_end(frame, FrameKind.TUNNEL_REFUSED)

    def _tunnel_close(self, frame: Frame) -> None:
        self._hear_tunnel_end(frame, FrameKind.TUNNEL_CLOSE)

    def _ping(self, frame: Frame) -> None:
        self._send(encode_frame(FrameKind.PONG, 0, bytes(frame.payload)))

    def _pong(self, frame: Frame) -> None:
        if not self._pings:
            raise RemoteProtocolError("PONG: nothing was asked")
        payload = self._pings.popleft()
        if frame.payload != payload:
            raise RemoteProtocolError("PONG: not what was asked")
        self.events.append(events.PingAnswered(payload))

    def _goaway(self, frame: Frame) -> None:
        message = decode_message(messages.Ended, frame.payload)
        if self.peer_draining:
            raise RemoteProtocolError("GOAWAY: said twice")
        self.peer_draining = True
        self.events.append(events.GoingAway(known_code(message.code), message.reason))

    # The parts that both directions share.

    def _take_control(self, pieces: list[Buffer]) -> None:
        pieces.extend(self._control)
        self._control.clear()
        self._control_size = 0

    def _send(self, frame: bytes) -> None:
        self._control.append(frame)
        self._control_size += len(frame)

    def _check_role(self, kind: FrameKind) -> None:
        if self.role not in _SENDERS[kind]:
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

    def _hear_tunnel_end(self, frame: Frame, kind: FrameKind) -> None:
        message = decode_message(messages.TunnelEnded, frame.payload)
        tunnel = self._remote_tunnel(message.tunnel, kind)
        refused = TunnelHalf.PENDING in (tunnel.local, tunnel.remote)
        tunnel.hear(kind)
        if tunnel.local is TunnelHalf.ENDED:
            del self.tunnels[tunnel.number]
            return
        code = known_code(message.code)
        self._reset_streams(tunnel, code, message.reason)
        self._end_tunnel(tunnel, FrameKind.TUNNEL_CLOSE, code, message.reason)
        self.events.append(
            events.TunnelEnded(tunnel.number, code, message.reason, refused)
        )

    def _end_tunnel(
        self, tunnel: Tunnel, kind: FrameKind, code: Code, reason: str
    ) -> None:
        tunnel.say(kind)
        self._tunnels_held -= 1
        ended = messages.TunnelEnded(tunnel.number, code, clip(reason))
        self._send(encode_message(kind, ended))
        if tunnel.over:
            del self.tunnels[tunnel.number]

    def _reset_streams(self, tunnel: Tunnel, code: Code, reason: str) -> None:
        code = code if code is not Code.NONE else Code.CLOSED
        for stream in list(tunnel.streams.values()):
            self.events.append(events.StreamReset(stream, code, clip(reason)))
            self._say_reset(stream, code, reason)

    def _say_reset(self, stream: Stream, code: Code, reason: str) -> None:
        stream.say(FrameKind.STREAM_RESET)
        stream.local_code = code if code is not Code.NONE else Code.ABORTED
        stream.local_reason = clip(reason)
        stream.drop_queue()
        ended = messages.Ended(stream.local_code, stream.local_reason)
        self._send(encode_message(FrameKind.STREAM_RESET, ended, stream.number))
        self._local_end(stream)

    def _close_if_finishable(self, stream: Stream) -> None:
        if stream.finishable:
            stream.close_queued = False
            stream.say(FrameKind.STREAM_CLOSE)
            self._send(encode_frame(FrameKind.STREAM_CLOSE, stream.number))
            self._local_end(stream)

    def _local_end(self, stream: Stream) -> None:
        """
        This side has said its last word.
        """
        del self.tunnels[stream.tunnel].streams[stream.number]
        self._promised -= stream.unread
        stream.unread = 0
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
        return number + 2 if number + 2 <= 0xFFFFFFFF else _FIRST_NUMBER[self.role]

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
        room = self.limits.max_session_bytes - self._promised + held
        return max(EARLY_CREDIT, min(stream.window, room))
