"""
The target of shared streams: sends to its visitors without end, as each takes it.

It prints its port as a line of JSON. It ends when its standard input does.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from contextlib import suppress

from benchmarks.running.ports import LOOPBACK

_BLOCK = bytes(64 << 10)
_BUFFER = 256 << 10
"""What the kernel holds for each: with more, the first seconds are all buffers."""


def serve(listener: socket.socket) -> None:
    """
    Serve until the standard input ends.
    """
    poll = select.epoll()
    visitors: dict[int, socket.socket] = {}
    listener.setblocking(False)
    poll.register(listener, select.EPOLLIN)
    poll.register(sys.stdin, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == sys.stdin.fileno():
                return
            if number == listener.fileno():
                visitor, _ = listener.accept()
                visitor.setblocking(False)
                visitor.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
                visitors[visitor.fileno()] = visitor
                poll.register(visitor, select.EPOLLOUT)
                continue
            try:
                with suppress(BlockingIOError):
                    visitors[number].send(_BLOCK)
            except OSError:
                visitors.pop(number).close()


def main() -> None:
    """
    Run.
    """
    with socket.create_server((LOOPBACK, 0), backlog=4096) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        serve(listener)


if __name__ == "__main__":
    main()
