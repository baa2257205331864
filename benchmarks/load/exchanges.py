"""
Many visitors in one process: they come, say something, hear it back, and go or stay.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from random import Random
from typing import NamedTuple

from benchmarks.running.ports import LOOPBACK

_WORD = bytes(range(64))
_SILENCE = 10.0
"""How long nothing may happen, in seconds."""
_FAILURES = 20
"""How many visitors may fail before it is given up."""


class Exchange(NamedTuple):
    """
    One visitor heard its word back.

    @ivar ended: when (C{time.monotonic}).
    @ivar seconds: how long it took, from its beginning.
    """

    ended: float
    seconds: float


class _Talk(NamedTuple):
    """
    A visitor who waits for its word.

    @ivar begun: when it came, or said it.
    @ivar new: whether it has only come.
    """

    visitor: socket.socket
    begun: float
    new: bool


class Failed(Exception):
    """
    Too many visitors failed, or nothing happens any more.
    """


class Visitors:
    """
    An event loop with visitors of one port.

    @ivar done: what succeeded.
    @ivar staying: visitors that stay when they have heard their word.
    """

    def __init__(self, port: int, *, stay: bool) -> None:
        """
        @param stay: whether visitors stay connected after their first word.
        """
        self.done: list[Exchange] = []
        self.staying: list[socket.socket] = []
        self._address = (LOOPBACK, port)
        self._stay = stay
        self._poll = select.epoll()
        self._connecting: set[int] = set()
        self._open: dict[int, _Talk] = {}
        self._heard: dict[int, int] = {}
        self._failures = 0

    def come(self, *, at_once: int, count: int | None, seconds: float | None) -> None:
        """
        Have visitors come, one after the other in C{at_once} lines.

        @param count: so many in all.
        @param seconds: for so long.
        @raise Failed: if too many of them fail.
        """
        end = None if seconds is None else time.monotonic() + seconds
        begun = 0

        def more() -> bool:
            if count is not None and begun >= count:
                return False
            return end is None or time.monotonic() < end

        while True:
            while len(self._open) < at_once and more():
                self._begin()
                begun += 1
            if not self._open:
                return
            self._turn()

    def talk(self, *, at_once: int, seconds: float, random: Random) -> None:
        """
        Have random ones of those who stay say a word, C{at_once} at a time.

        @raise Failed: if one of them fails.
        """
        end = time.monotonic() + seconds
        silent = set(range(len(self.staying)))
        places = {visitor.fileno(): place for place, visitor in enumerate(self.staying)}
        order = list(silent)
        while True:
            while len(self._open) < at_once and time.monotonic() < end:
                place = random.choice(order)
                if place in silent:
                    silent.remove(place)
                    visitor = self.staying[place]
                    talk = _Talk(visitor, time.monotonic(), new=False)
                    self._open[visitor.fileno()] = talk
                    self._say(visitor)
            if not self._open:
                return
            talking = set(self._open)
            self._turn()
            silent.update(places[number] for number in talking - set(self._open))

    def go(self) -> None:
        """
        Have all of them leave.
        """
        for visitor in self.staying:
            visitor.close()
        self.staying.clear()

    # The parts.

    def _begin(self) -> None:
        visitor = socket.socket()
        visitor.setblocking(False)
        visitor.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = visitor.fileno()
        self._open[number] = _Talk(visitor, time.monotonic(), new=True)
        code = visitor.connect_ex(self._address)
        if code not in (0, errno.EINPROGRESS):
            self._fail(number, OSError(code, errno.errorcode[code]))
            return
        self._connecting.add(number)
        self._poll.register(number, select.EPOLLOUT)

    def _turn(self) -> None:
        """
        Wait for events, and take them.
        """
        happened = self._poll.poll(_SILENCE)
        if not happened:
            raise Failed(f"nothing happened for {_SILENCE:.0f} s")
        for number, _ in happened:
            try:
                if number in self._connecting:
                    self._connected(number)
                elif number in self._open:
                    self._hear(number)
                else:
                    raise Failed("a visitor who stays was cut off")
            except OSError as error:
                self._fail(number, error)

    def _connected(self, number: int) -> None:
        visitor = self._open[number].visitor
        code = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._connecting.discard(number)
        if code:
            raise OSError(code, errno.errorcode[code])
        self._poll.modify(number, select.EPOLLIN)
        self._say(visitor)

    def _say(self, visitor: socket.socket) -> None:
        # It fits: nothing of this visitor's is on its way.
        visitor.send(_WORD)
        self._heard[visitor.fileno()] = 0

    def _hear(self, number: int) -> None:
        visitor, begun, new = self._open[number]
        data = visitor.recv(len(_WORD))
        if not data:
            raise ConnectionError("cut off")
        self._heard[number] += len(data)
        if self._heard[number] < len(_WORD):
            return
        now = time.monotonic()
        self.done.append(Exchange(now, now - begun))
        del self._open[number]
        if not self._stay:
            # Closed, it leaves the poll by itself.
            visitor.close()
        elif new:
            self.staying.append(visitor)

    def _fail(self, number: int, error: OSError) -> None:
        visitor = self._open.pop(number).visitor
        self._connecting.discard(number)
        visitor.close()
        self._failures += 1
        if self._failures > _FAILURES or self._stay:
            raise Failed(f"{self._failures} visitors failed, the last one: {error}")
