"""
Small words back and forth on one connection.
"""

from __future__ import annotations

import socket
import time

from benchmarks.load.transfer import receive_exactly


def ping(
    connection: socket.socket, *, size: int, seconds: float, interval: float = 0.0
) -> list[float]:
    """
    Say a word and hear it back, again and again.

    @param size: of the word, in bytes.
    @param seconds: for so long.
    @param interval: wait so many seconds between two words.
    @return: how long each took, in seconds; at least one.
    """
    word = bytes(size)
    clock = time.perf_counter
    end = clock() + seconds
    taken = []
    while True:
        begun = clock()
        connection.sendall(word)
        receive_exactly(connection, size)
        heard = clock()
        taken.append(heard - begun)
        if heard >= end:
            return taken
        if interval:
            time.sleep(interval)
