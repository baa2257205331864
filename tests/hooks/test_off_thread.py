"""
Tests for hooks that are called in threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, HookTimeout, InvalidHook, Refused
from reitunnel.hooks import (
    AggregatingHook,
    AsyncHook,
    BaseHook,
    CombinedHook,
    HookManager,
    HookStatistics,
    Opened,
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
    FakeServer,
    FakeSession,
    FakeStream,
    FakeTunnel,
    RecordingHook,
)
from tests.hooks.support import (
    BackgroundHook,
    ManualThreads,
    ReactorHook,
    SummingHook,
    open_tunnel,
)

PAUSE = 0.01


class Broken(Exception):
    pass


class QueueTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.manager = HookManager(self.clock)
        self.errors = ErrorRecorder()
        self.manager.register(self.errors)
        self.made: list[ManualThreads] = []
        self.tunnel = FakeTunnel()

    def threads(self) -> ManualThreads:
        self.made.append(ManualThreads())
        return self.made[-1]

    def register(self, hook: object, capacity: int = 10, workers: int = 1) -> AsyncHook:
        wrapper = AsyncHook(hook, capacity, workers, threads=self.threads)
        self.manager.register(wrapper, name="it")
        return wrapper

    def send(self, count: int, tunnel: ITunnel | None = None) -> None:
        assert self.manager.data_sent is not None
        self.manager.data_sent(tunnel or self.tunnel, count)

    def decide(self, stream: IStream) -> Deferred[Opened]:
        return Deferred.fromCoroutine(self.manager.decide_stream_open(stream))

    def work(self) -> None:
        self.clock.advance(PAUSE)
        self.made[-1].run_all()

    def figures(self, event: str) -> HookStatistics:
        [figures] = [
            each
            for each in self.manager.statistics()
            if (each.hook, each.event) == ("it", event)
        ]
        return figures

    def finish(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.manager.finish())


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


class NotificationTests(QueueTestCase):
    def test_not_at_once(self) -> None:
        hook = RecordingHook("it")
        self.register(hook)
        self.send(1)
        self.send(2)
        self.assertEqual([], self.made)
        self.work()
        self.assertEqual(
            [
                ("it", "on_data_sent", self.tunnel, 1),
                ("it", "on_data_sent", self.tunnel, 2),
            ],
            hook.calls,
        )
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_one_job_for_many(self) -> None:
        self.register(RecordingHook())
        for count in range(1, 10):
            self.send(count)
        self.clock.advance(PAUSE)
        self.assertEqual(1, len(self.made[0].jobs))

    def test_what_comes_meanwhile(self) -> None:
        hook = RecordingHook()
        self.register(hook)
        self.send(1)
        self.clock.advance(PAUSE)
        self.made[0].work()
        self.send(2)
        self.made[0].deliver()
        self.work()
        self.assertEqual([1, 2], [call[3] for call in hook.calls])

    def test_clients_at_once(self) -> None:
        """
        With more workers, each client has its order, and they do not wait for each
        other.
        """
        hook = RecordingHook()
        self.register(hook, workers=2)
        others = [FakeTunnel(session=FakeSession()) for _ in range(2)]
        same = FakeTunnel(id=7, session=self.tunnel.session)
        for tunnel in (self.tunnel, *others, same):
            self.send(1, tunnel)
        self.clock.advance(PAUSE)
        # One is kept for decisions.
        self.assertEqual(1, len(self.made[0].jobs))
        self.made[0].run_all()
        self.assertEqual([self.tunnel, same, *others], [call[2] for call in hook.calls])

    def test_all_workers(self) -> None:
        self.register(DataOnly(), workers=2)
        for _ in range(3):
            self.send(1, FakeTunnel(session=FakeSession()))
        self.clock.advance(PAUSE)
        self.assertEqual(2, len(self.made[0].jobs))
        self.made[0].run_all()
        self.assertEqual(2, self.made[0].most)

    def test_stop_of_the_server_comes_last(self) -> None:
        hook = ServerEnd()
        self.register(hook, workers=4)
        server = FakeServer()
        opened = self.successResultOf(
            Deferred.fromCoroutine(self.manager.decide_server_start(server))
        )
        self.send(1)
        self.manager.notify_server_stop(opened, server)
        self.send(2, FakeTunnel(session=FakeSession()))
        self.clock.advance(PAUSE)
        while self.made[0].jobs:
            self.made[0].work(len(self.made[0].jobs) - 1)
            self.made[0].deliver()
            self.clock.advance(PAUSE)
        self.assertEqual("stop", hook.told[-1])
        self.assertEqual(3, len(hook.told))

    def test_failures(self) -> None:
        """
        They are reported as those of any hook: of data events the first at once.
        """
        self.register(Failing())
        for count in range(1, 4):
            self.send(count)
        self.manager.notify_error(Broken("other"), "elsewhere")
        self.errors.errors.clear()
        self.work()
        self.assertEqual(
            ["hook it failed in on_data_sent"],
            [context for _, context in self.errors.errors],
        )
        self.assertEqual(3, self.figures("on_data_sent").failures)
        self.successResultOf(self.finish())
        self.assertEqual(
            "hook it failed 2 times more in on_data_sent", self.errors.errors[-1][1]
        )
        self.flushLoggedErrors(Broken)

    def test_failure_in_on_error(self) -> None:
        """
        It is only logged, or there would be no end to it.
        """
        self.register(FailingErrors())
        self.manager.notify_error(Broken("other"), "elsewhere")
        for _ in range(3):
            self.work()
        self.assertEqual(1, len(self.errors.errors))
        self.assertEqual(1, self.figures("on_error").failures)
        self.assertEqual(1, len(self.flushLoggedErrors(Broken)))

    def test_exit_in_a_call(self) -> None:
        """
        It ends neither the thread nor the program.
        """
        hook = Failing(SystemExit("no"))
        self.register(hook)
        self.send(1)
        self.send(2)
        self.work()
        self.assertEqual(2, hook.calls)
        self.assertEqual(2, self.figures("on_data_sent").failures)
        self.flushLoggedErrors(SystemExit)


class DataOnly(BaseHook):
    """
    Decides nothing.
    """

    def __init__(self) -> None:
        self.total = 0

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.total += count


class ServerEnd(BaseHook):
    def __init__(self) -> None:
        self.told: list[str] = []

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.told.append("data")

    def on_server_stop(self, server: object) -> None:
        self.told.append("stop")


class Failing(BaseHook):
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error or Broken("data")
        self.calls = 0

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.calls += 1
        raise self.error


class FailingErrors(BaseHook):
    def on_error(self, error: BaseException, context: str) -> None:
        raise Broken("error")


class BoundTests(QueueTestCase):
    def test_dropped(self) -> None:
        hook = SummingHook()
        self.register(hook, capacity=3)
        with capturedLogs() as events:
            for _ in range(10):
                self.send(1)
        self.assertEqual(7, self.figures("on_data_sent").drops)
        [line] = [str(formatEvent(event)) for event in events]
        self.assertEqual(
            "hook it lost 1 calls of on_data_sent, 1 in all: more came than it could "
            "take",
            line,
        )
        self.work()
        self.assertEqual(3, sum(hook.totals.values()))
        self.send(1)
        self.work()
        self.assertEqual(4, sum(hook.totals.values()))
        with capturedLogs() as events:
            self.successResultOf(self.finish())
        self.assertIn(
            "hook it lost 6 calls of on_data_sent, 7 in all: more came than it could "
            "take",
            [str(formatEvent(event)) for event in events],
        )

    def test_now_and_then(self) -> None:
        self.register(SummingHook(), capacity=1)
        with capturedLogs() as events:
            for _ in range(4):
                self.send(1)
            self.clock.pump([59])
            self.made[0].run_all()
            for _ in range(4):
                self.send(1)
                self.clock.advance(1)
        lines = [str(formatEvent(event)) for event in events]
        self.assertEqual(2, len(lines), lines)

    def test_closes_have_their_own(self) -> None:
        """
        However much data waits, closes are not dropped for it.
        """
        hook = SummingHook()
        self.register(hook, capacity=2)
        deferred = open_tunnel(self.manager, self.tunnel)
        self.work()
        opened = self.successResultOf(deferred)
        for _ in range(5):
            self.send(1)
        self.manager.notify_tunnel_close(opened, self.tunnel, Code.CLOSED, "")
        self.work()
        self.assertEqual({self.tunnel.id}, hook.closed)
        self.assertEqual(0, self.figures("on_tunnel_close").drops)

    def test_closes_are_bounded_too(self) -> None:
        hook = CloseOnly()
        self.register(hook, capacity=2)
        opened = self.successResultOf(open_tunnel(self.manager, self.tunnel))
        for _ in range(5):
            self.manager.notify_tunnel_close(opened, self.tunnel, Code.CLOSED, "")
        self.assertEqual(3, self.figures("on_tunnel_close").drops)
        self.work()
        self.assertEqual(2, hook.closed)


class CloseOnly(BaseHook):
    def __init__(self) -> None:
        self.closed = 0

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        self.closed += 1


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


class AnyOrderTests(SynchronousTestCase):
    """
    Nothing is lost but what was dropped, nothing is doubled, and the order holds, for
    any interleaving of the reactor and the threads.
    """

    @given(
        st.integers(1, 3),
        st.integers(1, 8),
        st.sampled_from(["plain", "aggregate", "sample"]),
        st.lists(
            st.sampled_from(["data", "data", "close", "wait", "work", "deliver"]),
            max_size=60,
        ),
        st.data(),
    )
    def test_totals(
        self,
        workers: int,
        capacity: int,
        around: str,
        steps: list[str],
        data: st.DataObject,
    ) -> None:
        clock = Clock()
        hook = SummingHook()
        made: list[ManualThreads] = []

        def threads() -> ManualThreads:
            made.append(ManualThreads())
            return made[-1]

        wrapper: object = AsyncHook(hook, capacity, workers, threads=threads)
        if around == "aggregate":
            wrapper = AggregatingHook(wrapper, 1.0)
        elif around == "sample":
            wrapper = SampledHook(wrapper, 3)
        manager = HookManager(clock, timeout=1e6)
        manager.register(wrapper, name="it")
        assert manager.data_sent is not None
        tunnels = [
            FakeTunnel(id=number, session=FakeSession(id=str(number)))
            for number in range(3)
        ]
        opened = {}
        for tunnel in tunnels:
            deferred = open_tunnel(manager, tunnel)
            made[0].run_all()
            opened[tunnel.id] = self.successResultOf(deferred)
        given: Counter[int] = Counter()
        with capturedLogs():
            for step in steps:
                number = data.draw(st.integers(0, 2))
                if step == "data" and number in opened:
                    manager.data_sent(tunnels[number], 1)
                    given[number] += 1
                elif step == "close" and number in opened:
                    manager.notify_tunnel_close(
                        opened.pop(number), tunnels[number], Code.CLOSED, ""
                    )
                elif step == "wait":
                    clock.advance(0.3)
                elif step == "work" and made[0].jobs:
                    made[0].work(data.draw(st.integers(0, len(made[0].jobs) - 1)))
                elif step == "deliver" and made[0].results:
                    made[0].deliver(data.draw(st.integers(0, len(made[0].results) - 1)))
            finished = Deferred.fromCoroutine(manager.finish())
            made[0].run_all()
        self.successResultOf(finished)
        drops = sum(
            each.drops for each in manager.statistics() if each.event == "on_data_sent"
        )
        self.assertEqual(0, hook.late)
        self.assertLessEqual(made[0].most, workers)
        if not drops:
            self.assertEqual(
                +given, Counter({k: n for (k, _), n in hook.totals.items()})
            )
        elif around == "plain":
            self.assertEqual(sum(given.values()), hook.events + drops)
        self.assertEqual([], clock.getDelayedCalls())
