"""
A rate that streams share, kept by holding them back in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reitunnel.interfaces import IBrake


class Flow:
    """
    One direction of one stream, under one or more rates.

    @ivar brake: holds it.
    """

    __slots__ = ("_holds", "_places", "brake")

    brake: IBrake

    def __init__(self, rates: Sequence[Rate]) -> None:
        self._holds = 0
        self._places = tuple(Place(self, rate) for rate in rates)

    def begin(self, brake: IBrake) -> None:
        """
        Bytes may move from now on.
        """
        self.brake = brake
        for place in self._places:
            place.rate.join(place)

    def moved(self, count: int) -> None:
        """
        Bytes have moved.
        """
        for place in self._places:
            place.rate.charge(place, count)

    def end(self) -> None:
        """
        No more will move.
        """
        for place in self._places:
            place.rate.leave(place)

    def hold(self) -> None:
        """
        One rate more wants it held.
        """
        self._holds += 1
        if self._holds == 1:
            self.brake.hold()

    def release(self) -> None:
        """
        One rate less does.
        """
        self._holds -= 1
        if not self._holds:
            self.brake.release()


class Place:
    """
    A flow's place in the queue of a rate.

    @ivar due: when what it has moved is paid for.
    @ivar waiting: whether it is in the queue.
    @ivar gone: whether the flow has ended.
    """

    __slots__ = ("due", "flow", "gone", "rate", "waiting")

    def __init__(self, flow: Flow, rate: Rate) -> None:
        self.flow = flow
        self.rate = rate
        self.due = 0.0
        self.waiting = False
        self.gone = False


class Rate:
    """
    So many bytes a second, for all flows together.

    What has moved is paid for with time: C{_due} is when all of it is. A flow that has
    moved a piece before its time is held until that is paid for, and goes to the end of
    the queue with the next one: flows take turns, piece by piece, and each event is the
    same little work however many flows there are. A flow that was silent may be one
    piece ahead, which those in the queue do not wait for, and those after it do.

    When the clock is set back, so is all that is due, as soon as something moves or
    comes.
    """

    __slots__ = (
        "_burst",
        "_clock",
        "_due",
        "_forget",
        "_last",
        "_members",
        "_price",
        "_queue",
        "_seconds",
        "_timer",
        "_waking",
    )

    def __init__(
        self,
        clock: IReactorTime,
        rate: float,
        burst: float,
        forget: Callable[[], None],
    ) -> None:
        """
        @param rate: bytes in a second.
        @param burst: for how many seconds what was not used may be used later.
        @param forget: called when there is no flow, and nothing left to pay.
        """
        self._clock = clock
        self._seconds = clock.seconds
        self._price = 1 / rate
        self._burst = burst
        self._forget = forget
        self._last = clock.seconds()
        self._due = self._last - burst
        self._queue: deque[Place] = deque()
        self._members = 0
        self._timer: IDelayedCall | None = None
        self._waking = False

    def join(self, place: Place) -> None:
        """
        Take a flow. It waits until what the others have moved is paid for: a stream
        for each few bytes would pass the rate otherwise.
        """
        self._members += 1
        now = self._seconds()
        if now < self._last:
            self._go_back(self._last - now)
        self._last = now
        if self._due > now:
            self._hold(place)
            self._wait()

    def leave(self, place: Place) -> None:
        """
        Let a flow go.
        """
        self._members -= 1
        place.gone = True
        if not self._members:
            # Who comes next still has to wait for what is not paid for.
            self._queue.clear()
            self._wait()

    def charge(self, place: Place, count: int) -> None:
        """
        A flow has moved bytes.
        """
        now = self._seconds()
        if now < self._last:
            self._go_back(self._last - now)
        self._last = now
        due = self._due
        if due < now - self._burst:
            due = now - self._burst
        self._due = due = due + count * self._price
        if due <= now:
            return
        if place.waiting:
            # What was on its way when it was held.
            place.due = due
        else:
            self._hold(place)
        if self._timer is None:
            self._wait()

    def stop(self) -> None:
        """
        Hold nobody any more.
        """
        self._stop_timer()
        queue, self._queue = self._queue, deque()
        for place in queue:
            self._release(place)

    def _hold(self, place: Place) -> None:
        place.due = self._due
        place.waiting = True
        self._queue.append(place)
        place.flow.hold()

    def _release(self, place: Place) -> None:
        if not place.gone:
            place.waiting = False
            place.flow.release()

    def _go_back(self, seconds: float) -> None:
        """
        The clock was set back.
        """
        self._due -= seconds
        for place in self._queue:
            place.due -= seconds
        self._wait()

    def _wait(self) -> None:
        """
        Come back when the first of the queue may go on.
        """
        if self._waking:
            return
        self._stop_timer()
        if self._queue:
            when = self._queue[0].due
        elif not self._members:
            when = self._due
        else:
            return
        left = max(0, when - self._seconds())
        self._timer = self._clock.callLater(left, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if not self._members:
            self._forget()
            return
        now = self._seconds()
        queue = self._queue
        # Bytes may move from inside a release, and put it back into the queue.
        self._waking = True
        while queue and queue[0].due <= now:
            self._release(queue.popleft())
        self._waking = False
        self._wait()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
