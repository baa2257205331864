"""
The order in which streams send: fair turns, and new traffic first.

The scheme is that of FQ-CoDel (RFC 8290, section 4.1) without the dropping: a
stream that was silent and has something to say goes before the streams that
have been sending all along, for one turn. Other than there, such turns together
get at most half of the link in the long run while the others want it: visitors
who keep coming do not stop a download.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from reitunnel.wire.streams import Stream

BURST: Final = 16
"""How many turns fresh streams may take before the old ones have as many."""


class FairScheduler:
    """
    Streams that want to send, and whose turn it is.

    A stream that is put here while it sends sparsely is served first, once; one
    that keeps sending takes turns of C{quantum} bytes with the others.

    @ivar quantum: the bytes of a turn.
    """

    def __init__(self, quantum: int) -> None:
        self.quantum = quantum
        self._fresh: deque[Stream] = deque()
        self._old: deque[Stream] = deque()
        # Bytes that fresh streams may send before an old one's turn.
        self._ahead = BURST * quantum

    def __bool__(self) -> bool:
        """
        Whether a stream may be waiting. It may turn out to have nothing to send.
        """
        return bool(self._fresh or self._old)

    def put(self, stream: Stream) -> None:
        """
        Note that a stream wants to send.
        """
        if not stream.listed:
            stream.listed = True
            stream.deficit = self.quantum
            self._fresh.append(stream)

    def forget(self, stream: Stream) -> None:
        """
        Let go of a stream at once. Without it, one that has nothing to send is let go
        of when its turn comes.
        """
        if stream.listed:
            stream.listed = False
            line = self._fresh if stream in self._fresh else self._old
            line.remove(stream)

    def pick(self) -> Stream | None:
        """
        Choose the stream whose turn it is; it may send C{stream.deficit} bytes.
        Tell L{charge} what it sent.
        """
        while True:
            fresh_first = self._fresh and (self._ahead > 0 or not self._old)
            line = self._fresh if fresh_first else self._old
            if not line:
                return None
            stream = line[0]
            if not stream.ready:
                self._step_back(line)
            elif stream.deficit <= 0:
                stream.deficit += self.quantum
                self._old.append(line.popleft())
            else:
                return stream

    def charge(self, stream: Stream, size: int) -> None:
        """
        Note that a picked stream has sent C{size} bytes.
        """
        stream.deficit -= size
        if self._fresh and self._fresh[0] is stream:
            if self._old:
                self._ahead -= size
        else:
            self._ahead = min(BURST * self.quantum, self._ahead + size)

    def _step_back(self, line: deque[Stream]) -> None:
        """
        Take the first stream of a line, which has nothing to send, out of it. A
        fresh one waits a round behind the others, so that it cannot come back
        as fresh at once and starve them.
        """
        stream = line.popleft()
        if line is self._fresh and self._old:
            self._old.append(stream)
        else:
            stream.listed = False
