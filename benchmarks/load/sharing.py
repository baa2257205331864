"""
Many bulk streams at once, received by one process.
"""

from __future__ import annotations

import select
import socket
import time

from benchmarks.load.request import Request
from benchmarks.running.ports import LOOPBACK

_BUFFER = 64 << 10
_SILENCE = 10.0


def share(port: int, streams: int, seconds: float) -> list[int]:
    """
    Receive many streams.

    @param port: of the target for bulk.
    @param seconds: how long each is sent; a quarter at each end is not counted.
    @return: how many bytes each got in the time between.
    """
    poll = select.epoll()
    connections: dict[int, socket.socket] = {}
    got: dict[int, int] = {}
    asked = Request(0, "send", seconds=seconds).encode()
    for _ in range(streams):
        connection = socket.create_connection((LOOPBACK, port), _SILENCE)
        connection.sendall(asked)
        number = connection.fileno()
        connections[number] = connection
        got[number] = 0
        poll.register(number, select.EPOLLIN)
    buffer = bytearray(_BUFFER)
    # Those that began first end first: what is counted is when all of them send.
    begin = time.monotonic() + seconds / 4
    end = begin + seconds / 2
    while connections:
        happened = poll.poll(_SILENCE)
        if not happened:
            raise TimeoutError(f"nothing came for {_SILENCE:.0f} s")
        now = time.monotonic()
        for number, _ in happened:
            size = connections[number].recv_into(buffer)
            if not size:
                connections.pop(number).close()
            elif begin <= now < end:
                got[number] += size
    return list(got.values())
