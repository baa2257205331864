"""
Tests for notifications of hooks that are called in threads: their order, their bound,
and that nothing is lost.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, HookTimeout
from reitunnel.hooks import (
    AggregatingHook,
    AsyncHook,
    BaseHook,
    HookManager,
    SampledHook,
)
from reitunnel.hooks.call_queue import STUCK
from reitunnel.interfaces import ITunnel
from tests.captured import captured_logs
from tests.hooks.fakes import FakeServer, FakeSession, FakeTunnel, RecordingHook
from tests.hooks.queue_case import PAUSE, Broken, DataOnly, QueueTestCase
from tests.hooks.support import ManualThreads, SummingHook, open_tunnel


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
        with captured_logs() as events:
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
        with captured_logs() as events:
            self.successResultOf(self.finish())
        self.assertIn(
            "hook it lost 6 calls of on_data_sent, 7 in all: more came than it could "
            "take",
            [str(formatEvent(event)) for event in events],
        )

    def test_now_and_then(self) -> None:
        self.register(SummingHook(), capacity=1)
        with captured_logs() as events:
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

    def test_closes_that_are_owed(self) -> None:
        """
        A hook that counts opens and closes can rely on both.
        """
        hook = SummingHook()
        self.register(hook, capacity=2)
        tunnels = [FakeTunnel(id=number) for number in range(5)]
        deferreds = [open_tunnel(self.manager, tunnel) for tunnel in tunnels]
        self.work()
        for tunnel, deferred in zip(tunnels, deferreds, strict=True):
            opened = self.successResultOf(deferred)
            self.manager.notify_tunnel_close(opened, tunnel, Code.CLOSED, "")
        self.work()
        self.assertEqual(set(range(5)), hook.closed)
        self.assertEqual(0, self.figures("on_tunnel_close").drops)

    def test_closes_are_bounded_too(self) -> None:
        """
        Of a hook that knows of no opens.
        """
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
        with captured_logs():
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


class StuckTests(QueueTestCase):
    def test_named(self) -> None:
        """
        A call that does not come back from its thread is named once, when more comes.
        """
        case = self

        class Stuck(BaseHook):
            def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
                # What happens meanwhile in the reactor's thread.
                case.send(1, FakeTunnel())
                case.clock.advance(STUCK - 1)
                case.assertEqual([], case.errors.errors)
                for _ in range(3):
                    case.clock.advance(1)
                    case.send(1, FakeTunnel())
                    case.clock.advance(PAUSE)

        self.register(Stuck(), workers=2)
        self.send(1)
        self.clock.advance(PAUSE)
        with capturedLogs() as logs:
            self.made[0].work()
        [(error, context)] = self.errors.errors
        self.assertIsInstance(error, HookTimeout)
        self.assertEqual(
            "hook it has been in on_data_sent for 30 seconds, in a thread", str(error)
        )
        self.assertEqual("hook it failed in on_data_sent", context)
        self.assertEqual([str(error)], [formatEvent(event) for event in logs])
        self.assertEqual(1, self.figures("on_data_sent").failures)

    def test_slow_but_back(self) -> None:
        """
        One that is back is not named.
        """
        self.register(DataOnly())
        for _ in range(3):
            self.send(1)
            self.work()
            self.clock.advance(2 * STUCK)
        self.assertEqual([], self.errors.errors)
