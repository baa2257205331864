"""
The target of small exchanges: gives every byte back, to any number of visitors.

It prints its port as a line of JSON. It ends when its standard input does.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from contextlib import suppress

from benchmarks.running.ports import LOOPBACK

_SIZE = 64 << 10


class Echo:
    """
    An event loop with a listener and its connections.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._unsent: dict[int, bytes] = {}
        listener.setblocking(False)
        self._poll.register(listener, select.EPOLLIN)
        self._poll.register(sys.stdin, select.EPOLLIN)

    def run(self) -> None:
        """
        Serve until the standard input ends.
        """
        listener, stdin = self._listener.fileno(), sys.stdin.fileno()
        while True:
            for number, events in self._poll.poll():
                if number == listener:
                    self._accept()
                elif number == stdin:
                    return
                elif events & select.EPOLLOUT:
                    self._send(number, self._unsent.pop(number))
                else:
                    self._receive(number)

    def _accept(self) -> None:
        # As many as there are: they come in bursts.
        with suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                number = connection.fileno()
                self._connections[number] = connection
                self._poll.register(number, select.EPOLLIN)

    def _receive(self, number: int) -> None:
        try:
            data = self._connections[number].recv(_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._send(number, data)
        else:
            self._close(number)

    def _send(self, number: int, data: bytes) -> None:
        try:
            sent = self._connections[number].send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(number)
            return
        if sent == len(data):
            self._poll.modify(number, select.EPOLLIN)
        else:
            self._unsent[number] = data[sent:]
            self._poll.modify(number, select.EPOLLOUT)

    def _close(self, number: int) -> None:
        self._unsent.pop(number, None)
        self._connections.pop(number).close()


def main() -> None:
    """
    Run.
    """
    with socket.create_server((LOOPBACK, 0), backlog=4096) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        Echo(listener).run()


if __name__ == "__main__":
    main()
