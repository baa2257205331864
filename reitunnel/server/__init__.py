"""
The server: sessions of clients, and the public ports of their tunnels.
"""

from __future__ import annotations

from reitunnel.server.server import Server
from reitunnel.server.setup import check_addresses

__all__ = ["Server", "check_addresses"]
