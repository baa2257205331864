"""
The calls in the hot path: a data hook that fails must cost its report once, and
never the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from reitunnel.hooks.calls import Notification, fault, misuse
from reitunnel.hooks.reports import FrequentFailures, Reports
from reitunnel.interfaces import ITunnel

DataSink = Callable[[ITunnel, int], None]
"""Takes a tunnel and a count of bytes; never raises."""

TIMED_ONE_IN: Final = 1021
"""
Of how many calls one is timed. It is prime, so that it falls in step with no hook that
does more in every hundredth call, say.
"""

SLOW: Final = 0.0001
"""What a data hook may take, in seconds. Others use the machine too, so that one call
which took longer means nothing."""

SLOW_IN_A_ROW: Final = 3
"""How many calls in a row must take longer before the hook is called slow."""


class DataCall:
    """
    One data hook's method.

    @ivar sink: calls the method, and never raises.
    @ivar failures: the method's failures.
    """

    def __init__(
        self, notification: Notification, clock: IReactorTime, reports: Reports
    ) -> None:
        """
        @param notification: the method.
        @param clock: tells when the next report is due.
        @param reports: told of failures, and of a method that is slow.
        """
        self._notification = notification
        self._reports = reports
        self._slow_in_a_row = 0
        self.failures = FrequentFailures(notification.tally, clock, reports)
        self.sink = self._make_sink()

    def _make_sink(self) -> DataSink:
        # A closure, because it is called for each chunk: its names are cells
        # and not attributes, and the path without a failure has no other call.
        method = self._notification.method
        tally = self._notification.tally
        failed = self.failures.failed
        returned_value = self._returned_value
        next_timed = self._next_timed
        timer = self._reports.timer
        counted = 0
        every = left = 1

        def sink(tunnel: ITunnel, count: int) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                timed(tunnel, count)
                return
            try:
                returned = method(tunnel, count)
            except BaseException as error:
                failed(fault(error))
            else:
                if returned is not None:
                    returned_value(returned)

        def timed(tunnel: ITunnel, count: int) -> None:
            nonlocal counted, every, left
            # Set before the call, which may come back here.
            weight, every, left = every, TIMED_ONE_IN, TIMED_ONE_IN
            counted += weight
            begun = timer()
            try:
                returned = method(tunnel, count)
            except BaseException as error:
                failed(fault(error))
            else:
                if returned is not None:
                    returned_value(returned)
            seconds = timer() - begun
            tally.seconds += seconds * weight
            again = next_timed(seconds)
            if again < left:
                every += again - left
                left = again

        tally.counter = lambda: counted + every - left
        return sink

    def _next_timed(self, seconds: float) -> int:
        """
        A call has been timed.

        @return: after how many calls to time again.
        """
        tally = self._notification.tally
        tally.longest = max(tally.longest, seconds)
        if seconds <= SLOW:
            self._slow_in_a_row = 0
            return TIMED_ONE_IN
        self._slow_in_a_row += 1
        if seconds > self._reports.slow or self._slow_in_a_row >= SLOW_IN_A_ROW:
            self._reports.warn_slow(tally, seconds)
        return TIMED_ONE_IN if tally.warned else 1

    def _returned_value(self, returned: object) -> None:
        error = misuse(self._notification.event, returned)
        if error is not None:
            self.failures.failed(error)


def join_sinks(calls: Sequence[DataCall]) -> DataSink | None:
    """
    Make one sink of many.

    @return: what calls them all in order; L{None} if there is none to call.
    """
    if len(calls) <= 1:
        return calls[0].sink if calls else None
    sinks = tuple(call.sink for call in calls)

    def every_sink(tunnel: ITunnel, count: int) -> None:
        for sink in sinks:
            sink(tunnel, count)

    return every_sink
