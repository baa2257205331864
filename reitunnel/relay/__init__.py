"""
How the bytes of streams move: links, the mux, streams as transports, pumps.
"""

from __future__ import annotations

from reitunnel.relay.link import FrameReceiver, Link
from reitunnel.relay.mux import Mux, MuxOwner
from reitunnel.relay.pump import SocketEnd, SocketFactory, join
from reitunnel.relay.records import StreamRecord, TunnelRecord, log_closed
from reitunnel.relay.stream import StreamTransport

__all__ = [
    "FrameReceiver",
    "Link",
    "Mux",
    "MuxOwner",
    "SocketEnd",
    "SocketFactory",
    "StreamRecord",
    "StreamTransport",
    "TunnelRecord",
    "join",
    "log_closed",
]
