"""
How the bytes of streams move: links, the mux, streams as transports, pumps.
"""

from __future__ import annotations

from reitunnel.relay.addresses import (
    host_and_port,
    internet_address,
    joined,
    shown,
)
from reitunnel.relay.data_link import DataLink
from reitunnel.relay.draining import Draining
from reitunnel.relay.joining import join
from reitunnel.relay.link import FrameReceiver, Link, LinkFactory
from reitunnel.relay.mux import Mux
from reitunnel.relay.owner import FAILURES, MuxOwner
from reitunnel.relay.pipes import Pipes
from reitunnel.relay.pump import SocketEnd, SocketFactory
from reitunnel.relay.records import StreamRecord, TunnelRecord, log_closed
from reitunnel.relay.stream import StreamTransport

__all__ = [
    "FAILURES",
    "DataLink",
    "Draining",
    "FrameReceiver",
    "Link",
    "LinkFactory",
    "Mux",
    "MuxOwner",
    "Pipes",
    "SocketEnd",
    "SocketFactory",
    "StreamRecord",
    "StreamTransport",
    "TunnelRecord",
    "host_and_port",
    "internet_address",
    "join",
    "joined",
    "log_closed",
    "shown",
]
