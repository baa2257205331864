"""
A client's side of WebSockets: the request that it makes, and the channel.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime

from reitunnel.errors import TransportError
from reitunnel.transports.urls import LinkURL
from reitunnel.transports.websocket_channel import SUBPROTOCOL, LinkChannel

_TRY_AGAIN: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
"""Answers of the 4xx kind that may be others the next time."""


class LinkClientChannel(LinkChannel, WebSocketClientProtocol):
    """
    A client's channel.
    """

    masks = True

    def __init__(
        self,
        factory: IProtocolFactory,
        clock: IReactorTime,
        timeout: float,
        url: LinkURL,
    ) -> None:
        """
        @param url: what is asked for.
        """
        super().__init__(factory, clock, timeout)
        self._url = url
        self.http_status_line = ""

    def onConnecting(self, transport_details: object) -> ConnectingRequest:
        """
        Say what to ask for.
        """
        # A zone means nothing to others.
        host = self._url.host.partition("%")[0]
        return ConnectingRequest(
            host=f"[{host}]" if ":" in host else host,
            port=self._url.port,
            resource=self._url.path,
            useragent="reitunnel",
            protocols=[SUBPROTOCOL],
        )

    def failHandshake(self, reason: str) -> None:
        """
        The server's answer is not what it must be.
        """
        self._refuse(self._explain(reason))

    def _explain(self, reason: str) -> TransportError:
        words = self.http_status_line.split()
        if len(words) < 2 or not (words[1].isascii() and words[1].isdigit()):
            return TransportError("the server does not speak HTTP", permanent=True)
        code = int(words[1])
        if code == HTTPStatus.SWITCHING_PROTOCOLS:
            return TransportError(
                f"the server's WebSocket handshake is wrong: {reason}", permanent=True
            )
        phrase = next((f" ({s.phrase})" for s in HTTPStatus if s.value == code), "")
        return TransportError(
            f"the server answers HTTP {code}{phrase} instead of a WebSocket",
            permanent=code < 500 and code not in _TRY_AGAIN,
        )


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
