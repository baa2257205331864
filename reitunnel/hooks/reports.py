"""
What is said of hooks that fail, are slow, or lose calls: in the log, to the hooks for
errors, and in the counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.errors import AuditTrailError, HookTimeout, QuotaFileError, Undecided
from reitunnel.hooks.calls import Notification, fault, misuse
from reitunnel.hooks.decisions import raised_by
from reitunnel.hooks.statistics import Logged, Tallies, Tally

REPORT_INTERVAL: Final = 60.0
"""How long what happens often is only counted between two reports, in seconds."""

CallWatcher = Callable[[str, str, float, float], object]
"""Told of a call: the hook, the event, when it began, and the seconds that it took."""

_log = Logger()


class Reports:
    """
    Reports for one manager.

    @ivar errors: the hooks that are told of errors.
    @ivar slow: what a call may take before its hook is called slow, in seconds.
    @ivar watcher: told of each call, while somebody traces.
    """

    def __init__(self, timer: Callable[[], float], slow: float) -> None:
        """
        @param timer: gives a time in seconds, to measure calls with.
        """
        self.errors: tuple[Notification, ...] = ()
        self.timer = timer
        self.slow = slow
        self.watcher: CallWatcher | None = None

    def failed(self, tally: Tally, failure: Failure) -> None:
        """
        A hook has failed: count it, log it and tell the others.
        """
        tally.failures += 1
        self.tell_failed(tally, failure)

    def log_failed(self, tally: Tally, failure: Failure) -> None:
        """
        A hook has failed: count it and log it, and tell nobody.
        """
        tally.failures += 1
        self._log_failure(tally, failure)

    def tell_failed(self, tally: Tally, failure: Failure) -> None:
        """
        Log a failure that is counted already, and tell the others.
        """
        self._log_failure(tally, failure)
        self.notify_error(
            raised_by(failure), f"hook {tally.hook} failed in {tally.event}"
        )

    def tell_failed_more(self, tally: Tally, error: BaseException, count: int) -> None:
        """
        Say that a hook has gone on failing.

        @param error: the newest error.
        @param count: how often, since that was last said.
        """
        _log.error(
            "hook {hook} failed {count} times more in {event}, the last: {error!r}",
            hook=tally.hook,
            count=count,
            event=tally.event,
            error=error,
        )
        self.notify_error(
            error, f"hook {tally.hook} failed {count} times more in {tally.event}"
        )

    def notify_error(self, error: BaseException, context: str) -> None:
        """
        Tell the hooks of a failure.
        """
        for call in self.errors:
            # A failure here is logged only: to report it would come back here.
            failure = None
            begun = self.timer()
            try:
                mistake = misuse(call.event, call.method(error, context))
            except BaseException as raised:
                failure = Failure(fault(raised))
            else:
                failure = None if mistake is None else Failure(mistake)
            self.took(call.tally, begun)
            if failure is not None:
                self.log_failed(call.tally, failure)

    def took(self, tally: Tally, begun: float) -> None:
        """
        A call is over: count it, and warn if it was slow.

        @param begun: what the timer said before the call.
        """
        tally.calls += 1
        self.kept(tally, begun)

    def kept(self, tally: Tally, begun: float) -> None:
        """
        A hook has kept the reactor, in a call or in what it does later for the same:
        warn if that was slow.

        @param begun: what the timer said before.
        """
        seconds = self.timer() - begun
        tally.seconds += seconds
        if self.watcher is not None:
            self.watcher(tally.hook, tally.event, begun, seconds)
        if seconds > tally.longest:
            tally.longest = seconds
        if seconds > self.slow:
            self.warn_slow(tally, seconds)

    def waited(self, tally: Tally, seconds: float, timeout: float) -> None:
        """
        A decision has been waited for: count that, and warn, once, if it has nearly
        been too long.

        @param timeout: after how long it would be, in seconds.
        """
        tally.waited += seconds
        if timeout / 2 < seconds < timeout and not tally.warned_late:
            tally.warned_late = True
            _log.warn(
                "hook {hook} is slow: it took {seconds:.3g} s for {event}; after "
                "{timeout:g} s that is a refusal",
                hook=tally.hook,
                event=tally.event,
                seconds=seconds,
                timeout=timeout,
            )

    def warn_slow(self, tally: Tally, seconds: float) -> None:
        """
        Say that a hook is slow, unless that was said.
        """
        if not tally.warned:
            tally.warned = True
            _log.warn(
                "hook {hook} is slow: {event} kept the reactor for {milliseconds} ms",
                hook=tally.hook,
                event=tally.event,
                milliseconds=f"{seconds * 1000:.3g}",
                seconds=seconds,
            )

    def log_rest(self, tallies: Tallies) -> None:
        """
        Log the failures of a hook that have only been counted so far.
        """
        for tally in tallies:
            for kind, known in tally.logged.items():
                self._log_unlogged(tally, kind, known)

    def _is_due(self, tally: Tally, kind: type) -> bool:
        """
        Whether a failure is to be logged. A hook may fail with each visitor: each kind
        of failure is logged once, and then no more than once in a while.
        """
        now = self.timer()
        known = tally.logged.get(kind)
        if known is None:
            tally.logged[kind] = Logged(now + REPORT_INTERVAL)
            return True
        if now < known.until:
            known.unlogged += 1
            return False
        known.until = now + REPORT_INTERVAL
        self._log_unlogged(tally, kind, known)
        return True

    def _log_unlogged(self, tally: Tally, kind: type, known: Logged) -> None:
        count, known.unlogged = known.unlogged, 0
        if count:
            _log.error(
                "hook {hook} failed {count} times more in {event} with {kind}",
                hook=tally.hook,
                count=count,
                event=tally.event,
                kind=kind.__name__,
            )

    def _log_failure(self, tally: Tally, failure: Failure) -> None:
        if failure.check(Undecided) is not None:
            # The hook says why, and need not say so each time.
            return
        # Of their files, hooks say each failure once themselves.
        of_files = failure.check(AuditTrailError, QuotaFileError) is not None
        if not of_files and not self._is_due(tally, type(failure.value)):
            return
        if of_files or failure.check(HookTimeout) is not None:
            # It is no defect, and its text says it all.
            _log.error(
                "{error}", error=failure.value, hook=tally.hook, event=tally.event
            )
        else:
            _log.failure(
                "hook {hook} failed in {event}",
                failure=failure,
                hook=tally.hook,
                event=tally.event,
            )


class Timed:
    """
    A context in which a hook keeps the reactor.
    """

    __slots__ = ("_begun", "_reports", "_tally")

    def __init__(self, reports: Reports, tally: Tally) -> None:
        self._reports = reports
        self._tally = tally
        self._begun = 0.0

    def __enter__(self) -> None:
        """
        It begins.
        """
        self._begun = self._reports.timer()

    def __exit__(self, *error: object) -> None:
        """
        It is over.
        """
        self._reports.kept(self._tally, self._begun)


class FrequentFailures:
    """
    The failures of one hook in an event that comes often. The first is reported at
    once; then they are counted, and reported at most every L{REPORT_INTERVAL}.
    """

    __slots__ = ("_clock", "_due", "_newest", "_reports", "_tally", "_unreported")

    def __init__(self, tally: Tally, clock: IReactorTime, reports: Reports) -> None:
        self._tally = tally
        self._clock = clock
        self._reports = reports
        self._due: float | None = None
        self._unreported = 0
        self._newest: BaseException | None = None

    def failed(self, error: BaseException) -> None:
        """
        Count one, and report if that is due.
        """
        self._tally.failures += 1
        now = self._clock.seconds()
        if self._due is None:
            self._due = now + REPORT_INTERVAL
            self._reports.tell_failed(self._tally, Failure(error))
            return
        self._unreported += 1
        # The traceback would keep the frames, and so the tunnel, in memory.
        self._newest = error.with_traceback(None)
        if now >= self._due:
            self._due = now + REPORT_INTERVAL
            self.report_rest()

    def report_rest(self) -> None:
        """
        Report what has only been counted so far.
        """
        if self._newest is not None:
            count, error = self._unreported, self._newest
            self._unreported, self._newest = 0, None
            self._reports.tell_failed_more(self._tally, error, count)


class FrequentDrops:
    """
    The calls that were not made of one hook in one event. The first is reported at
    once; then they are counted, and reported at most every L{REPORT_INTERVAL}.
    """

    __slots__ = ("_clock", "_due", "_tally", "_unreported")

    def __init__(self, tally: Tally, clock: IReactorTime) -> None:
        self._tally = tally
        self._clock = clock
        self._due: float | None = None
        self._unreported = 0

    def dropped(self, count: int) -> None:
        """
        Count some, and report if that is due.
        """
        self._tally.drops += count
        self._unreported += count
        now = self._clock.seconds()
        if self._due is None or now >= self._due:
            self._due = now + REPORT_INTERVAL
            self.report_rest()

    def report_rest(self) -> None:
        """
        Report what has only been counted so far.
        """
        count, self._unreported = self._unreported, 0
        if count:
            _log.warn(
                "hook {hook} lost {count} calls of {event}, {total} in all: more came "
                "than it could take",
                hook=self._tally.hook,
                event=self._tally.event,
                count=count,
                total=self._tally.drops,
            )
