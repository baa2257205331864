"""
Tests for hooks that are called in threads: their decisions, their end, and wrappers
around and inside.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, HookTimeout, InvalidHook, Refused
from reitunnel.hooks import (
    AggregatingHook,
    AsyncHook,
    BaseHook,
    CombinedHook,
    HookManager,
    SampledHook,
)
from reitunnel.interfaces import (
    IBackgroundHook,
    IDataHook,
    IErrorHook,
    IServerHook,
    IStream,
    IStreamHook,
    ITunnel,
)
from tests.hooks.fakes import (
    ErrorRecorder,
    FakeSession,
    FakeStream,
    FakeTunnel,
    RecordingHook,
)
from tests.hooks.queue_case import PAUSE, Broken, DataOnly, QueueTestCase
from tests.hooks.support import BackgroundHook, ReactorHook, SummingHook, open_tunnel


class ShapeTests(QueueTestCase):
    def test_interfaces(self) -> None:
        hook = AsyncHook(RecordingHook())
        for interface in (IServerHook, IStreamHook, IDataHook, IErrorHook):
            verifyObject(interface, hook)
        verifyObject(IBackgroundHook, hook)
        self.assertFalse(IDataHook.providedBy(AsyncHook(ErrorRecorder())))

    def test_bad_numbers(self) -> None:
        self.assertRaises(ValueError, AsyncHook, BaseHook(), 0)
        self.assertRaises(ValueError, AsyncHook, BaseHook(), 1, 0)

    def test_default_workers(self) -> None:
        self.assertGreaterEqual(AsyncHook(BaseHook()).workers, 2)

    def test_reactor_hook(self) -> None:
        """
        A hook that uses the reactor is not taken, however deep inside it is.
        """
        for hook in (
            ReactorHook(),
            SampledHook(ReactorHook(), 2),
            CombinedHook(BaseHook(), ReactorHook()),
        ):
            error = self.assertRaises(InvalidHook, AsyncHook, hook)
            self.assertIn("ReactorHook uses the reactor", str(error))

    def test_reactor_without_threads(self) -> None:
        error = self.assertRaises(
            InvalidHook, self.manager.register, AsyncHook(RecordingHook()), name="it"
        )
        self.assertEqual("it needs a reactor that has threads", str(error))
        self.assertEqual((self.errors,), self.manager.hooks)


class Deciding(BaseHook):
    """
    Decides as it is told, and counts what is open.
    """

    def __init__(self, decide: Callable[[], Any] = lambda: None) -> None:
        self.decide = decide
        self.open = 0
        self.told: list[object] = []

    def on_stream_open(self, stream: IStream) -> None:
        result = self.decide()
        self.open += 1
        self.told.append("open")
        return result  # type: ignore[no-any-return]  # nonsense is tested too

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        self.open -= 1
        self.told.append(code)

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.told.append(count)


class DecisionTests(QueueTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.stream = FakeStream(tunnel=self.tunnel)

    def test_allowed(self) -> None:
        hook = Deciding()
        self.register(hook)
        decision = self.decide(self.stream)
        self.assertNoResult(decision)
        self.assertEqual(0, hook.open)
        self.made[0].run_all()
        self.successResultOf(decision)
        self.assertEqual(1, hook.open)
        self.assertEqual(1, self.figures("on_stream_open").calls)

    def test_refused(self) -> None:
        def refuse() -> None:
            raise Refused("not now")

        self.register(Deciding(refuse))
        decision = self.decide(self.stream)
        self.made[0].run_all()
        failure = self.failureResultOf(decision, Refused)
        self.assertEqual("not now", str(failure.value))
        self.assertEqual(1, self.figures("on_stream_open").refusals)

    def test_nonsense(self) -> None:
        async def later() -> None:
            raise AssertionError("nobody waits for it")

        for nonsense in (lambda: True, Deferred, later):
            manager = HookManager(self.clock)
            manager.register(AsyncHook(Deciding(nonsense), 10, 1, threads=self.threads))
            decision = Deferred.fromCoroutine(manager.decide_stream_open(self.stream))
            self.made[-1].run_all()
            self.failureResultOf(decision, Refused)
            self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))
        self.assertEqual([], self.flushWarnings())

    def test_before_what_waits(self) -> None:
        hook = Deciding()
        self.register(hook)
        for count in range(3):
            self.send(count + 1)
        decision = self.decide(self.stream)
        self.made[0].run_all()
        self.successResultOf(decision)
        self.work()
        self.assertEqual(["open", 1, 2, 3], hook.told)

    def test_interrupts_what_runs(self) -> None:
        """
        With one worker, there is one call at a time: a decision waits for the one that
        is being made, and for no other.
        """
        hook = Deciding()
        self.register(hook)
        for count in range(3):
            self.send(count + 1)
        self.clock.advance(PAUSE)
        decision = self.decide(self.stream)
        self.assertEqual(1, len(self.made[0].jobs))
        self.made[0].run_all()
        self.work()
        self.successResultOf(decision)
        self.assertEqual([1, "open", 2, 3], hook.told)
        self.assertEqual(1, self.made[0].most)

    def test_one_worker_is_kept(self) -> None:
        hook = Deciding()
        self.register(hook, workers=2)
        for _ in range(3):
            self.send(1, FakeTunnel(session=FakeSession()))
        self.clock.advance(PAUSE)
        self.assertEqual(1, len(self.made[0].jobs))
        decision = self.decide(self.stream)
        self.made[0].work(1)
        self.made[0].deliver()
        self.successResultOf(decision)

    def test_coroutine(self) -> None:
        """
        A decision that is a coroutine does not block, and stays in the reactor.
        """
        hook = Waiting()
        self.register(hook)
        decision = self.decide(self.stream)
        self.assertEqual([], self.made)
        hook.answer.callback(None)
        self.successResultOf(decision)

    def test_too_late(self) -> None:
        """
        A hook that allows after its time is told the close, so that its books are
        right.
        """
        hook = Deciding()
        self.register(hook)
        decision = self.decide(self.stream)
        self.made[0].work()
        self.clock.advance(5)
        failure = self.failureResultOf(decision, Refused)
        self.assertIsInstance(failure.value.__cause__, HookTimeout)
        self.made[0].deliver()
        self.work()
        self.assertEqual(["open", Code.ABORTED], hook.told)

    def test_hanging(self) -> None:
        """
        While all threads hang, nothing is kept of what is not decided in time.
        """
        hook = Deciding()
        self.register(hook, workers=2)
        streams = [FakeStream(id=number) for number in range(300)]
        decisions = [self.decide(stream) for stream in streams]
        self.assertEqual(2, len(self.made[0].jobs))
        self.clock.advance(5)
        for decision in decisions:
            self.failureResultOf(decision, Refused)
        kept = [ref(stream) for stream in streams]
        del streams, decisions, decision
        gc.collect()
        self.assertLessEqual(sum(stream() is not None for stream in kept), 2)
        # It goes on with what comes then.
        self.made[0].run_all()
        decision = self.decide(self.stream)
        self.work()
        self.successResultOf(decision)
        self.assertEqual(3, hook.told.count("open"))

    def test_hanging_at_the_end(self) -> None:
        """
        What is given up does not keep the queue from its end.
        """
        self.register(Deciding())
        first, second = self.decide(self.stream), self.decide(FakeStream())
        finished = self.finish()
        self.made[0].work()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.made[0].deliver()
        self.successResultOf(first)
        self.successResultOf(finished)

    def test_failed_too_late(self) -> None:
        def fail() -> None:
            raise Broken("late")

        self.register(Deciding(fail))
        decision = self.decide(self.stream)
        decision.cancel()
        self.failureResultOf(decision, CancelledError)
        self.made[0].run_all()
        self.assertEqual(
            ["hook it failed in on_stream_open"],
            [context for _, context in self.errors.errors],
        )
        self.flushLoggedErrors(Broken)

    def test_given_up_before_it_is_asked(self) -> None:
        hook = Deciding()
        self.register(hook)
        first, second = self.decide(self.stream), self.decide(FakeStream())
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.made[0].run_all()
        self.successResultOf(first)
        self.assertEqual(["open"], hook.told)


class Waiting(BaseHook):
    def __init__(self) -> None:
        self.answer: Deferred[None] = Deferred()

    async def on_stream_open(self, stream: IStream) -> None:
        await self.answer


class FinishTests(QueueTestCase):
    def test_drained(self) -> None:
        hook = SummingHook()
        self.register(hook)
        for _ in range(5):
            self.send(1)
        finished = self.finish()
        self.assertNoResult(finished)
        self.made[0].run_all()
        self.successResultOf(finished)
        self.assertEqual(5, sum(hook.totals.values()))
        self.assertTrue(self.made[0].stopped)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nothing_to_do(self) -> None:
        self.register(SummingHook())
        self.successResultOf(self.finish())
        self.assertEqual([], self.made)

    def test_started_again(self) -> None:
        hook = SummingHook()
        self.register(hook)
        self.send(1)
        self.work()
        self.successResultOf(self.finish())
        self.send(2)
        self.work()
        self.assertEqual((2, 3), (len(self.made), sum(hook.totals.values())))

    def test_bounded(self) -> None:
        """
        What has not been done in time is lost, counted and reported.
        """
        hook = DataOnly()
        self.register(hook, workers=2)
        for _ in range(5):
            self.send(1, FakeTunnel(session=FakeSession()))
        finished = self.finish()
        threads = self.made[0]
        threads.work()
        with capturedLogs() as events:
            self.clock.advance(5)
        self.successResultOf(finished)
        # One call had been made.
        self.assertEqual(4, self.figures("on_data_sent").drops)
        self.assertEqual(
            ["hook it did not finish within 5 seconds"],
            [str(error) for error, _ in self.errors.errors],
        )
        lines = [str(formatEvent(event)) for event in events]
        self.assertTrue(any("lost" in line for line in lines), lines)
        self.assertTrue(threads.stopped)
        # What comes back later changes nothing.
        threads.run_all()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.send(1)
        self.work()
        self.assertEqual(2, hook.total)

    def test_hook_finishes_after_the_queue(self) -> None:
        hook = BackgroundHook()
        self.register(hook)
        deferred = open_tunnel(self.manager, self.tunnel)
        self.made[0].run_all()
        opened = self.successResultOf(deferred)
        self.manager.notify_tunnel_close(opened, self.tunnel, Code.CLOSED, "")
        finished = self.finish()
        self.assertEqual(0, hook.finishes)
        self.made[0].run_all()
        self.successResultOf(finished)
        self.assertEqual(1, hook.finishes)


class CompositionTests(QueueTestCase):
    def test_wrappers_stay_in_the_reactor(self) -> None:
        """
        Whichever is written outside, sums are made in the reactor's thread and only
        the hook is called in another.
        """
        for compose in (
            lambda hook: AsyncHook(
                AggregatingHook(SampledHook(hook, 2), 5), 10, 1, threads=self.threads
            ),
            lambda hook: AggregatingHook(
                SampledHook(AsyncHook(hook, 10, 1, threads=self.threads), 2), 5
            ),
            lambda hook: AggregatingHook(
                AsyncHook(SampledHook(hook, 2), 10, 1, threads=self.threads), 5
            ),
        ):
            hook = SummingHook()
            manager = HookManager(self.clock)
            manager.register(compose(hook))
            assert manager.data_sent is not None
            made = len(self.made)
            for _ in range(2):
                manager.data_sent(self.tunnel, 10)
                self.clock.advance(5)
            self.assertEqual(0, hook.events)
            self.clock.advance(PAUSE)
            self.assertEqual(made + 1, len(self.made))
            self.made[-1].run_all()
            self.assertEqual((1, 20), (hook.events, sum(hook.totals.values())))

    def test_combined(self) -> None:
        hooks = [SummingHook(), SummingHook()]
        self.register(CombinedHook(*hooks))
        self.send(5)
        self.work()
        self.assertEqual([5, 5], [sum(hook.totals.values()) for hook in hooks])

    def test_queue_in_a_queue(self) -> None:
        hook = SummingHook()
        inner = AsyncHook(hook, 10, 1, threads=self.threads)
        self.register(inner)
        self.send(5)
        self.work()
        self.successResultOf(self.finish())
        self.assertEqual(5, sum(hook.totals.values()))
        self.assertEqual(1, len(self.made))
