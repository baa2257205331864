"""
Moves bytes through a blocking socket, as fast as it takes or at a pace.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import NamedTuple

_BLOCK = 1 << 20
_BUFFER = 256 << 10
_TOO_LONG = 30
"""How long a peer may neither take nor send a byte, in seconds."""


class Moved(NamedTuple):
    """
    What a receiver got.

    @ivar bytes: all of it.
    @ivar counted: what came in C{seconds}, which begin when the start is over and
        end with the last byte.
    @ivar idle: how long it waited on purpose, in seconds.
    """

    bytes: int
    counted: int
    seconds: float
    idle: float = 0.0


def prepare(connection: socket.socket) -> None:
    """
    Have a socket send at once, and fail when the peer is silent for too long.
    """
    # Not settimeout(): with that Python asks the kernel twice for each operation.
    limit = struct.pack("@ll", _TOO_LONG, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """
    Read so many bytes.

    @raise ConnectionError: if there are fewer.
    """
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError(f"closed after {len(data)} of {size} bytes")
        data += piece
    return data


def send(connection: socket.socket, *, seconds: float | None, size: int | None) -> int:
    """
    Send, and say that this is all. The receiver may cut the stream off before that.

    @param seconds: for so long.
    @param size: so many bytes.
    @return: how many bytes.
    """
    block = memoryview(bytes(_BLOCK))
    end = None if seconds is None else time.monotonic() + seconds
    sent = 0
    try:
        while end is None or time.monotonic() < end:
            piece = block if size is None else block[: min(_BLOCK, size - sent)]
            if not piece:
                break
            connection.sendall(piece)
            sent += len(piece)
        connection.shutdown(socket.SHUT_WR)
        # Until the receiver has it all, and closes.
        connection.recv(1)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return sent


def receive(
    connection: socket.socket,
    *,
    skip: float = 0.0,
    until: float | None = None,
    rate: float | None = None,
) -> Moved:
    """
    Receive to the end.

    @param skip: do not count the first so many seconds.
    @param until: stop after so many seconds, and have the connection be reset when it
        is closed: what is still on its way is of no use.
    @param rate: read no more bytes a second than this.
    """
    buffer = bytearray(_BUFFER)
    begin = last = marked_at = time.monotonic()
    total = marked = 0
    marking = skip > 0
    idle = 0.0
    while size := connection.recv_into(buffer):
        last = time.monotonic()
        total += size
        if marking and last - begin >= skip:
            # What comes in pieces is counted from one to the next.
            marking = False
            marked_at, marked = last, total
        if until is not None and last - begin >= until:
            linger = struct.pack("@ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            break
        if rate is not None:
            ahead = total / rate - (last - begin)
            # Naps that the kernel can keep: a burst, then a stall.
            if ahead > 0.02:
                time.sleep(ahead)
                idle += ahead
    return Moved(total, total - marked, last - marked_at, idle)
