"""
One direction of a connection through the faulty relay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from reitunnel.interfaces import IHalfCloseTransport

_MOST_QUEUED: Final = 1 << 20
"""How many bytes wait in one direction before its source is not read any more."""
_SLICE: Final = 16384
"""How many bytes a rate limit lets through at a time."""


@dataclass(slots=True)
class Weather:
    """
    What a direction does to its bytes. It may change at any time.

    @ivar delay: how long each byte is on its way, in seconds.
    @ivar rate: how many bytes go through in a second; 0 is no limit.
    @ivar swallow: whether everything that comes is thrown away, ends included, and
        the sockets stay open.
    @ivar corrupt: how many of the next bytes come out flipped.
    @ivar replay: how many of the next bytes come out twice.
    """

    delay: float = 0.0
    rate: float = 0.0
    swallow: bool = False
    corrupt: int = 0
    replay: int = 0

    def clear(self) -> None:
        """
        Do nothing to the bytes any more.
        """
        self.delay = self.rate = 0.0
        self.swallow = False
        self.corrupt = self.replay = 0

    def spoil(self, data: bytes) -> bytes:
        """
        Corrupt and replay as it is told, once.
        """
        if self.corrupt:
            count = min(self.corrupt, len(data))
            self.corrupt -= count
            data = bytes(each ^ 0xFF for each in data[:count]) + data[count:]
        if self.replay:
            count = min(self.replay, len(data))
            self.replay = 0
            data += data[-count:]
        return data


@implementer(IPushProducer)
class Flow:
    """
    Carries bytes from one socket to the other, in order, with back-pressure.

    @ivar weather: what it does to them.
    @ivar passed: how many bytes came out.
    @ivar swallowed: how many were thrown away.
    @ivar ended: whether the end of this direction was passed on.
    """

    def __init__(self, clock: IReactorTime, on_ended: Callable[[], None]) -> None:
        """
        @param on_ended: told when the end of this direction was passed on.
        """
        self.weather = Weather()
        self.passed = 0
        self.swallowed = 0
        self.ended = False
        self._on_ended = on_ended
        self._clock = clock
        self._source: IHalfCloseTransport | None = None
        self._sink: IHalfCloseTransport | None = None
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._queued = 0
        self._free_at = 0.0
        self._call: IDelayedCall | None = None
        self._sink_full = False
        self._paused = False
        self._source_gone = False
        self._over = False

    def __str__(self) -> str:
        return (
            f"passed {self.passed}, swallowed {self.swallowed}, holds {self._queued}, "
            f"{self.weather}, sink full {self._sink_full}, paused {self._paused}, "
            f"over {self._over}, ended {self.ended}"
        )

    def from_source(self, source: IHalfCloseTransport) -> None:
        """
        Tell where bytes come from.
        """
        self._source = source
        self._judge()

    def into(self, sink: IHalfCloseTransport) -> None:
        """
        Tell where bytes go; what came before waits until then.
        """
        self._sink = sink
        sink.registerProducer(self, True)
        self._move()

    def feed(self, data: bytes) -> None:
        """
        Bytes came.
        """
        if self.weather.swallow:
            self.swallowed += len(data)
            return
        data = self.weather.spoil(data)
        size = _SLICE if self.weather.rate else len(data)
        for start in range(0, len(data), size):
            self._put(data[start : start + size])
        self._move()

    def end(self) -> None:
        """
        The source sends no more.
        """
        if not self.weather.swallow:
            self._put(None)
            self._move()

    def stop(self) -> None:
        """
        Carry nothing any more. What still comes is read and dropped, so that the end
        of the source is not missed.
        """
        self._over = True
        self._queue.clear()
        self._queued = 0
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._judge()

    def clear(self) -> None:
        """
        Do no more harm, and let go on at once what has waited.
        """
        self.weather.clear()
        self._free_at = 0.0
        self._queue = deque((0.0, data) for _, data in self._queue)
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._move()

    def source_gone(self) -> None:
        """
        The source's socket is closed: it cannot be paused any more.
        """
        self._source_gone = True

    @property
    def waiting(self) -> int:
        """
        How many bytes are on their way.
        """
        return self._queued

    # IPushProducer, for the sink.

    def pauseProducing(self) -> None:
        """
        The sink is full.
        """
        self._sink_full = True
        self._judge()

    def resumeProducing(self) -> None:
        """
        The sink has room.
        """
        self._sink_full = False
        self._move()

    def stopProducing(self) -> None:
        """
        The sink is gone.
        """
        self.stop()

    # The parts.

    def _put(self, data: bytes | None) -> None:
        if self._over:
            return
        now = self._clock.seconds()
        due = now + self.weather.delay
        if self.weather.rate and data is not None:
            self._free_at = max(self._free_at, now) + len(data) / self.weather.rate
            due = max(due, self._free_at)
        if self._queue:
            # What came later never comes out sooner.
            due = max(due, self._queue[-1][0])
        self._queue.append((due, data))
        self._queued += len(data or b"")

    def _move(self) -> None:
        sink = self._sink
        while self._queue and sink is not None and not (self._sink_full or self._over):
            due, data = self._queue[0]
            wait = due - self._clock.seconds()
            if wait > 0:
                if self._call is None or not self._call.active():
                    self._call = self._clock.callLater(wait, self._move)
                break
            self._queue.popleft()
            if data is None:
                self.ended = True
                sink.unregisterProducer()
                sink.loseWriteConnection()
                self._on_ended()
            else:
                self._queued -= len(data)
                self.passed += len(data)
                sink.write(data)
        self._judge()

    def _judge(self) -> None:
        """
        Read from the source, or do not.
        """
        source = self._source
        if source is None or self._source_gone:
            return
        pause = (self._sink_full or self._queued >= _MOST_QUEUED) and not (
            self.weather.swallow or self._over
        )
        if pause and not self._paused:
            self._paused = True
            source.pauseProducing()
        elif self._paused and not pause:
            self._paused = False
            source.resumeProducing()
