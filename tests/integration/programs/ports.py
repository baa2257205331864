"""
Chooses ports, for programs that must be told one, and for those that come back to
it.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from random import SystemRandom
from socket import socket

_LOWEST = 10_000
_random = SystemRandom()


def free_port() -> int:
    """
    A port on loopback that was free a moment ago.

    It is none of those that the kernel gives to connections that go out: after such
    a connection nobody can listen on its port for a minute.
    """
    while True:
        port = _random.randrange(_LOWEST, _first_ephemeral_port())
        with closing(socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _first_ephemeral_port() -> int:
    setting = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(setting.read_text().split()[0]) if setting.exists() else 32768
    return max(first, _LOWEST + 1000)
