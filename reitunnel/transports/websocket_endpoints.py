"""
The endpoints of links that are WebSockets.
"""

from __future__ import annotations

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketServerFactory
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorCore,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
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
from reitunnel.transports.websocket_channel import (
    SUBPROTOCOL,
    LinkClientChannel,
    LinkServerChannel,
)

_log = Logger()

HTTP_ALPN: ALPNChoice = (HTTP_PROTOCOL, b"")
"""A proxy that ends TLS may know nothing of ALPN."""


class LinkServerFactory(WebSocketServerFactory):
    """
    Builds the channels of a server.
    """

    noisy = False

    def __init__(
        self,
        factory: IProtocolFactory,
        clock: IReactorTime,
        timeout: float,
        path: str | None,
    ) -> None:
        """
        @param factory: builds the protocols of links.
        @param timeout: seconds for the opening handshake, and for the closing
            one.
        @param path: what clients must ask for; L{None} if that was looked at
            before.
        """
        super().__init__(  # type: ignore[no-untyped-call]  # autobahn's
            protocols=[SUBPROTOCOL], server="", reactor=clock
        )
        # The channel has its own time-outs, because autobahn's use the global
        # reactor.
        self.setProtocolOptions(  # type: ignore[no-untyped-call]  # autobahn's
            versions=[13],
            webStatus=False,
            failByDrop=False,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
        )
        self._link_factory = factory
        self._clock = clock
        self._timeout = timeout
        self._path = path

    def buildProtocol(self, addr: IAddress | None) -> LinkServerChannel:
        """
        Build a channel.
        """
        channel = LinkServerChannel(
            self._link_factory, self._clock, self._timeout, self._path
        )
        channel.factory = self
        channel.ready.addErrback(_log_refusal, addr)
        return channel

    def doStart(self) -> None:
        """
        Start the factory of the links' protocols.
        """
        self._link_factory.doStart()

    def doStop(self) -> None:
        """
        Stop the factory of the links' protocols.
        """
        self._link_factory.doStop()


class LinkClientFactory(WebSocketClientFactory):
    """
    Builds the channel of a client.
    """

    noisy = False

    def __init__(
        self,
        factory: IProtocolFactory,
        clock: IReactorTime,
        timeout: float,
        url: LinkURL,
    ) -> None:
        """
        @param factory: builds the protocol of the link.
        @param timeout: seconds for the opening handshake, and for the closing
            one.
        @param url: what is asked for.
        """
        super().__init__(  # type: ignore[no-untyped-call]  # autobahn's
            protocols=[SUBPROTOCOL], reactor=clock
        )
        self.setProtocolOptions(  # type: ignore[no-untyped-call]  # autobahn's
            failByDrop=False,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
        )
        self._link_factory = factory
        self._clock = clock
        self._timeout = timeout
        self._url = url

    def buildProtocol(self, addr: IAddress | None) -> LinkClientChannel:
        """
        Build a channel.
        """
        channel = LinkClientChannel(
            self._link_factory, self._clock, self._timeout, self._url
        )
        channel.factory = self
        return channel

    def doStart(self) -> None:
        """
        Start the factory of the link's protocol.
        """
        self._link_factory.doStart()

    def doStop(self) -> None:
        """
        Stop the factory of the link's protocol.
        """
        self._link_factory.doStop()


def _log_refusal(reason: Failure, address: IAddress | None) -> None:
    if reason.check(TransportError):
        _log.info("no link with {peer}: {reason}", peer=address, reason=reason.value)
    else:
        _log.failure("no link with {peer}", reason, peer=address)


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


class _WebSocketLinks:
    """
    What C{ws://} and C{wss://} have in common.
    """

    _alpn: ALPNChoice | None

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


@implementer(ITunnelTransport)
class WSLinks(_WebSocketLinks):
    """
    C{ws://}: WebSockets in plaintext.
    """

    scheme = "ws"
    secure = False
    _alpn = None


@implementer(ITunnelTransport)
class WSSLinks(_WebSocketLinks):
    """
    C{wss://}: WebSockets over TLS.
    """

    scheme = "wss"
    secure = True
    _alpn = HTTP_ALPN
