"""
Counts what is over: sessions, tunnels, and the bytes of tunnels that are closed.
"""

from __future__ import annotations

from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.interfaces import IClientHook, ISession, ITunnel, ITunnelHook


@implementer(IClientHook, ITunnelHook)
class Totals:
    """
    A hook that only counts.

    @ivar sessions: how many sessions there were, those that go on included.
    @ivar tunnels: the same of tunnels.
    """

    hook_name = "monitoring"

    def __init__(self) -> None:
        self.sessions = 0
        self.tunnels = 0
        self._received = 0
        self._sent = 0
        self._open: dict[int, ITunnel] = {}

    @property
    def bytes_received(self) -> int:
        """
        Bytes that visitors sent.
        """
        return self._received + sum(
            tunnel.bytes_received for tunnel in self._open.values()
        )

    @property
    def bytes_sent(self) -> int:
        """
        Bytes sent to visitors.
        """
        return self._sent + sum(tunnel.bytes_sent for tunnel in self._open.values())

    def on_client_connect(self, client: ISession) -> None:
        """
        Count it.
        """
        self.sessions += 1

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        It is counted already.
        """

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        Count it, and its bytes from now on.
        """
        self.tunnels += 1
        self._open[id(tunnel)] = tunnel

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        Keep its final counts.
        """
        del self._open[id(tunnel)]
        self._received += tunnel.bytes_received
        self._sent += tunnel.bytes_sent
