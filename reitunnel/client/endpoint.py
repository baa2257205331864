"""
A server endpoint that listens on a public port of a Reitunnel server.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from reitunnel.client.client import Client
from reitunnel.client.identity import default_client_id
from reitunnel.client.port import PublishedFactory, TunnelPort
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.config import ClientConfig, TunnelSettings, verify_client_config
from reitunnel.errors import ReitunnelError, TunnelRefused

_NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})
_TARGET: Final = "in process"
"""What stands for the target in the default client id."""


@implementer(IStreamServerEndpoint)
class TunnelServerEndpoint:
    """
    Listens on a public port of a server: whoever connects there is served by the
    factory, in this process, with no local port. To the protocols, C{getPeer()} is
    the visitor and C{getHost()} the public address.
    """

    def __init__(
        self,
        reactor: Any,
        client: Client | ClientConfig,
        port: int = 0,
        *,
        bind: str = "",
        metadata: Mapping[str, str] = _NO_METADATA,
    ) -> None:
        """
        @param reactor: an C{IReactorTCP}, C{IReactorTime} and C{IReactorCore}.
        @param client: a client, which may have other tunnels and which the program
            starts and stops; or the configuration of one that each call of L{listen}
            makes and starts, and the port stops.
        @param port: the public port; 0 lets the server choose.
        @param bind: the public address; empty for the server's default.
        @param metadata: what the server's hooks are told of the tunnel.
        @raise ConfigError: when the configuration is not safe or cannot work.
        """
        if isinstance(client, ClientConfig):
            verify_client_config(client)
            client = _with_id(client, port, bind)
        self._reactor = reactor
        self._client = client
        self._port = port
        self._bind = bind
        self._metadata = metadata

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Open the tunnel.

        @return: fires with a L{TunnelPort} once the tunnel is open. Until the server
            can be reached it waits, and the client says why in the log. It fails with
            L{TunnelRefused} when the tunnel is refused, with what L{Client} raises,
            and with L{SessionRefused} or L{TransportError} when the client gives up.
            Cancelling it closes what was begun.
        """
        return Deferred.fromCoroutine(self._listen(protocolFactory))

    async def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        if isinstance(self._client, Client):
            return await self._open(self._client, factory, owns_client=False)
        client = Client(self._reactor, self._client)
        client.startService()
        try:
            return await self._open(client, factory, owns_client=True)
        except BaseException:
            await client.stopService()
            raise

    async def _open(
        self, client: Client, factory: IProtocolFactory, *, owns_client: bool
    ) -> IListeningPort:
        published = PublishedFactory(factory)
        # Somebody waits: what the client gives up for need not be logged besides.
        over = client.when_over()
        over.addErrback(lambda failure: failure.trap(CancelledError, ReitunnelError))
        try:
            tunnel: ClientTunnel = await client.open_tunnel(
                published, self._port, bind=self._bind, metadata=self._metadata
            )
        except TunnelRefused as refused:
            raise _given_up_for(client) or refused from None
        finally:
            over.cancel()
        try:
            factory.doStart()
        except BaseException:
            tunnel.close()
            raise
        return TunnelPort(client, tunnel, factory, published, owns_client=owns_client)


def _with_id(config: ClientConfig, port: int, bind: str) -> ClientConfig:
    """
    Give a client an id that it has again when the program is started again, so that
    it takes its port over. A port of the server's choice is nobody's.
    """
    if config.client_id is not None or not port:
        return config
    own = TunnelSettings(port=port, bind=bind, target=_TARGET)
    whole = msgspec.structs.replace(config, tunnels=(*config.tunnels, own))
    return msgspec.structs.replace(config, client_id=default_client_id(whole))


def _given_up_for(client: Client) -> ReitunnelError | None:
    """
    Say why a client has given up, if it has. What its tunnels are told says less.
    """
    found: list[object] = []
    over = client.when_over()
    over.addErrback(lambda failure: found.append(failure.value))
    over.cancel()
    [error] = found or [None]
    return error if isinstance(error, ReitunnelError) else None
