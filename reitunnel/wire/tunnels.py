"""
Tunnels: their states on the wire.

docs/protocol.md, "Tunnels", is the specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from reitunnel.errors import LocalProtocolError, RemoteProtocolError
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.streams import Stream


class TunnelHalf(Enum):
    """
    What one side has said about a tunnel so far.
    """

    PENDING = "pending"
    """The server has not answered yet."""
    OPEN = "open"
    """The client asked for it; the server opened it."""
    ENDED = "ended"
    """It has said its last word: C{TUNNEL_CLOSE} or C{TUNNEL_REFUSED}."""


TUNNEL_MOVES: Final[Mapping[tuple[TunnelHalf, FrameKind], TunnelHalf]] = (
    MappingProxyType(
        {
            (TunnelHalf.PENDING, FrameKind.TUNNEL_OPENED): TunnelHalf.OPEN,
            (TunnelHalf.PENDING, FrameKind.TUNNEL_REFUSED): TunnelHalf.ENDED,
            (TunnelHalf.PENDING, FrameKind.TUNNEL_CLOSE): TunnelHalf.ENDED,
            (TunnelHalf.OPEN, FrameKind.TUNNEL_CLOSE): TunnelHalf.ENDED,
        }
    )
)
"""
The legal moves of one side.
"""


class Tunnel:
    """
    One side's view of one tunnel. It is over when both sides have said their
    last word, and only then is its number free again.

    @ivar number: the tunnel's number, chosen by the client.
    @ivar local: what this side has said.
    @ivar remote: what the peer has said.
    @ivar streams: its streams on which this side has not said its last word, by
        number.
    """

    __slots__ = ("local", "number", "remote", "streams")

    def __init__(self, number: int, *, opener: bool) -> None:
        self.number = number
        self.streams: dict[int, Stream] = {}
        self.local = TunnelHalf.OPEN if opener else TunnelHalf.PENDING
        self.remote = TunnelHalf.PENDING if opener else TunnelHalf.OPEN

    @property
    def over(self) -> bool:
        """
        Whether both sides have said their last word.
        """
        return self.local is TunnelHalf.ENDED and self.remote is TunnelHalf.ENDED

    def say(self, kind: FrameKind) -> None:
        """
        Make a move on this side.

        @raise LocalProtocolError: when the move is not legal now.
        """
        move = TUNNEL_MOVES.get((self.local, kind))
        if move is None:
            raise LocalProtocolError(
                f"{kind.name} on tunnel {self.number}: this side is {self.local.value}"
            )
        self.local = move

    def hear(self, kind: FrameKind) -> None:
        """
        Take a move of the peer.

        @raise RemoteProtocolError: when the move is not legal now.
        """
        move = TUNNEL_MOVES.get((self.remote, kind))
        if move is None:
            raise RemoteProtocolError(
                f"{kind.name} on tunnel {self.number}: the peer is {self.remote.value}"
            )
        self.remote = move
