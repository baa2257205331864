"""
The moves of tunnels: what the owner commands, and what the peer says.
"""

from __future__ import annotations

from typing import Final

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire import events, messages
from reitunnel.wire.books import UNANSWERED_BEYOND
from reitunnel.wire.frames import Frame, FrameKind
from reitunnel.wire.messages import (
    clip,
    decode_message,
    encode_message,
    known_code,
)
from reitunnel.wire.stream_moves import StreamMoves
from reitunnel.wire.tunnels import Tunnel, TunnelHalf

_REASON_OF_MANY: Final = 200
"""
How many characters of a tunnel's reason are said of each of its streams: one frame of
the peer must not be answered by many long ones.
"""


class TunnelMoves(StreamMoves):
    """
    A session's tunnels. A tunnel that closes takes its streams with it.
    """

    # What the owner commands.

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

    # What the peer says.

    def _tunnel_open(self, frame: Frame) -> None:
        request = decode_message(messages.TunnelOpen, frame.payload)
        if request.tunnel in self.tunnels:
            raise RemoteProtocolError(f"TUNNEL_OPEN: tunnel {request.tunnel} in use")
        if len(self.tunnels) >= self.limits.max_tunnels + UNANSWERED_BEYOND:
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

    # The parts that both share.

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
        reason = clip(reason, _REASON_OF_MANY)
        for stream in list(tunnel.streams.values()):
            self.events.append(events.StreamReset(stream, code, reason))
            self._say_reset(stream, code, reason)
