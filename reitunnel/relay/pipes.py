"""
Pipes of the kernel, shared by all spliced streams of a process.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final, NamedTuple

from reitunnel.errors import ReitunnelError

LARGE_SIZE: Final = 1 << 20
"""
The size of a large pipe, in bytes: what Linux allows without privileges
(C{pipe-max-size}, pipe(7)).
"""
LARGE_PIPES: Final = 24
"""
How many large pipes there are at most. Linux lets a user keep 64 MiB of pipes, of all
processes together (C{pipe-user-pages-soft}); beyond that new ones hold 8 KiB.
"""
_KEPT: Final = 32
"""Empty pipes that are kept for the next use."""


class NoPipe(ReitunnelError):
    """
    The process or the system has no descriptors left for a pipe.
    """


class Pipe(NamedTuple):
    """
    A pipe, and how many bytes it holds at most. It may be full with fewer: each
    piece of a socket's queue takes a slot, and there is one slot a page.
    """

    reading: int
    writing: int
    size: int
    large: bool


class Pipes:
    """
    Pipes for all streams of a process. A direction has one only while bytes are in
    it: an idle stream costs none. Streams that wait for slow readers keep theirs; so
    that they do not use up the user's share, few are large. The others are as the
    system makes them: 64 KiB, on Linux.
    """

    def __init__(self, size: int = LARGE_SIZE, large: int = LARGE_PIPES) -> None:
        """
        @param size: how many bytes a large pipe holds.
        @param large: how many large pipes there are at most.
        """
        self._size = size
        self._large_left = large
        self._idle: dict[bool, list[Pipe]] = {True: [], False: []}

    def take(self, large: bool = True) -> Pipe:
        """
        Take an empty pipe.

        @param large: whether a large one is wanted. If there is none left, it is not.
        @raise NoPipe: when there are no descriptors left.
        """
        large = large and (self._large_left > 0 or bool(self._idle[True]))
        if self._idle[large]:
            return self._idle[large].pop()
        try:
            reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NoPipe(f"no pipe for a stream: {error.strerror}") from error
        large = large and self._enlarge(writing)
        size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
        return Pipe(reading, writing, size, large)

    def give(self, pipe: Pipe) -> None:
        """
        Give an empty pipe back.
        """
        if sum(map(len, self._idle.values())) >= _KEPT:
            self.destroy(pipe)
        else:
            self._idle[pipe.large].append(pipe)

    def destroy(self, pipe: Pipe) -> None:
        """
        Close a pipe, with what it holds.
        """
        os.close(pipe.reading)
        os.close(pipe.writing)
        if pipe.large:
            self._large_left += 1

    def clear(self) -> None:
        """
        Close the idle pipes.
        """
        for idle in self._idle.values():
            while idle:
                self.destroy(idle.pop())

    def _enlarge(self, descriptor: int) -> bool:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, self._size)
        except OSError:
            # The user's share is used up: the pipe works as it is.
            return False
        self._large_left -= 1
        return True
