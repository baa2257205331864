"""
The network in memory that C{reitunnel.testing} has.
"""

from __future__ import annotations

from reitunnel.testing import (
    Caller,
    MemoryConnection,
    MemoryReactor,
    MemoryTransport,
    Peer,
    Peers,
)

__all__ = [
    "Caller",
    "MemoryConnection",
    "MemoryReactor",
    "MemoryTransport",
    "Peer",
    "Peers",
]
