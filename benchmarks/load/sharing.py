"""
Many bulk streams at once, received by one process.
"""

from __future__ import annotations

import select
import socket
import struct
import time

from benchmarks.running.ports import LOOPBACK

_BUFFER = 64 << 10
_TIMEOUT = 10.0


def share(port: int, streams: int, seconds: float) -> list[int]:
    """
    Receive many streams, and cut them off in the end.

    @param port: of a target that sends without end.
    @param seconds: for so long; as much again before that is not counted.
    @return: how many bytes each got.
    """
    poll = select.epoll()
    connections: dict[int, socket.socket] = {}
    for _ in range(streams):
        connection = socket.create_connection((LOOPBACK, port), _TIMEOUT)
        reset = struct.pack("@ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        connections[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
    got = dict.fromkeys(connections, 0)
    buffer = bytearray(_BUFFER)
    begin = time.monotonic() + seconds
    end = begin + seconds
    while (now := time.monotonic()) < end:
        for number, _ in poll.poll(_TIMEOUT):
            size = connections[number].recv_into(buffer)
            if not size:
                raise ConnectionError("a stream ended")
            if now >= begin:
                got[number] += size
    for connection in connections.values():
        connection.close()
    return list(got.values())
