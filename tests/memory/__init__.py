"""
A network in memory: a reactor whose TCP and Unix connections join protocols of one
test, with a clock that the test moves. Nothing in it depends on time or chance.
"""

from __future__ import annotations

from tests.memory.connection import MemoryConnection, MemoryTransport
from tests.memory.peers import Caller, Peer, Peers
from tests.memory.reactor import MemoryReactor

__all__ = [
    "Caller",
    "MemoryConnection",
    "MemoryReactor",
    "MemoryTransport",
    "Peer",
    "Peers",
]
