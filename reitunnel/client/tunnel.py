"""
A tunnel as the client wants it: it is asked for again in every session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred

from reitunnel.client.targets import TargetDialler
from reitunnel.errors import Code, TunnelRefused
from reitunnel.interfaces import ITunnel
from reitunnel.relay import TunnelRecord

if TYPE_CHECKING:
    from reitunnel.client.client import Client


class ClientTunnel:
    """
    A tunnel that L{Client.open_tunnel} gave.

    @ivar bind: the public address asked for; empty for the server's default.
    @ivar port: the public port asked for; 0 lets the server choose. What the
        server chose is asked for again after a reconnect.
    @ivar metadata: what the server's hooks are told of it.
    @ivar dialler: what connects its streams to its target.
    @ivar record: the tunnel in the present session, if it is open or asked for.
    """

    def __init__(
        self,
        client: Client,
        dialler: TargetDialler,
        bind: str,
        port: int,
        metadata: Mapping[str, str],
    ) -> None:
        self.bind = bind
        self.port = port
        self.metadata = dict(metadata)
        self.dialler = dialler
        self.record: TunnelRecord | None = None
        self.closed = False
        self.granted: int = 0
        self._client = client
        self._waiting: list[Deferred[ClientTunnel]] = []

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """
        The public address, while the tunnel is open.
        """
        address: object = None if self.record is None else self.record.address
        return address if isinstance(address, IPv4Address | IPv6Address) else None

    @property
    def target(self) -> str:
        """
        The target, for people.
        """
        return self.dialler.text

    @property
    def tunnel(self) -> ITunnel | None:
        """
        The tunnel in the present session, as hooks see it.
        """
        return self.record

    def when_open(self) -> Deferred[ClientTunnel]:
        """
        Wait until the server has opened the tunnel.

        @return: fires with this tunnel. It fails with L{TunnelRefused} when the
            server refuses it, and when it is closed before.
        """
        waiting: Deferred[ClientTunnel] = Deferred(self._waiting_cancelled)
        if self.address is not None:
            waiting.callback(self)
        elif self.closed:
            waiting.errback(TunnelRefused(Code.CLOSED, "the tunnel is closed"))
        else:
            self._waiting.append(waiting)
        return waiting

    def close(self) -> None:
        """
        Close the tunnel for good: its streams are reset. Closing it again does
        nothing.
        """
        if not self.closed:
            self.closed = True
            self._client.tunnel_closed(self)
            self.refused(TunnelRefused(Code.CLOSED, "the tunnel is closed"))

    def opened(self) -> None:
        """
        The server has opened it.
        """
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(self)

    def refused(self, error: TunnelRefused) -> None:
        """
        The server, or a hook, has refused it.
        """
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.errback(error)

    def _waiting_cancelled(self, deferred: Deferred[ClientTunnel]) -> None:
        if deferred in self._waiting:
            self._waiting.remove(deferred)
