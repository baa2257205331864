"""
Finds the transport for an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted.internet.interfaces import (
    IReactorCore,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)

from reitunnel.interfaces import ITunnelTransport
from reitunnel.transports.endpoints import LINK_ALPN, DescribedLinks, StreamLinks
from reitunnel.transports.plugins import plugin_transports
from reitunnel.transports.settings import (
    ClientTransportSettings,
    ServerTransportSettings,
)
from reitunnel.transports.urls import LinkURL
from reitunnel.transports.websocket_endpoints import HTTP_ALPN, WebSocketLinks

_BUILT_IN: Final[Mapping[str, ITunnelTransport]] = {
    transport.scheme: transport
    for transport in (
        StreamLinks("tcp"),
        StreamLinks("tls", LINK_ALPN),
        WebSocketLinks("ws"),
        WebSocketLinks("wss", HTTP_ALPN),
        DescribedLinks(),
    )
}


def transport_for(url: LinkURL) -> ITunnelTransport:
    """
    The transport for an address.

    @raise ValueError: if the plugin that knew the scheme is gone.
    """
    transport = _BUILT_IN.get(url.scheme) or plugin_transports().get(url.scheme)
    if transport is None:
        raise ValueError(f"{url}: nothing makes {url.scheme}:// links")
    return transport


def server_endpoint(
    reactor: IReactorCore, url: LinkURL, settings: ServerTransportSettings
) -> IStreamServerEndpoint:
    """
    Make the endpoint to listen for links on.

    @raise TransportError: if it cannot be made: a certificate is missing, or a
        description describes nothing.
    """
    return transport_for(url).server_endpoint(reactor, url, settings)


def client_endpoint(
    reactor: IReactorCore, url: LinkURL, settings: ClientTransportSettings
) -> IStreamClientEndpoint:
    """
    Make the endpoint to dial for links.

    @raise TransportError: if it cannot be made.
    """
    return transport_for(url).client_endpoint(reactor, url, settings)
