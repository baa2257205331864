"""
What a mux tells the session that it belongs to.
"""

from __future__ import annotations

from typing import Final
from typing import Protocol as Structural

from reitunnel.errors import Code
from reitunnel.relay.data_link import DataLink
from reitunnel.wire.messages import TunnelOpen
from reitunnel.wire.streams import Stream

FAILURES: Final = frozenset({Code.LINK_LOST, Code.PROTOCOL, Code.TIMEOUT})
"""The ends of a session that are failures, and not somebody's wish."""


class MuxOwner(Structural):
    """
    Who is told of what concerns the whole session.
    """

    def tunnel_requested(self, request: TunnelOpen) -> None:
        """
        Server: the client asks for a tunnel.
        """

    def tunnel_accepted(self, tunnel: int, host: str, port: int) -> None:
        """
        Client: a tunnel is open.
        """

    def tunnel_ended(self, tunnel: int, code: Code, reason: str, refused: bool) -> None:
        """
        The peer refused or closed a tunnel.
        """

    def stream_opened(self, tunnel: int, stream: Stream, host: str, port: int) -> None:
        """
        The peer opened a stream: make a transport of it with
        L{Mux.transport_for}, or reset it.
        """

    def take_data_link(self, number: int) -> DataLink | None:
        """
        Client: the server has given a data link to a stream.

        @return: the data link, if it is there; it is not idle any more.
        """

    def peer_drains(self, code: Code, reason: str) -> None:
        """
        The peer takes no new tunnels and streams.
        """

    def mux_detached(self, reason: str) -> None:
        """
        The link is lost. The session waits for another one.
        """

    def mux_lost(self, code: Code, reason: str) -> None:
        """
        The session is over: every stream was told so.
        """
