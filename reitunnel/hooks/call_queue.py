"""
Has calls made in threads: notifications from a bounded queue, decisions at once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable
from functools import partial
from time import perf_counter
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from reitunnel.errors import HookTimeout, Refused
from reitunnel.hooks.calls import unawaited
from reitunnel.hooks.lanes import MOST_CALLS, Call, Lanes, Work, do_work
from reitunnel.hooks.threads import Threads
from reitunnel.interfaces import IDataHook, IHookHost

PAUSE: Final = 0.01
"""
How long calls are collected before a thread is woken for them, in seconds: to wake one
for each would cost the reactor more than the calls.
"""

STUCK: Final = 30.0
"""How long a call may take in a thread before the hook is said to hang, in seconds."""

_DATA: Final = frozenset(IDataHook.names())


class Question:
    """
    A decision that is made in a thread.

    @ivar answer: fires with what the hook returned. If it is cancelled the hook is not
        asked, or its answer does not count.
    @ivar when_abandoned: called with this question if it is cancelled.
    """

    def __init__(
        self,
        event: str,
        method: Callable[..., object],
        subject: object,
        allowed_late: Callable[[], None],
    ) -> None:
        """
        @param allowed_late: called if the hook allows after it was given up.
        """
        self.event = event
        self.answer: Deferred[Any] = Deferred(self._given_up)
        self.abandoned = False
        self.when_abandoned: Callable[[Question], object] = lambda question: None
        self._method = method
        self._subject = subject
        self._allowed_late = allowed_late

    def _given_up(self, answer: Deferred[Any]) -> None:
        self.abandoned = True
        self.when_abandoned(self)

    def ask(self) -> tuple[object, BaseException | None, float]:
        """
        Ask, in a thread.

        @return: what was returned or raised, and how long it took.
        """
        begun = perf_counter()
        returned, raised = None, None
        try:
            returned = self._method(self._subject)
        except BaseException as error:
            # Whatever it is, it must not end the thread.
            raised = error
        return returned, raised, perf_counter() - begun

    def settle(self, returned: object, raised: BaseException | None) -> None:
        """
        Give the answer.
        """
        if raised is None:
            raised = unawaited(self.event, returned)
        if self.abandoned:
            if raised is None and returned is None:
                self._allowed_late()
        elif raised is not None:
            self.answer.errback(raised)
        else:
            self.answer.callback(returned)


class CallQueue:
    """
    Makes the calls of one hook.

    Calls of one lane are made in order, one at a time. With one worker there is one
    lane. Of data and error events, and of closes, so many may wait each, so that a
    flood of data costs no close; what is above that is dropped and reported. A close
    that is owed for an open is never dropped.

    @ivar used: whether there can be any calls.
    @ivar decides: whether there can be decisions.
    """

    def __init__(self, capacity: int, workers: int) -> None:
        """
        @param capacity: how many calls may wait.
        @param workers: how many threads may run.
        """
        self.capacity = capacity
        self.workers = workers
        self.used = False
        self.decides = False
        self._host: IHookHost | None = None
        self._make_threads: Callable[[], Threads] | None = None
        self._threads: Threads | None = None
        self._lanes = Lanes()
        self._last: list[Call] = []
        # In order. Those that are given up are taken out from anywhere.
        self._questions: dict[Question, None] = {}
        self._frequent = 0
        self._rare = 0
        self._busy = 0
        self._since: dict[int, tuple[Work, float]] = {}
        self._timer: IDelayedCall | None = None
        self._drains: list[Deferred[None]] = []

    def attach(self, host: IHookHost, make_threads: Callable[[], Threads]) -> None:
        """
        Be ready for calls.

        @param host: told of failures and drops.
        @param make_threads: makes the threads, when there is something to do.
        """
        self._host = host
        self._make_threads = make_threads
        if self._lanes:
            self._begin_soon()

    def put(self, lane: object, call: Call, *, owed: bool = False) -> None:
        """
        Put a call at the end.

        @param lane: in the order of which other calls.
        @param owed: whether it must not be dropped.
        """
        event = call[0]
        if event in _DATA or event == "on_error":
            if self._frequent >= self.capacity:
                self._drop(event, 1)
                return
            self._frequent += 1
        else:
            if self._rare >= self.capacity and not owed:
                self._drop(event, 1)
                return
            self._rare += 1
        # By id(): it may not be hashable, and the call keeps it alive.
        self._lanes.put(None if self.workers == 1 else id(lane), call)
        if self._timer is None:
            self._begin_soon()

    def put_last(self, call: Call) -> None:
        """
        Put a call after all that wait, in whatever lane.
        """
        self._rare += 1
        self._last.append(call)
        if self._timer is None:
            self._begin_soon()

    def ask(self, question: Question) -> Deferred[Any]:
        """
        Ask for a decision, before all that wait.
        """
        self._questions[question] = None
        question.when_abandoned = self._forget
        self._begin()
        return question.answer

    def drain(self) -> Deferred[None]:
        """
        Make all calls that wait, without a pause.

        @return: fires when that is done, and the threads end. Cancelling it gives up
            what is left.
        """
        drained: Deferred[None] = Deferred(self.give_up)
        self._drains.append(drained)
        self._begin()
        self._look_whether_idle()
        return drained

    def _forget(self, question: Question) -> None:
        self._questions.pop(question, None)
        self._look_whether_idle()

    def _drop(self, event: str, count: int) -> None:
        if self._host is not None:
            self._host.dropped(event, count)

    def _begin_soon(self) -> None:
        if self._drains:
            self._begin()
        elif self._host is not None:
            self._timer = self._host.reactor.callLater(PAUSE, self._pause_over)

    def _pause_over(self) -> None:
        self._timer = None
        self._begin()

    def _begin(self) -> None:
        """
        Give the threads what they can take.
        """
        self._look_whether_stuck()
        questions = self._questions
        while questions and self._busy < self.workers:
            question = next(iter(questions))
            del questions[question]
            self._run(question.ask, partial(self._answered, question))
        # One is kept for decisions, if there can be any.
        most = self.workers - 1 if self.decides and self.workers > 1 else self.workers
        while self._lanes.ready and self._busy < most:
            self._work_on(*self._lanes.take())
        if self._last and not self._lanes and not self._busy:
            for call in self._last:
                self._lanes.put(None, call)
            self._last.clear()
            self._work_on(*self._lanes.take())

    def _look_whether_stuck(self) -> None:
        """
        Say, once, which notification has not come back. Decisions have a time-out.
        """
        if self._since and self._host is not None:
            work, since = next(iter(self._since.values()))
            seconds = self._host.reactor.seconds() - since
            if seconds > STUCK and work.event:
                del self._since[id(work)]
                message = (
                    f"hook {self._host.name} has been in {work.event} for "
                    f"{seconds:.0f} seconds, in a thread"
                )
                self._host.failed(work.event, HookTimeout(message))

    def _work_on(self, key: Hashable, lane: deque[Call]) -> None:
        assert self._host is not None
        questions = self._questions
        work = Work()
        self._since[id(work)] = (work, self._host.reactor.seconds())
        self._run(
            lambda: do_work(work, lane, lambda: bool(questions), perf_counter),
            partial(self._worked, key, lane),
        )

    def _run(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        if self._threads is None:
            assert self._make_threads is not None, "the hook is not registered"
            self._threads = self._make_threads()
        threads = self._threads

        def over(result: Any) -> None:
            if threads is self._threads:
                self._busy -= 1
            done(result)
            self._look_whether_idle()

        self._busy += 1
        threads.run(job, over)

    def _answered(
        self,
        question: Question,
        result: tuple[object, BaseException | None, float],
    ) -> None:
        returned, raised, seconds = result
        host = self._host
        assert host is not None
        host.worked(question.event, seconds)
        if question.abandoned and not isinstance(raised, Refused | None):
            host.failed(question.event, raised)
        question.settle(returned, raised)
        self._begin()

    def _worked(self, key: Hashable, lane: deque[Call], work: Work) -> None:
        host = self._host
        assert host is not None
        self._since.pop(id(work), None)
        for event, seconds in work.seconds.items():
            host.worked(event, seconds)
        for event, error in work.failures:
            host.failed(event, error)
        if not self._lanes.has(key, lane):
            # It was given up.
            return
        self._count_off(work.calls)
        others = self._lanes.ready
        waiting = self._lanes.give_back(key)
        if others or waiting >= MOST_CALLS or self._drains or self._questions:
            self._begin()
        elif self._timer is None and (waiting or self._last):
            self._begin_soon()

    def _count_off(self, calls: Counter[str]) -> None:
        for event, count in calls.items():
            if event in _DATA or event == "on_error":
                self._frequent -= count
            else:
                self._rare -= count

    def _look_whether_idle(self) -> None:
        if (
            self._drains
            and not self._busy
            and not self._lanes
            and not self._questions
            and not self._last
        ):
            self._stop_threads()
            drains, self._drains = self._drains, []
            for drained in drains:
                drained.callback(None)

    def give_up(self, cancelled: Deferred[None] | None = None) -> None:
        """
        Forget what waits. What runs ends when it will.

        @param cancelled: what fails by itself.
        """
        lost = self._lanes.clear()
        lost.update(event for event, _, _ in self._last)
        self._last.clear()
        for event, count in lost.items():
            self._drop(event, count)
        self._frequent = self._rare = self._busy = 0
        self._since.clear()
        questions = tuple(self._questions)
        self._questions.clear()
        self._stop_threads()
        drains, self._drains = self._drains, []
        for waiting in (*(question.answer for question in questions), *drains):
            if waiting is not cancelled:
                waiting.cancel()

    def _stop_threads(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._threads is not None:
            threads, self._threads = self._threads, None
            threads.stop()
