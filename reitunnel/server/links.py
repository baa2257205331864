"""
The idle data links of one session.
"""

from __future__ import annotations

from collections import OrderedDict
from random import Random
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reitunnel.relay import DataLink, Link

_AGE: Final = 300.0
"""
How long a data link may be idle, in seconds, give or take a tenth: the server
closes it then, because only the server knows that no stream is about to use it.
"""
_random = Random()


class IdleLinks:
    """
    Data links that wait for a stream. The newest is used first, so that those that
    are not needed grow old.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limit: int,
        heartbeat_interval: float,
        heartbeat_timeout: float,
    ) -> None:
        """
        @param limit: how many may be idle at a time.
        """
        self._clock = clock
        self._limit = limit
        self._interval = heartbeat_interval
        self._timeout = heartbeat_timeout
        self._idle: OrderedDict[int, tuple[DataLink, IDelayedCall]] = OrderedDict()
        self._newest = 0
        self._closed = False

    def __len__(self) -> int:
        """
        How many are idle.
        """
        return len(self._idle)

    def takes(self, number: int) -> bool:
        """
        Whether a data link with this number may come. Numbers only grow, so that
        none is used twice.
        """
        return (
            not self._closed
            and len(self._idle) < self._limit
            and number > self._newest - self._limit
            and number not in self._idle
        )

    def add(self, number: int, link: Link) -> None:
        """
        Take a data link whose handshake is over.
        """
        self._newest = max(self._newest, number)
        data_link = DataLink(
            number,
            link,
            self._clock,
            heartbeat_interval=self._interval,
            heartbeat_timeout=self._timeout,
            on_lost=self._lost,
        )
        age = _AGE * _random.uniform(0.9, 1.1)
        retirement = self._clock.callLater(age, self._retire, number)
        self._idle[number] = (data_link, retirement)
        data_link.start()

    def take(self) -> DataLink | None:
        """
        Take a data link for a stream, if there is one.
        """
        if not self._idle:
            return None
        _, (data_link, retirement) = self._idle.popitem()
        retirement.cancel()
        return data_link

    def close(self) -> None:
        """
        Close all that are idle, and take no more.
        """
        self._closed = True
        while (data_link := self.take()) is not None:
            data_link.close()

    def _retire(self, number: int) -> None:
        data_link, _ = self._idle.pop(number)
        data_link.close()

    def _lost(self, data_link: DataLink) -> None:
        found = self._idle.pop(data_link.number, None)
        if found is not None and found[1].active():
            found[1].cancel()
