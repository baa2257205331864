"""
What the endpoints of links are told.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reitunnel.interfaces import ILinkAdmission
from reitunnel.transports.certificates import ServerCertificates
from reitunnel.transports.client_tls import ClientTLS
from reitunnel.transports.tcp_options import TCPOptions


@dataclass(frozen=True, kw_only=True)
class ServerTransportSettings:
    """
    How a server listens for links.

    @ivar tcp: the options of its sockets.
    @ivar handshake_timeout: seconds that a peer has for each handshake below a
        link (TLS, WebSocket), and to answer when a link is closed.
    @ivar certificates: needed by C{tls} and C{wss} only.
    @ivar admission: who may connect; L{None} lets everybody.
    @ivar backlog: connections that wait in the kernel.
    """

    tcp: TCPOptions = field(default_factory=TCPOptions)
    handshake_timeout: float = 10.0
    certificates: ServerCertificates | None = None
    admission: ILinkAdmission | None = None
    backlog: int = 1024


@dataclass(frozen=True, kw_only=True)
class ClientTransportSettings:
    """
    How a client dials.

    @ivar tcp: the options of its sockets.
    @ivar connect_timeout: seconds to resolve the name and to connect.
    @ivar handshake_timeout: seconds that the server has for each handshake
        above that (TLS, WebSocket), and to answer when a link is closed.
    @ivar tls: used by C{tls} and C{wss} only. It keeps TLS sessions, so give
        the same one to every endpoint that dials the same server.
    """

    tcp: TCPOptions = field(default_factory=TCPOptions)
    connect_timeout: float = 30.0
    handshake_timeout: float = 10.0
    tls: ClientTLS = field(default_factory=ClientTLS)
