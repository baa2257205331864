"""
What a session tells its owner.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from reitunnel.errors import Code
from reitunnel.wire.messages import TunnelOpen
from reitunnel.wire.streams import Stream


class TunnelRequested(Struct, frozen=True):
    """
    Server: the client asks for a tunnel. Answer with C{accept_tunnel} or
    C{refuse_tunnel}.
    """

    request: TunnelOpen


class TunnelAccepted(Struct, frozen=True):
    """
    Client: the tunnel is open at this public address.
    """

    tunnel: int
    host: str
    port: int


class TunnelEnded(Struct, frozen=True):
    """
    A tunnel was refused, or closed by the peer. All its streams were reset.

    @ivar refused: whether it was never open.
    """

    tunnel: int
    code: Code
    reason: str
    refused: bool


class StreamOpened(Struct, frozen=True):
    """
    The peer opened a stream. Answer with C{accept_stream} or C{reset}.
    """

    stream: Stream
    host: str
    port: int


class StreamAccepted(Struct, frozen=True):
    """
    The peer accepted a stream that this side opened.
    """

    stream: Stream


class DataReceived(Struct, frozen=True):
    """
    Bytes came on a stream. Give them back as credit with C{consumed}.
    """

    stream: Stream
    data: bytes


class EOFReceived(Struct, frozen=True):
    """
    The peer sends no more on a stream.

    @ivar raw: the bytes that it has sent on a data link, some of which may still be
        on their way; L{None} if it has not switched.
    """

    stream: Stream
    raw: int | None = None


class SwitchSent(Struct, frozen=True):
    """
    All that this side had queued on a stream has gone out, and C{SWITCH} after
    it: it goes on on the data link, which begins with C{SWITCH} too.
    """

    stream: Stream


class LinkGiven(Struct, frozen=True):
    """
    Client: the server has given a stream the data link C{stream.link}, which is no
    other stream's any more, even when this side has reset the stream in between. If
    not, and the server goes on there, L{PeerSwitched} follows.
    """

    stream: Stream


class PeerSwitched(Struct, frozen=True):
    """
    The peer goes on on the data link, after all that came before.
    """

    stream: Stream


class StreamReset(Struct, frozen=True):
    """
    A stream that this side had not ended was reset: by the peer, or because its
    tunnel closed. L{StreamOver} follows.
    """

    stream: Stream
    code: Code
    reason: str


class StreamOver(Struct, frozen=True):
    """
    Both sides have said their last word: C{stream.end} tells how it ended.
    """

    stream: Stream


class PingAnswered(Struct, frozen=True):
    """
    The peer answered a ping that this side sent with these eight bytes.
    """

    payload: bytes


class GoingAway(Struct, frozen=True):
    """
    The peer drains: no new tunnels and streams, the old ones finish.
    """

    code: Code
    reason: str


Event: TypeAlias = (
    TunnelRequested
    | TunnelAccepted
    | TunnelEnded
    | StreamOpened
    | StreamAccepted
    | DataReceived
    | EOFReceived
    | SwitchSent
    | LinkGiven
    | PeerSwitched
    | StreamReset
    | StreamOver
    | PingAnswered
    | GoingAway
)
