"""
The client: the session with the server, the targets of its tunnels, and an endpoint
that listens at the server.
"""

from __future__ import annotations

from reitunnel.client.client import Client
from reitunnel.client.endpoint import TunnelServerEndpoint
from reitunnel.client.port import TunnelPort
from reitunnel.client.targets import Target
from reitunnel.client.tunnel import ClientTunnel

__all__ = ["Client", "ClientTunnel", "Target", "TunnelPort", "TunnelServerEndpoint"]
