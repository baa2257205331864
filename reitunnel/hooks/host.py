"""
Whom a registered hook reports to.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.hooks.reports import FrequentDrops, FrequentFailures, Reports
from reitunnel.hooks.statistics import Tallies
from reitunnel.interfaces import IDataHook, IHookHost

_FREQUENT = frozenset(IDataHook.names())


@implementer(IHookHost)
class HookHost:
    """
    Takes the reports of one registered hook.

    @ivar name: the hook's name.
    @ivar reactor: the manager's clock.
    """

    def __init__(self, reactor: Any, tallies: Tallies, reports: Reports) -> None:
        """
        @param tallies: counts what the hook does.
        @param reports: where failures are reported.
        """
        self.name = tallies.hook
        self.reactor = reactor
        self._tallies = tallies
        self._reports = reports
        self._failures: dict[str, FrequentFailures] = {}
        self._drops: dict[str, FrequentDrops] = {}

    def failed(self, event: str, error: BaseException) -> None:
        """
        See L{IHookHost.failed}.
        """
        tally = self._tallies.of(event)
        if event == "on_error":
            # To tell of it would come back here.
            self._reports.log_failed(tally, Failure(error))
            return
        if event not in _FREQUENT:
            self._reports.failed(tally, Failure(error))
            return
        failures = self._failures.get(event)
        if failures is None:
            failures = FrequentFailures(tally, self.reactor, self._reports)
            self._failures[event] = failures
        failures.failed(error)

    def dropped(self, event: str, count: int) -> None:
        """
        See L{IHookHost.dropped}.
        """
        drops = self._drops.get(event)
        if drops is None:
            drops = FrequentDrops(self._tallies.of(event), self.reactor)
            self._drops[event] = drops
        drops.dropped(count)

    def worked(self, event: str, seconds: float) -> None:
        """
        See L{IHookHost.worked}.
        """
        self._tallies.of(event).background += seconds

    def report_rest(self) -> None:
        """
        Report what has only been counted so far.
        """
        self._reports.log_rest(self._tallies)
        for failures in tuple(self._failures.values()):
            failures.report_rest()
        for drops in tuple(self._drops.values()):
            drops.report_rest()
