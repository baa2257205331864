"""
The data links of one session: those that are idle, and who waits for one.
"""

from __future__ import annotations

from collections import OrderedDict
from random import Random
from typing import Final
from typing import Protocol as Structural

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reitunnel.relay import DataLink, Link

_AGE: Final = 300.0
"""
How long a data link may be idle, in seconds, give or take a tenth: the server
closes it then, because only the server knows that no stream is about to use it.
"""
_REMEMBERED: Final = 1024
"""
How far behind the highest number of a data link another one may come: they are
dialled a few at a time.
"""
_random = Random()


class LinkTaker(Structural):
    """
    Who waits for a data link.
    """

    @property
    def can_switch(self) -> bool:
        """
        Whether it still has a use for one.
        """

    def link_found(self, data_link: DataLink) -> None:
        """
        Here is one.
        """


class DataLinks:
    """
    Keeps data links until a stream needs one. The newest is used first, so that
    those that are not needed grow old.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limit: int,
        heartbeat_interval: float,
        heartbeat_timeout: float,
    ) -> None:
        """
        @param limit: how many there may be at a time, those of streams included.
        """
        self._clock = clock
        self._limit = limit
        self._interval = heartbeat_interval
        self._timeout = heartbeat_timeout
        self._idle: OrderedDict[int, tuple[DataLink, IDelayedCall]] = OrderedDict()
        self._waiting: OrderedDict[LinkTaker, None] = OrderedDict()
        self._seen: set[int] = set()
        self._newest = 0
        self._open = 0
        self._closed = False

    def __len__(self) -> int:
        """
        How many are ready for a stream.
        """
        return sum(data_link.ready for data_link, _ in self._idle.values())

    @property
    def idle(self) -> int:
        """
        How many wait for a stream, ready or not.
        """
        return len(self._idle)

    @property
    def used(self) -> int:
        """
        How many a stream has, or are being closed.
        """
        return self._open - len(self._idle)

    def takes(self, number: int) -> bool:
        """
        Whether a data link with this number may come: there is room for it, and no
        other had the number, as far as that is remembered.
        """
        return (
            not self._closed
            and self._open < self._limit
            and number > self._newest - _REMEMBERED
            and number not in self._seen
        )

    def add(self, number: int, link: Link) -> None:
        """
        Take a data link whose handshake is over.
        """
        self._remember(number)
        self._open += 1
        link.closed.addCallback(self._gone)
        data_link = DataLink(
            number,
            link,
            self._clock,
            heartbeat_interval=self._interval,
            heartbeat_timeout=self._timeout,
            peer_gives=False,
            on_lost=self._lost,
            on_ready=self._ready,
        )
        age = _AGE * _random.uniform(0.9, 1.1)
        retirement = self._clock.callLater(age, self._retire, number)
        self._idle[number] = (data_link, retirement)
        data_link.start()

    def take(self) -> DataLink | None:
        """
        Take a data link for a stream, if there is one. One whose client has not yet
        answered is left alone, because the client may not know that it has it; and
        so is one whose client owes an answer, because it may be dead.
        """
        for number, (data_link, _) in reversed(self._idle.items()):
            if data_link.ready:
                self._forget(number)
                return data_link
        return None

    def wait(self, taker: LinkTaker) -> None:
        """
        Give the next data link to this taker, after those who wait already.
        """
        self._waiting[taker] = None

    def give_up(self, taker: LinkTaker) -> None:
        """
        A taker does not wait any more.
        """
        self._waiting.pop(taker, None)

    def close(self) -> None:
        """
        Close all that are idle, and take no more.
        """
        self._closed = True
        self._waiting.clear()
        for number in tuple(self._idle):
            self._retire(number)

    # The parts.

    def _remember(self, number: int) -> None:
        self._newest = max(self._newest, number)
        self._seen.add(number)
        if len(self._seen) > 2 * _REMEMBERED:
            oldest = self._newest - _REMEMBERED
            self._seen = {seen for seen in self._seen if seen > oldest}

    def _ready(self, data_link: DataLink) -> None:
        while self._waiting and data_link.number in self._idle:
            taker, _ = self._waiting.popitem(last=False)
            if taker.can_switch:
                self._forget(data_link.number)
                taker.link_found(data_link)

    def _retire(self, number: int) -> None:
        data_link, _ = self._idle[number]
        self._forget(number)
        data_link.close()

    def _lost(self, data_link: DataLink) -> None:
        if data_link.number in self._idle:
            self._forget(data_link.number)

    def _forget(self, number: int) -> None:
        """
        A data link is not idle any more.
        """
        _, retirement = self._idle.pop(number)
        if retirement.active():
            retirement.cancel()

    def _gone(self, _: None) -> None:
        self._open -= 1
