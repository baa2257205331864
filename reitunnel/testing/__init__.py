"""
What tests of hooks, and of programs that embed Reitunnel, need: a server and a client
that are joined in memory, with a clock that the test moves, and a hook that records
what it is told. docs/tutorial-hook.md shows it in use.

Nothing here depends on time, chance or the machine: no sockets, no files, no threads.
"""

from __future__ import annotations

from reitunnel.testing.assertions import assert_in_order, assert_stops
from reitunnel.testing.connection import MemoryConnection, MemoryTransport
from reitunnel.testing.pair import (
    LINK_PORT,
    PUBLIC_PORT,
    TARGET_PORT,
    MemoryPair,
    client_config,
    server_config,
)
from reitunnel.testing.peers import Caller, Peer, Peers
from reitunnel.testing.reactor import MemoryReactor
from reitunnel.testing.recording import RecordedEvent, RecordingHook

__all__ = [
    "LINK_PORT",
    "PUBLIC_PORT",
    "TARGET_PORT",
    "Caller",
    "MemoryConnection",
    "MemoryPair",
    "MemoryReactor",
    "MemoryTransport",
    "Peer",
    "Peers",
    "RecordedEvent",
    "RecordingHook",
    "assert_in_order",
    "assert_stops",
    "client_config",
    "server_config",
]
