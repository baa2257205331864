"""
Small words back and forth on one connection, and questions that are asked in pieces.
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


def ask(
    connection: socket.socket, *, size: int, seconds: float, pause: float
) -> list[float]:
    """
    Ask questions in two writes, as programs do that write a header and then a body,
    and hear the answers, which come when a question is complete.

    @param size: of a question, and of an answer.
    @param seconds: for so long.
    @param pause: between the two writes, in seconds.
    @return: how long each answer took from the second write on, in seconds; at least
        one.
    """
    half = bytes(size // 2)
    clock = time.perf_counter
    end = clock() + seconds
    taken = []
    while True:
        connection.sendall(half)
        time.sleep(pause)
        begun = clock()
        connection.sendall(bytes(size - len(half)))
        receive_exactly(connection, size)
        heard = clock()
        taken.append(heard - begun)
        if heard >= end:
            return taken


def answer(connection: socket.socket, size: int) -> int:
    """
    Answer questions until the other side closes.

    @param size: of a question, and of its answer.
    @return: how many bytes were asked.
    """
    asked = 0
    while connection.recv(1, socket.MSG_PEEK):
        connection.sendall(receive_exactly(connection, size))
        asked += size
    return asked
