"""
The endpoints of links that are WebSockets.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorCore,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from reitunnel.errors import TransportError
from reitunnel.interfaces import ITunnelTransport
from reitunnel.transports.contexts import HTTP_PROTOCOL
from reitunnel.transports.endpoints import (
    ALPNChoice,
    LinkClientEndpoint,
    LinkServerEndpoint,
    gated,
    tcp_client,
    tcp_server,
)
from reitunnel.transports.settings import (
    ClientTransportSettings,
    ServerTransportSettings,
)
from reitunnel.transports.urls import LinkURL
from reitunnel.transports.websocket_client import LinkClientChannel, LinkClientFactory
from reitunnel.transports.websocket_server import LinkServerFactory

HTTP_ALPN: ALPNChoice = (HTTP_PROTOCOL, b"")
"""A proxy that ends TLS may know nothing of ALPN."""


@implementer(IStreamClientEndpoint)
class WebSocketClientEndpoint:
    """
    Dials another endpoint, and makes a WebSocket of it.
    """

    def __init__(
        self,
        reactor: IReactorCore,
        url: LinkURL,
        endpoint: IStreamClientEndpoint,
        settings: ClientTransportSettings,
    ) -> None:
        self._clock = IReactorTime(reactor)
        self._url = url
        self._endpoint = endpoint
        self._settings = settings

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Dial.

        @return: fires with the protocol once the link is ready; fails with
            L{TransportError}.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        channels = LinkClientFactory(
            factory, self._clock, self._settings.handshake_timeout, self._url
        )
        channel = await self._endpoint.connect(channels)
        assert isinstance(channel, LinkClientChannel)
        try:
            return await channel.ready
        except TransportError as error:
            raise TransportError(
                f"{self._url}: {error}", permanent=error.permanent
            ) from error.__cause__


@implementer(ITunnelTransport)
class WebSocketLinks:
    """
    Links that are WebSockets, over TLS or not: C{ws://} and C{wss://}.
    """

    def __init__(self, scheme: str, alpn: ALPNChoice | None = None) -> None:
        """
        @param alpn: what TLS may negotiate; L{None} adds no TLS.
        """
        self.scheme = scheme
        self.secure = alpn is not None
        self._alpn = alpn

    def server_endpoint(
        self, reactor: IReactorCore, url: LinkURL, settings: ServerTransportSettings
    ) -> IStreamServerEndpoint:
        """
        Make the listening side. It answers for the URL's path only.
        """
        gate = gated(reactor, settings, self._alpn)
        clock = IReactorTime(reactor)

        def wrap(factory: IProtocolFactory) -> IProtocolFactory:
            timeout = settings.handshake_timeout
            return gate(LinkServerFactory(factory, clock, timeout, url.path))

        return LinkServerEndpoint(url, tcp_server(reactor, url, settings), wrap)

    def client_endpoint(
        self, reactor: IReactorCore, url: LinkURL, settings: ClientTransportSettings
    ) -> IStreamClientEndpoint:
        """
        Make the dialling side.
        """
        endpoint = LinkClientEndpoint(
            reactor, url, tcp_client(reactor, url, settings), settings, self._alpn
        )
        return WebSocketClientEndpoint(reactor, url, endpoint, settings)
