"""
A session after its handshake: frames of the peer in, events out; commands in,
frames for the peer out.

docs/protocol.md, from "Tunnels" on, is the specification.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire import events, messages
from reitunnel.wire.books import SENDERS, Role, SessionLimits
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
    decode_total,
    encode_message,
    known_code,
)
from reitunnel.wire.tunnel_moves import TunnelMoves

__all__ = ["Role", "Session", "SessionLimits"]


class Session(TunnelMoves):
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
    @ivar now: the time in seconds; the owner sets it before it calls C{consumed}.
    @ivar round_trip: the round-trip time in seconds, as the owner has measured it;
        0 if it has not. With it, windows grow to the bandwidth-delay product.
    @ivar direct: whether both sides can carry streams on data links.
    @ivar journal: what can be sent again, if the session can be resumed. The owner
        keeps it.
    """

    def __init__(
        self, role: Role, limits: SessionLimits, first_number: int | None = None
    ) -> None:
        """
        @param first_number: the number of the first stream that this side opens;
            for tests, which begin near the last one.
        """
        super().__init__(role, limits, first_number)
        self._pings: deque[bytes] = deque()
        self._low_water = limits.chunk // 2
        receivers: dict[FrameKind, Callable[[Frame], None]] = {
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
            FrameKind.SWITCH: self._switch,
            FrameKind.PING: self._ping,
            FrameKind.PONG: self._pong,
            FrameKind.ACK: self._ack,
            FrameKind.GOAWAY: self._goaway,
        }
        self._receivers = {
            kind: receive
            for kind, receive in receivers.items()
            if self._peer in SENDERS[kind]
        }

    # What the owner commands.

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
                if stream.eof_queued:
                    stream.eof_queued = False
                    self._say_eof(stream, encode_frame(FrameKind.EOF, stream.number))
                else:
                    self._say_switch(stream)
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
        receive = self._receivers.get(frame.kind)
        if receive is None:
            raise RemoteProtocolError(f"{frame.kind.name} is out of turn")
        receive(frame)

    def _ping(self, frame: Frame) -> None:
        self._send(encode_frame(FrameKind.PONG, 0, bytes(frame.payload)))

    def _pong(self, frame: Frame) -> None:
        if not self._pings:
            raise RemoteProtocolError("PONG: nothing was asked")
        payload = self._pings.popleft()
        if frame.payload != payload:
            raise RemoteProtocolError("PONG: not what was asked")
        self.events.append(events.PingAnswered(payload))

    def _ack(self, frame: Frame) -> None:
        journal = self.journal
        if journal is None:
            raise RemoteProtocolError("ACK is out of turn")
        journal.hear(decode_total(frame.payload))

    def _goaway(self, frame: Frame) -> None:
        message = decode_message(messages.Ended, frame.payload)
        if self.peer_draining:
            raise RemoteProtocolError("GOAWAY: said twice")
        self.peer_draining = True
        self.events.append(events.GoingAway(known_code(message.code), message.reason))
