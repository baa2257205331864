"""
How links are made: pairs of Twisted endpoints over TCP, TLS and WebSocket, and
whatever other endpoints and plugins there are.
"""

from __future__ import annotations

from reitunnel.transports.certificates import ServerCertificates
from reitunnel.transports.client_tls import ClientTLS
from reitunnel.transports.facts import LinkFacts, PeerCertificate, link_facts
from reitunnel.transports.layers import base_transport
from reitunnel.transports.registry import (
    client_endpoint,
    server_endpoint,
    transport_for,
)
from reitunnel.transports.settings import (
    ClientTransportSettings,
    ServerTransportSettings,
)
from reitunnel.transports.tcp_options import TCPOptions, apply_tcp_options
from reitunnel.transports.urls import LinkURL
from reitunnel.transports.websocket import WebSocketTransport
from reitunnel.transports.websocket_resource import WebSocketLinkResource

__all__ = (
    "ClientTLS",
    "ClientTransportSettings",
    "LinkFacts",
    "LinkURL",
    "PeerCertificate",
    "ServerCertificates",
    "ServerTransportSettings",
    "TCPOptions",
    "WebSocketLinkResource",
    "WebSocketTransport",
    "apply_tcp_options",
    "base_transport",
    "client_endpoint",
    "link_facts",
    "server_endpoint",
    "transport_for",
)
