"""
The client: the session with the server, and the targets of its tunnels.
"""

from __future__ import annotations

from reitunnel.client.client import Client
from reitunnel.client.targets import Target
from reitunnel.client.tunnel import ClientTunnel

__all__ = ["Client", "ClientTunnel", "Target"]
