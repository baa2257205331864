"""
A tunnel as the client wants it: it is asked for again in every session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed

from reitunnel.client.targets import TargetDialler
from reitunnel.errors import Code, LocalProtocolError, TunnelRefused
from reitunnel.interfaces import ITunnel
from reitunnel.relay import TunnelRecord
from reitunnel.waiters import Waiters
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import TunnelOpen, clip, encode_message

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
        """
        @raise ValueError: when the server cannot be asked for such a tunnel.
        """
        self.bind = bind
        self.port = port
        self.metadata = dict(metadata)
        self.dialler = dialler
        self.record: TunnelRecord | None = None
        self._end: TunnelRefused | None = None
        self.granted: int = 0
        self._client = client
        self.request(1, port)
        self._waiting: Waiters[ClientTunnel] = Waiters()

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """
        The public address, while the tunnel is open.
        """
        address: object = None if self.record is None else self.record.address
        return address if isinstance(address, IPv4Address | IPv6Address) else None

    @property
    def closed(self) -> bool:
        """
        Whether it is closed for good.
        """
        return self._end is not None

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
            server refuses it, when it is closed before, and when the client gives
            up or is stopped.
        """
        end = self._end or self._client.why_not
        if end is not None:
            return fail(end)
        if self.address is not None:
            return succeed(self)
        return self._waiting.wait()

    def close(self, code: Code = Code.CLOSED, reason: str = "") -> None:
        """
        Close the tunnel for good: its streams are reset. Closing it again does
        nothing.
        """
        if self._end is None:
            self._end = TunnelRefused(code, reason or "the tunnel is closed")
            self._client.tunnel_closed(self, code, reason)
            self.refused(self._end)

    def request(self, number: int, port: int) -> TunnelOpen:
        """
        Make the message that asks for the tunnel.

        @raise ValueError: when a field is out of bounds; the message is for people.
        """
        request = TunnelOpen(
            tunnel=number,
            type="tcp",
            bind=self.bind,
            port=port,
            target=clip(self.target),
            metadata=self.metadata,
            carrier=self._client.config.carrier,
        )
        try:
            encode_message(FrameKind.TUNNEL_OPEN, request)
        except LocalProtocolError as error:
            raise ValueError(str(error)) from None
        return request

    def opened(self) -> None:
        """
        The server has opened it.
        """
        self._waiting.tell(self)

    def refused(self, error: TunnelRefused) -> None:
        """
        The server, or a hook, has refused it.
        """
        self._waiting.fail(error)
