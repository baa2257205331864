"""
Liveness of a link: pings, and how long their answers may take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct as Layout
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_PAYLOAD: Final = Layout(">Q")
_REMEMBERED: Final = 8
"""How many round-trip times are remembered."""
_PATIENCE: Final = 1.0
"""How long, in seconds, an answer may take at least before it is late."""


class Heartbeat:
    """
    Sends a ping every C{interval} seconds, and calls C{silent} when no answer
    has come for C{timeout} seconds.

    Answers count, other traffic does not: a link that carries bytes in one
    direction alone is found too. They come in the order of the pings, and each
    counts, however late: over a slow link that is full a round trip may well take
    longer than C{interval}.

    @ivar round_trip: the newest round-trip time in seconds, L{None} before the
        first answer.
    @ivar least_round_trip: the least of the newest few, in seconds, which is the
        path's own and not that of full queues; 0 before the first answer.
    """

    def __init__(
        self,
        clock: IReactorTime,
        interval: float,
        timeout: float,
        ping: Callable[[bytes], None],
        silent: Callable[[], None],
    ) -> None:
        self.round_trip: float | None = None
        self._round_trips: deque[float] = deque(maxlen=_REMEMBERED)
        self._clock = clock
        self.interval = interval
        self.timeout = timeout
        self._ping = ping
        self._silent = silent
        self._count = 0
        self._sent: deque[tuple[bytes, float]] = deque()
        self._next: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    @property
    def least_round_trip(self) -> float:
        """
        The least round-trip time of the newest few.
        """
        return min(self._round_trips, default=0.0)

    @property
    def late(self) -> bool:
        """
        Whether an answer is out for longer than it usually takes, and than
        L{_PATIENCE}.
        """
        if not self._sent:
            return False
        waited = self._clock.seconds() - self._sent[0][1]
        return waited > max(_PATIENCE, 2 * (self.round_trip or 0))

    def start(self) -> None:
        """
        Begin, with a ping at once; begin again on another link, after L{stop}.
        Answers to what was asked on the one before do not count.
        """
        self._sent.clear()
        self._round_trips.clear()
        self.round_trip = None
        self._deadline = self._clock.callLater(self.timeout, self._expire)
        self._beat()

    def alive(self) -> None:
        """
        There was another sign of life than an answer.
        """
        if self._deadline is not None:
            self._deadline.reset(self.timeout)

    def stop(self) -> None:
        """
        End. Stopping again does nothing.
        """
        for call in (self._next, self._deadline):
            if call is not None and call.active():
                call.cancel()
        self._next = self._deadline = None

    def answered(self, payload: bytes) -> None:
        """
        A ping was answered. One that is not the oldest unanswered one's answer
        does not count.
        """
        if self._deadline is None or not self._sent or self._sent[0][0] != payload:
            return
        _, sent_at = self._sent.popleft()
        self.round_trip = self._clock.seconds() - sent_at
        self._round_trips.append(self.round_trip)
        self._deadline.reset(self.timeout)

    def _beat(self) -> None:
        self._next = self._clock.callLater(self.interval, self._beat)
        self._count += 1
        payload = _PAYLOAD.pack(self._count)
        self._sent.append((payload, self._clock.seconds()))
        self._ping(payload)

    def _expire(self) -> None:
        self.stop()
        self._silent()
