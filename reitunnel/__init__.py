"""
Reitunnel: a tunnel framework on Twisted.

L{Server} and L{Client} are services; docs/embedding.md shows how to use them.
"""

from __future__ import annotations

from reitunnel.client import Client, ClientTunnel, Target
from reitunnel.config import ClientConfig, ServerConfig
from reitunnel.errors import Code, Refused, ReitunnelError, TunnelRefused
from reitunnel.hooks import BaseHook, HookManager, Strategy
from reitunnel.server import Server

__all__ = [
    "BaseHook",
    "Client",
    "ClientConfig",
    "ClientTunnel",
    "Code",
    "HookManager",
    "Refused",
    "ReitunnelError",
    "Server",
    "ServerConfig",
    "Strategy",
    "Target",
    "TunnelRefused",
]
