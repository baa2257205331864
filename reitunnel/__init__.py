"""
Reitunnel: a tunnel framework on Twisted.

L{Server} and L{Client} are services, and L{TunnelServerEndpoint} is an endpoint;
docs/embedding.md shows how to use them.
"""

from __future__ import annotations

from reitunnel.client import (
    Client,
    ClientTunnel,
    Target,
    TunnelPort,
    TunnelServerEndpoint,
)
from reitunnel.config import (
    AuthSettings,
    ClientConfig,
    Secret,
    ServerConfig,
    load_client_config,
    load_server_config,
)
from reitunnel.errors import (
    Code,
    ConfigError,
    Refused,
    ReitunnelError,
    SessionRefused,
    TransportError,
    TunnelRefused,
)
from reitunnel.hooks import BaseHook, HookManager, Strategy
from reitunnel.relay import shown
from reitunnel.server import Server

__all__ = [
    "AuthSettings",
    "BaseHook",
    "Client",
    "ClientConfig",
    "ClientTunnel",
    "Code",
    "ConfigError",
    "HookManager",
    "Refused",
    "ReitunnelError",
    "Secret",
    "Server",
    "ServerConfig",
    "SessionRefused",
    "Strategy",
    "Target",
    "TransportError",
    "TunnelPort",
    "TunnelRefused",
    "TunnelServerEndpoint",
    "load_client_config",
    "load_server_config",
    "shown",
]
