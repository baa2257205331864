"""
Links as a resource of a C{twisted.web} site, next to other pages.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, cast

from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.pages import notFound
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from reitunnel.interfaces import ILinkTransport
from reitunnel.transports.gate import GateRules, ServerGateFactory
from reitunnel.transports.settings import ServerTransportSettings
from reitunnel.transports.websocket_server import LinkServerFactory

_BODY: Final = b"This is a WebSocket.\n"


@implementer(IResource)
class WebSocketLinkResource:
    """
    Takes the links of clients that dial the URL where it is put.

    Of the settings it needs the time-out, the TCP options and the admission, which
    is asked when a client wants to upgrade: TLS and listening are the site's.
    """

    isLeaf = True

    def __init__(
        self, factory: IProtocolFactory, settings: ServerTransportSettings
    ) -> None:
        """
        @param factory: builds the protocols of links. Nobody starts and stops it
            here.
        """
        self._factory = factory
        self._settings = settings

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """
        There is nothing below.
        """
        return notFound()

    def putChild(self, path: bytes, child: IResource) -> None:
        """
        Nothing can be put below.

        @raise NotImplementedError: always.
        """
        raise NotImplementedError("there is nothing below a WebSocket")

    def render(self, request: Request) -> bytes | int:
        """
        Make a link of the request's connection, if the client asks for it.
        """
        channel = request.channel
        if not _wants_websocket(request) or not isinstance(channel, HTTPChannel):
            # HTTP/2 has no such upgrade: clients that want one come by HTTP/1.1.
            status = HTTPStatus.UPGRADE_REQUIRED
            request.setResponseCode(status, status.phrase.encode("ascii"))
            request.setHeader(b"upgrade", b"websocket")
            request.setHeader(b"content-type", b"text/plain; charset=utf-8")
            return _BODY
        # A request that is rendered has come through a site.
        assert request.site is not None
        clock = IReactorTime(request.site.reactor)
        rules = GateRules(
            tcp=self._settings.tcp,
            timeout=self._settings.handshake_timeout,
            admission=self._settings.admission,
            shaken=True,
        )
        links = LinkServerFactory(
            self._factory, clock, self._settings.handshake_timeout, path=None
        )
        gates = ServerGateFactory(links, rules, clock)
        gate = gates.buildProtocol(request.getClientAddress())
        _hand_over(channel, cast(ILinkTransport, channel.transport), gate)
        # Autobahn wants to see the request as it came.
        gate.dataReceived(_head(request))
        return NOT_DONE_YET


def _wants_websocket(request: Request) -> bool:
    upgrade = request.getHeader(b"upgrade") or b""
    tokens = [token.strip().lower() for token in upgrade.split(b",")]
    return request.method == b"GET" and b"websocket" in tokens


def _head(request: Request) -> bytes:
    lines = [b" ".join((request.method, request.uri, b"HTTP/1.1"))]
    for name, values in request.requestHeaders.getAllRawHeaders():
        lines += [name + b": " + value for value in values]
    return b"\r\n".join([*lines, b"", b""])


def _hand_over(
    channel: HTTPChannel, transport: ILinkTransport, protocol: IProtocol
) -> None:
    """
    Give the connection of an HTTP channel to another protocol.

    C{twisted.web} offers no way to do that in public, and does for its own
    WebSockets what is done here.
    """

    def connection_lost(reason: Failure) -> None:
        protocol.connectionLost(reason)
        HTTPChannel.connectionLost(channel, reason)

    channel.dataReceived = protocol.dataReceived  # type: ignore[method-assign]  # above
    channel.connectionLost = connection_lost  # type: ignore[method-assign]  # above
    # The channel has been the producer so far, and may have paused reading.
    transport.unregisterProducer()
    transport.resumeProducing()
    protocol.makeConnection(transport)
