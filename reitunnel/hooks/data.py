"""
The calls in the hot path: a data hook that fails must cost its report once, and
never the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from reitunnel.hooks.calls import Notification, misuse
from reitunnel.interfaces import ITunnel

DataSink = Callable[[ITunnel, int], None]
"""Takes a tunnel and a count of bytes; never raises."""

REPORT_INTERVAL = 60.0
"""How long a failing data hook is only counted between two reports, in seconds."""

Report = Callable[[Notification, BaseException, int], None]
"""
Takes the call that failed, its newest error, and how often it has failed since
the last report; 0 for the very first failure.
"""


class DataCall:
    """
    One data hook's method, and the count of its failures.

    @ivar sink: calls the method, and never raises.
    """

    def __init__(
        self, notification: Notification, clock: IReactorTime, report: Report
    ) -> None:
        """
        @param notification: the method.
        @param clock: tells when the next report is due.
        @param report: told of failures, the first at once and then at most
            every L{REPORT_INTERVAL}.
        """
        self._notification = notification
        self._clock = clock
        self._report = report
        self._due: float | None = None
        self._unreported = 0
        self._newest: BaseException | None = None
        self.sink = self._make_sink()

    def _make_sink(self) -> DataSink:
        # A closure, because it is called for each chunk: its names are cells
        # and not attributes, and the path without a failure has no other call.
        method = self._notification.method
        failed = self._failed
        returned_value = self._returned_value

        def sink(tunnel: ITunnel, count: int) -> None:
            try:
                returned = method(tunnel, count)
            except Exception as error:
                failed(error)
            else:
                if returned is not None:
                    returned_value(returned)

        return sink

    def report_rest(self) -> None:
        """
        Report the failures that have only been counted so far.
        """
        if self._newest is not None:
            count, error = self._unreported, self._newest
            self._unreported, self._newest = 0, None
            self._report(self._notification, error, count)

    def _returned_value(self, returned: object) -> None:
        error = misuse(self._notification.event, returned)
        if error is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        now = self._clock.seconds()
        if self._due is None:
            self._due = now + REPORT_INTERVAL
            self._report(self._notification, error, 0)
            return
        self._unreported += 1
        # The traceback would keep the frames, and so the tunnel, in memory.
        self._newest = error.with_traceback(None)
        if now >= self._due:
            self._due = now + REPORT_INTERVAL
            self.report_rest()


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
