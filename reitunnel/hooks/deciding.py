"""
Asks hooks for one decision after the other, and tells those that allowed it the close.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from reitunnel.errors import Code, Refused, Undecided
from reitunnel.hooks.calls import Opened, PairedCalls, fault, misuse
from reitunnel.hooks.decisions import (
    DecisionWait,
    Strategy,
    code_of_end,
    deferred_from,
    not_none,
    raised_by,
    refusal,
)
from reitunnel.hooks.reports import Reports, Timed
from reitunnel.hooks.statistics import Tally
from reitunnel.interfaces import IBackgroundHook

GIVEN_UP: Final = "given up before it was open"
"""The reason of a close with C{ABORTED}: what was opened never came to be."""


class Deciding:
    """
    Asks and tells for one manager.

    @ivar timeout: how long each hook may take for a decision, in seconds.
    """

    def __init__(self, clock: IReactorTime, timeout: float, reports: Reports) -> None:
        """
        @param clock: measures the time-outs.
        """
        self._clock = clock
        self.timeout = timeout
        self._reports = reports

    async def decide(
        self,
        asked: Opened,
        subject: object,
        opens: str,
        closes: str,
        strategy: Strategy,
    ) -> Opened:
        """
        Ask for a decision.

        @param asked: the hooks to ask, in order.
        @param opens: the method that is asked.
        @param closes: the method of the close that answers it.
        @return: C{asked}.
        @raise Refused: if one refuses.
        """
        allowed: list[PairedCalls] = []
        errors: list[BaseException] = []
        try:
            for calls in asked:
                failure = await self._ask(calls, opens, subject)
                if failure is None:
                    allowed.append(calls)
                    continue
                errors.append(raised_by(failure))
                if failure.check(Refused) and not failure.check(Undecided):
                    calls.opens_tally.refusals += 1
                else:
                    self._reports.failed(calls.opens_tally, failure)
                if strategy is Strategy.STOP_ON_ERROR:
                    break
        except BaseException:
            self._take_back(allowed, closes, subject, Code.ABORTED, GIVEN_UP)
            raise
        if not errors:
            return asked
        refused = refusal(opens, errors, strategy)
        self._take_back(allowed, closes, subject, code_of_end(refused), str(refused))
        raise refused

    def notify(
        self, owed: Sequence[PairedCalls], closes: str, *arguments: object
    ) -> None:
        """
        Tell a close.

        @param owed: the hooks to tell.
        @param closes: the method.
        """
        reports = self._reports
        for calls in owed:
            failure = None
            begun = reports.timer()
            try:
                mistake = misuse(closes, calls.closes(*arguments))
            except BaseException as raised:
                failure = Failure(fault(raised))
            else:
                failure = None if mistake is None else Failure(mistake)
            reports.took(calls.closes_tally, begun)
            if failure is not None:
                reports.failed(calls.closes_tally, failure)

    async def finish(self, hook: IBackgroundHook, tally: Tally) -> None:
        """
        Have a hook finish, for as long as it may take for a decision. What goes wrong
        is reported.
        """
        reports = self._reports
        begun = reports.timer()
        try:
            returned = hook.finish()
            timed = Timed(reports, tally)
            pending = None if returned is None else deferred_from(returned, timed)
        except BaseException as raised:
            returned, pending = None, fail(Failure(fault(raised)))
        reports.took(tally, begun)
        if pending is None:
            return
        wait = DecisionWait(
            # What it comes to is of no matter.
            pending.addCallback(lambda _: None),
            running=lambda: bool(getattr(returned, "cr_running", False)),
            clock=self._clock,
            timeout=self.timeout,
            hook=tally.hook,
            event=tally.event,
            late=lambda failure: reports.failed(tally, failure),
            verb="",
        )
        await wait.over
        if wait.failure is not None:
            reports.failed(tally, wait.failure)

    async def _ask(
        self, calls: PairedCalls, event: str, subject: object
    ) -> Failure | None:
        # What a hook raises is returned: what is raised here is the caller's
        # own cancellation, and nothing a hook does can be taken for that.
        reports, tally = self._reports, calls.opens_tally
        begun = reports.timer()
        try:
            returned = calls.opens(subject)
            timed = Timed(reports, tally)
            pending = None if returned is None else deferred_from(returned, timed)
        except BaseException as raised:
            return Failure(fault(raised))
        finally:
            reports.took(tally, begun)
        if returned is None:
            return None
        if pending is None:
            return not_none(event, returned)
        timeout = self.timeout
        wait = DecisionWait(
            pending,
            running=lambda: bool(getattr(returned, "cr_running", False)),
            clock=self._clock,
            timeout=timeout,
            hook=calls.hook,
            event=event,
            late=lambda failure: reports.failed(tally, failure),
        )
        begun = self._clock.seconds()
        try:
            await wait.over
        finally:
            reports.waited(tally, self._clock.seconds() - begun, timeout)
        return wait.failure

    def _take_back(
        self,
        allowed: Sequence[PairedCalls],
        closes: str,
        subject: object,
        code: Code,
        reason: str,
    ) -> None:
        # The stop of a server is the one close that has no code and no reason.
        if closes == "on_server_stop":
            self.notify(allowed, closes, subject)
        else:
            self.notify(allowed, closes, subject, code, reason)
