"""
Finds free ports on loopback.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from random import SystemRandom

from benchmarks.errors import BenchmarkError
from benchmarks.running.procfs import PROC

LOOPBACK = "127.0.0.1"

# Below what Linux gives to outgoing connections, of which there are many here.
_FIRST, _LAST = 20000, 32000
_LISTEN = "0A"
_random = SystemRandom()


def free_port() -> int:
    """
    Find a port that nobody listens on now.

    @raise BenchmarkError: if there is none.
    """
    for _ in range(1000):
        port = _random.randrange(_FIRST, _LAST)
        with socket.socket() as probe:
            # As those do who will listen there: connections that have ended may
            # linger, listeners may not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
                probe.listen()
            except OSError:
                continue
            return port
    raise BenchmarkError("no free port on loopback")


def is_open(port: int) -> bool:
    """
    Whether somebody listens on a port. Nobody is disturbed to find out.
    """
    # As the kernel writes it, in the byte order of the machine.
    address = int.from_bytes(socket.inet_aton(LOOPBACK), sys.byteorder)
    wanted = f"{address:08X}:{port:04X}"
    for line in (PROC / "net" / "tcp").read_text().splitlines():
        _, local, _, state, *_ = line.split()
        if local == wanted and state == _LISTEN:
            return True
    return False


def wait_until_open(
    port: int, check: Callable[[], None], timeout: float = 15.0
) -> None:
    """
    Wait until somebody listens on a port.

    @param check: raises if that cannot be any more.
    @raise BenchmarkError: if nobody does in time.
    """
    deadline = time.monotonic() + timeout
    while not is_open(port):
        check()
        if time.monotonic() > deadline:
            raise BenchmarkError(f"nobody listens on port {port}")
        time.sleep(0.02)
