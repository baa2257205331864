"""
Tests for the one rule that every bookkeeping hook relies on: one close for each
open that it allowed, and none for any other.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, Refused
from reitunnel.hooks import HookManager, Opened, Strategy
from reitunnel.interfaces import Decision
from tests.captured import captured_logs
from tests.hooks.fakes import FakeStream, RecordingHook


class CancelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.hooks = HookManager(self.clock)
        self.calls: list[tuple[object, ...]] = []
        self.stream = FakeStream()
        self.pending: Deferred[None] = Deferred()
        self.hooks.register(RecordingHook("first", self.calls))
        self.hooks.register(RecordingHook("second", self.calls, lambda: self.pending))
        self.hooks.register(RecordingHook("third", self.calls))

    def decide(self) -> Deferred[Opened]:
        return Deferred.fromCoroutine(self.hooks.decide_stream_open(self.stream))

    def check_cancelled(self) -> None:
        deferred = self.decide()
        deferred.cancel()
        self.failureResultOf(deferred, CancelledError)
        self.assertEqual(
            [
                ("first", "on_stream_open", self.stream),
                ("second", "on_stream_open", self.stream),
                (
                    "first",
                    "on_stream_close",
                    self.stream,
                    Code.ABORTED,
                    "given up before it was open",
                ),
            ],
            self.calls,
        )
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_cancelled(self) -> None:
        self.check_cancelled()

    def test_hook_is_cancelled(self) -> None:
        cancelled: list[Deferred[None]] = []
        self.pending = Deferred(cancelled.append)
        self.check_cancelled()
        self.assertEqual([self.pending], cancelled)

    def test_hook_allows_when_it_is_cancelled(self) -> None:
        self.pending = Deferred(lambda deferred: deferred.callback(None))
        self.check_cancelled()

    def test_hook_refuses_when_it_is_cancelled(self) -> None:
        self.pending = Deferred(lambda deferred: deferred.errback(Refused("no")))
        self.check_cancelled()


class ChangeTests(SynchronousTestCase):
    """
    Hooks that come and go while something is open.
    """

    def setUp(self) -> None:
        self.hooks = HookManager(Clock())
        self.stream = FakeStream()

    def decide(self) -> Deferred[Opened]:
        return Deferred.fromCoroutine(self.hooks.decide_stream_open(self.stream))

    def test_registered_after_the_open(self) -> None:
        late = RecordingHook()
        opened = self.successResultOf(self.decide())
        self.hooks.register(late)
        self.hooks.notify_stream_close(opened, self.stream, Code.NONE, "")
        self.assertEqual([], late.calls)

    def test_registered_during_the_open(self) -> None:
        wait: Deferred[None] = Deferred()
        early, late = RecordingHook(decide=lambda: wait), RecordingHook()
        self.hooks.register(early)
        deferred = self.decide()
        self.hooks.register(late)
        wait.callback(None)
        opened = self.successResultOf(deferred)
        self.hooks.notify_stream_close(opened, self.stream, Code.NONE, "")
        self.assertEqual(2, len(early.calls))
        self.assertEqual([], late.calls)

    def test_unregistered_after_the_open(self) -> None:
        hook = RecordingHook("it")
        self.hooks.register(hook)
        opened = self.successResultOf(self.decide())
        self.hooks.unregister(hook)
        self.hooks.notify_stream_close(opened, self.stream, Code.CLOSED, "end")
        self.assertEqual(
            [
                ("it", "on_stream_open", self.stream),
                ("it", "on_stream_close", self.stream, Code.CLOSED, "end"),
            ],
            hook.calls,
        )

    def test_unregistered_during_the_open(self) -> None:
        wait: Deferred[None] = Deferred()
        first, second = RecordingHook(), RecordingHook(decide=lambda: wait)
        self.hooks.register(first)
        self.hooks.register(second)
        deferred = self.decide()
        self.hooks.unregister(first)
        wait.errback(Refused("no"))
        self.failureResultOf(deferred, Refused)
        self.assertEqual(
            ["on_stream_open", "on_stream_close"], [call[1] for call in first.calls]
        )


ANSWERS = st.sampled_from(
    ["allow", "refuse", "break", "allow later", "refuse later", "never"]
)


class LedgerTests(SynchronousTestCase):
    @given(
        st.lists(ANSWERS, max_size=6),
        st.sampled_from(Strategy),
        st.none() | st.integers(0, 12),
    )
    def test_one_close_for_each_allowed_open(
        self, answers: list[str], strategy: Strategy, gives_up_at: int | None
    ) -> None:
        clock = Clock()
        manager = HookManager(clock, strategy=strategy, timeout=2.5)
        deciders = [Decider(answer, clock) for answer in answers]
        hooks = [RecordingHook(decide=decider) for decider in deciders]
        for hook in hooks:
            manager.register(hook)
        stream = FakeStream()
        with captured_logs() as events:
            deferred = Deferred.fromCoroutine(manager.decide_stream_open(stream))
            outcome: list[Opened | None] = []
            deferred.addCallbacks(outcome.append, lambda failure: outcome.append(None))
            for second in range(20):
                if second == gives_up_at:
                    deferred.cancel()
                clock.advance(1)
        for event in events:
            if "log_failure" in event:
                event["log_failure"].trap(BrokenHook)
        self.flushLoggedErrors(BrokenHook)

        [opened] = outcome
        self.assertEqual([], clock.getDelayedCalls())
        if opened is not None:
            for hook in hooks:
                self.assertEqual(["on_stream_open"], events_of(hook))
            manager.notify_stream_close(opened, stream, Code.NONE, "")
        check_told(self, hooks, deciders)
        sound = all("allow" in answer for answer in answers)
        if sound and gives_up_at is None:
            self.assertIsNotNone(opened)
        elif not sound:
            self.assertIsNone(opened)


class BrokenHook(Exception):
    """
    A defect in a hook.
    """


class Decider:
    """
    Makes one kind of decision, a second later if it is a later one.

    @ivar allowed: how often it has allowed.
    """

    def __init__(self, answer: str, clock: Clock) -> None:
        self.answer = answer
        self.clock = clock
        self.allowed = 0

    def __call__(self) -> Decision:
        if self.answer == "refuse":
            raise Refused("no")
        if self.answer == "break":
            raise BrokenHook
        if self.answer == "allow":
            self.allowed += 1
            return None
        if self.answer == "never":
            return Deferred()
        deferred: Deferred[None] = deferLater(self.clock, 1)
        return deferred.addCallback(self._answer_later)

    def _answer_later(self, result: None) -> None:
        if self.answer == "refuse later":
            raise Refused("no")
        self.allowed += 1


def check_told(
    case: SynchronousTestCase,
    hooks: Sequence[RecordingHook],
    deciders: Sequence[Decider],
) -> None:
    """
    Each hook was told one close for the open that it allowed, and no other.
    """
    for hook, decider in zip(hooks, deciders, strict=True):
        told = events_of(hook)
        if decider.allowed:
            case.assertEqual(["on_stream_open", "on_stream_close"], told)
        else:
            case.assertIn(told, [[], ["on_stream_open"]])


def events_of(hook: RecordingHook) -> list[object]:
    """
    What a hook was told, without failures.
    """
    return [call[1] for call in hook.calls if call[1] != "on_error"]
