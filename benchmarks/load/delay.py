"""
A long path on loopback: carries connections with a delay each way.

It behaves as one TCP connection over such a path does whose sender may have so many
bytes on their way: what was read is delivered half a round trip later, if the far
side takes it, and another half later there is room for as much again. Connecting
itself is not delayed.

It prints its port as a line of JSON. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from collections import deque
from collections.abc import Callable

from benchmarks.running.ports import LOOPBACK

DEFAULT_WINDOW = 4 << 20
"""What Linux lets one connection have on its way by default (C{tcp_wmem})."""

_RECEIVE_BUFFER = 256 << 10
"""A queue in front of the path would be a longer path."""


class Alarm:
    """
    Calls something at the earliest of the times that were set.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]):
        self._loop = loop
        self._call = call
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        """
        Set a time, unless one is set already.
        """
        if self._handle is None:
            self._handle = self._loop.call_at(when, self._ring)

    def clear(self) -> None:
        """
        Do not call.
        """
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self) -> None:
        self._handle = None
        self._call()


class End(asyncio.Protocol):
    """
    One end of a carried connection, and the bytes that are on their way from it.
    """

    transport: asyncio.Transport
    far: End

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float, window: int):
        """
        @param delay: of one way, in seconds.
        @param window: how many bytes may be on their way.
        """
        self._loop = loop
        self._delay = delay
        self._window = window
        self._unacknowledged = 0
        self._reading = True
        self._far_takes = True
        self._over = False
        # When each piece arrives; an empty one is the end.
        self._travelling: deque[tuple[float, bytes]] = deque()
        self._returning: deque[tuple[float, int]] = deque()
        self._arrival = Alarm(loop, self._arrive)
        self._return = Alarm(loop, self._acknowledge)

    def join(self, far: End) -> None:
        """
        Carry between this end and another.
        """
        self.far, far.far = far, self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Be ready.
        """
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """
        Have bytes set out.
        """
        self._unacknowledged += len(data)
        self._set_out(data)
        if self._unacknowledged >= self._window and self._reading:
            self._reading = False
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """
        Have the end set out; the other direction goes on.
        """
        self._set_out(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """
        Cut off the far end, unless both are over in order.
        """
        self._arrival.clear()
        self._return.clear()
        if exc is not None or not (self._over and self.far._over):
            self.far.transport.abort()

    def pause_writing(self) -> None:
        """
        This end takes no more.
        """
        self.far._far_takes = False

    def resume_writing(self) -> None:
        """
        This end takes more.
        """
        self.far._far_takes = True
        self.far._arrive()

    def _set_out(self, data: bytes) -> None:
        due = self._loop.time() + self._delay
        self._travelling.append((due, data))
        self._arrival.set(due)

    def _arrive(self) -> None:
        """
        Deliver what has travelled long enough.
        """
        now = self._loop.time()
        delivered = 0
        while self._far_takes and self._travelling and self._travelling[0][0] <= now:
            _, data = self._travelling.popleft()
            if data:
                delivered += len(data)
                self.far.transport.write(data)
            else:
                self._end()
        if delivered:
            self._returning.append((now + self._delay, delivered))
            self._return.set(now + self._delay)
        if self._far_takes and self._travelling:
            self._arrival.set(self._travelling[0][0])

    def _end(self) -> None:
        self._over = True
        self.far.transport.write_eof()
        if self.far._over:
            self.transport.close()
            self.far.transport.close()

    def _acknowledge(self) -> None:
        """
        Make room for what was acknowledged.
        """
        now = self._loop.time()
        while self._returning and self._returning[0][0] <= now:
            self._unacknowledged -= self._returning.popleft()[1]
        if self._returning:
            self._return.set(self._returning[0][0])
        if not self._reading and self._unacknowledged < self._window:
            self._reading = True
            self.transport.resume_reading()


def new_socket() -> socket.socket:
    """
    Make a socket with a small receive buffer, which accepted ones inherit.
    """
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    plain.setblocking(False)
    return plain


async def carry(port: int, delay: float, window: int) -> None:
    """
    Carry connections to a port, until the standard input ends.
    """
    loop = asyncio.get_running_loop()

    async def accepted(connection: socket.socket) -> None:
        outgoing = new_socket()
        try:
            await loop.sock_connect(outgoing, (LOOPBACK, port))
        except OSError:
            connection.close()
            outgoing.close()
            return
        near, far = End(loop, delay, window), End(loop, delay, window)
        near.join(far)
        # The far one first: the near one may read at once.
        await loop.create_connection(lambda: far, sock=outgoing)
        await loop.connect_accepted_socket(lambda: near, connection)

    listener = new_socket()
    listener.bind((LOOPBACK, 0))
    listener.listen(1024)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    connecting: set[asyncio.Task[None]] = set()

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = loop.create_task(accepted(connection))
            connecting.add(task)
            task.add_done_callback(connecting.discard)

    accepting = loop.create_task(accept())
    await ended.wait()
    accepting.cancel()


def main() -> None:
    """
    Run.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where it leads")
    parser.add_argument("--delay", type=float, required=True, help="one way, seconds")
    parser.add_argument("--window", type=int, default=DEFAULT_WINDOW, help="bytes")
    arguments = parser.parse_args()
    asyncio.run(carry(arguments.port, arguments.delay, arguments.window))


if __name__ == "__main__":
    main()
