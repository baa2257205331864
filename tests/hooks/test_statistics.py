"""
Tests for what is counted and timed of hooks, and for what is said of slow ones.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, HookTimeout, InvalidHook, Refused
from reitunnel.hooks import BaseHook, HookManager, HookStatistics, Opened
from reitunnel.hooks.data import TIMED_ONE_IN
from reitunnel.hooks.reports import REPORT_INTERVAL
from reitunnel.interfaces import (
    Decision,
    IBackgroundHook,
    IHookHost,
    IStream,
    ITunnel,
)
from tests.hooks.fakes import ErrorRecorder, FakeStream, FakeTunnel, RecordingHook
from tests.hooks.support import BackgroundHook


class Broken(Exception):
    pass


class SlowHook(RecordingHook):
    """
    Lets time pass in each call.
    """

    def __init__(self, timer: Clock, seconds: float) -> None:
        super().__init__()
        self.timer = timer
        self.seconds = seconds
        self._decide = self._slowly

    def _slowly(self) -> None:
        self.timer.advance(self.seconds)

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self._slowly()

    def on_stream_close(self, stream: object, code: Code, reason: str) -> None:
        self._slowly()

    def on_error(self, error: BaseException, context: str) -> None:
        self._slowly()


class StatisticsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.timer = Clock()
        self.manager = HookManager(self.clock, slow=0.25, timer=self.timer.seconds)

    def slow_hook(self, seconds: float) -> SlowHook:
        hook = SlowHook(self.timer, seconds)
        self.manager.register(hook, name="it")
        return hook

    def figures(self, event: str) -> HookStatistics:
        [figures] = [each for each in self.manager.statistics() if each.event == event]
        return figures

    def decide(self) -> Deferred[Opened]:
        return Deferred.fromCoroutine(self.manager.decide_stream_open(FakeStream()))

    def send(self, times: int = 1) -> None:
        assert self.manager.data_sent is not None
        for _ in range(times):
            self.manager.data_sent(FakeTunnel(), 1)

    def lines(self, act: Callable[[], object]) -> list[str]:
        """
        What is logged as a warning.
        """
        with capturedLogs() as events:
            act()
        return [
            str(formatEvent(event))
            for event in events
            if event["log_level"] is LogLevel.warn
        ]


class CountTests(StatisticsTestCase):
    def test_nothing_yet(self) -> None:
        self.assertEqual((), self.manager.statistics())
        self.manager.register(ErrorRecorder(), name="it")
        self.assertEqual(
            (HookStatistics("it", "on_error", 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0),),
            self.manager.statistics(),
        )

    def test_order(self) -> None:
        self.manager.register(ErrorRecorder(), name="b")
        self.manager.register(RecordingHook(), name="a")
        names = [each.hook for each in self.manager.statistics()]
        self.assertEqual(["b", *["a"] * 11], names)

    def test_unregistered(self) -> None:
        hook = ErrorRecorder()
        self.manager.register(hook)
        self.manager.unregister(hook)
        self.assertEqual((), self.manager.statistics())

    def test_decisions_and_notifications(self) -> None:
        self.slow_hook(0.125)
        for _ in range(3):
            opened = self.successResultOf(self.decide())
            self.manager.notify_stream_close(opened, FakeStream(), Code.NONE, "")
            self.manager.notify_error(Broken(), "here")
        for event in ("on_stream_open", "on_stream_close", "on_error"):
            figures = self.figures(event)
            self.assertEqual((3, 0.375, 0.125), (
                figures.calls, figures.seconds, figures.longest,
            ))  # fmt: skip

    def test_waiting(self) -> None:
        """
        The time that a decision waits does not keep the reactor.
        """
        pending: Deferred[None] = Deferred()
        self.manager.register(RecordingHook(decide=lambda: pending))
        decision = self.decide()
        self.clock.advance(3)
        pending.callback(None)
        self.successResultOf(decision)
        figures = self.figures("on_stream_open")
        self.assertEqual((0.0, 3.0), (figures.seconds, figures.waited))

    def test_long_wait(self) -> None:
        """
        A decision that takes most of its time is warned of, once, and one that takes
        all of it is a failure anyway.
        """

        def decide(after: float) -> None:
            decision = self.decide()
            self.clock.advance(after)
            pending.pop().callback(None)
            self.successResultOf(decision)

        pending: list[Deferred[None]] = []

        def wait() -> Deferred[None]:
            pending.append(Deferred())
            return pending[-1]

        self.manager.register(RecordingHook(decide=wait), name="it")
        self.assertEqual([], self.lines(lambda: decide(2.5)))
        self.assertEqual(
            [
                (
                    "hook it is slow: it took 3 s for on_stream_open; after 5 s that "
                    "is a refusal"
                )
            ],
            self.lines(lambda: decide(3)),
        )
        self.assertEqual([], self.lines(lambda: decide(4)))

    def test_refusals_and_failures(self) -> None:
        def refuse() -> None:
            raise Refused("no")

        def fail() -> None:
            raise Broken

        answers: list[Callable[[], Decision]] = [refuse, refuse, fail, Deferred]

        def decide() -> Decision:
            return answers.pop()()

        self.manager.register(RecordingHook(decide=decide))
        for _ in range(4):
            decision = self.decide()
            self.clock.advance(5)
            self.failureResultOf(decision, Refused)
        figures = self.figures("on_stream_open")
        self.assertEqual((4, 2, 2), (figures.calls, figures.refusals, figures.failures))
        self.flushLoggedErrors(Broken, HookTimeout)

    def test_data(self) -> None:
        """
        Each call is counted. The first is timed, and then one of many, which stands
        for those before it.
        """
        hook = self.slow_hook(0.0)
        for number in range(3 * TIMED_ONE_IN):
            self.send()
            self.assertEqual(number + 1, self.figures("on_data_sent").calls)
        hook.seconds = 0.00005
        self.send(TIMED_ONE_IN)
        figures = self.figures("on_data_sent")
        self.assertEqual(4 * TIMED_ONE_IN, figures.calls)
        self.assertAlmostEqual(0.00005 * TIMED_ONE_IN, figures.seconds)
        self.assertAlmostEqual(0.00005, figures.longest)

    def test_data_is_counted_from_inside(self) -> None:
        """
        A hook may cause data events in a data event.
        """
        hook = Nested(lambda: self.manager)
        self.manager.register(hook)
        self.send(5)
        self.assertEqual(10, self.figures("on_data_sent").calls)

    def test_data_failures(self) -> None:
        self.manager.register(FailingData())
        self.send(5)
        self.assertEqual(5, self.figures("on_data_sent").failures)
        self.flushLoggedErrors(Broken)


class Nested(BaseHook):
    def __init__(self, manager: Callable[[], HookManager]) -> None:
        self.manager = manager
        self.inside = False

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        if not self.inside:
            self.inside = True
            sink = self.manager().data_sent
            assert sink is not None
            sink(tunnel, count)
            self.inside = False


class FailingData(BaseHook):
    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        raise Broken


class SlowTests(StatisticsTestCase):
    def test_bad_number(self) -> None:
        for slow in (0.0, -1.0, float("nan")):
            self.assertRaises(ValueError, HookManager, self.clock, slow=slow)

    def test_named_once(self) -> None:
        self.slow_hook(0.5)
        lines = self.lines(lambda: [self.successResultOf(self.decide()) for _ in "ab"])
        self.assertEqual(
            ["hook it is slow: on_stream_open kept the reactor for 500 ms"], lines
        )
        lines = self.lines(lambda: self.manager.notify_error(Broken(), "here"))
        self.assertEqual(
            ["hook it is slow: on_error kept the reactor for 500 ms"], lines
        )

    def test_not_slow(self) -> None:
        self.slow_hook(0.25)
        self.assertEqual([], self.lines(lambda: self.successResultOf(self.decide())))

    def test_data_event_that_is_very_slow(self) -> None:
        self.slow_hook(0.5)
        self.assertEqual(
            ["hook it is slow: on_data_sent kept the reactor for 500 ms"],
            self.lines(lambda: self.send(3)),
        )

    def test_data_events_that_are_slow(self) -> None:
        """
        Data hooks are to be quick: three slow calls in a row are enough.
        """
        self.slow_hook(0.0002)
        self.assertEqual([], self.lines(lambda: self.send(2)))
        self.assertEqual(
            ["hook it is slow: on_data_sent kept the reactor for 0.2 ms"],
            self.lines(self.send),
        )
        self.assertEqual([], self.lines(lambda: self.send(TIMED_ONE_IN * 5)))
        figures = self.figures("on_data_sent")
        self.assertEqual(3 + TIMED_ONE_IN * 5, figures.calls)
        self.assertAlmostEqual(0.0002 * figures.calls, figures.seconds)

    def test_one_slow_data_event(self) -> None:
        """
        It means nothing: something else may have had the processor.
        """
        hook = self.slow_hook(0.0002)

        def send() -> None:
            self.send(2)
            hook.seconds = 0.0
            self.send()
            hook.seconds = 0.0002
            self.send(2)

        self.assertEqual([], self.lines(send))


class HostTests(StatisticsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.errors = ErrorRecorder()
        self.manager.register(self.errors)
        self.hook = BackgroundHook()
        self.manager.register(self.hook, name="it")
        [self.host] = self.hook.hosts

    def test_interfaces(self) -> None:
        verifyObject(IHookHost, self.host)
        verifyObject(IBackgroundHook, self.hook)
        self.assertEqual("it", self.host.name)
        self.assertIs(self.clock, self.host.reactor)

    def test_failed(self) -> None:
        self.host.failed("on_tunnel_close", Broken("later"))
        self.assertEqual(
            ["hook it failed in on_tunnel_close"],
            [context for _, context in self.errors.errors],
        )
        self.assertEqual(1, self.figures("on_tunnel_close").failures)
        self.flushLoggedErrors(Broken)

    def test_dropped(self) -> None:
        lines = self.lines(lambda: self.host.dropped("on_error", 3))
        [line] = lines
        self.assertIn("hook it lost 3 calls of on_error, 3 in all", line)
        drops = [each.drops for each in self.manager.statistics()]
        self.assertEqual(3, sum(drops))

    def test_worked(self) -> None:
        self.host.worked("on_tunnel_close", 0.5)
        self.assertEqual(0.5, self.figures("on_tunnel_close").background)


class FinishTests(StatisticsTestCase):
    def finish(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.manager.finish())

    def test_all_at_the_same_time(self) -> None:
        waits: list[Deferred[None]] = [Deferred(), Deferred()]
        hooks = [BackgroundHook(lambda: waits[0]), BackgroundHook(lambda: waits[1])]
        for hook in hooks:
            self.manager.register(hook)
        finished = self.finish()
        self.assertEqual([1, 1], [hook.finishes for hook in hooks])
        waits[1].callback(None)
        self.assertNoResult(finished)
        waits[0].callback(None)
        self.successResultOf(finished)

    def test_what_goes_wrong(self) -> None:
        """
        It keeps nobody from finishing.
        """
        errors = ErrorRecorder()
        self.manager.register(errors)

        def fail() -> None:
            raise Broken

        cancelled: list[object] = []
        hooks = [
            BackgroundHook(fail),
            BackgroundHook(lambda: Deferred(cancelled.append)),
            BackgroundHook(lambda: 7),
        ]
        for number, hook in enumerate(hooks):
            self.manager.register(hook, name=str(number))
        finished = self.finish()
        self.clock.advance(5)
        self.successResultOf(finished)
        self.assertEqual(1, len(cancelled))
        self.assertEqual(
            ["hook 0 failed in finish", "hook 1 failed in finish"],
            [context for _, context in errors.errors],
        )
        self.flushLoggedErrors(Broken)

    def test_unregistered(self) -> None:
        """
        What it was told before may not be done yet.
        """
        hook = BackgroundHook()
        self.manager.register(hook)
        self.manager.unregister(hook)
        self.successResultOf(self.finish())
        self.assertEqual(1, hook.finishes)

    def test_registered_again(self) -> None:
        hook = BackgroundHook()
        for _ in range(2):
            self.manager.register(hook)
            self.manager.unregister(hook)
        self.manager.register(hook)
        self.assertEqual(3, len(hook.hosts))
        self.successResultOf(self.finish())
        self.assertEqual(1, hook.finishes)

    def test_refuses_to_be_attached(self) -> None:
        hook = Unattachable()
        error = self.assertRaises(InvalidHook, self.manager.register, hook)
        self.assertEqual(
            "Unattachable cannot be attached: Broken: no such table", str(error)
        )
        self.assertIs(hook, error.hook)
        self.assertIsInstance(error.__cause__, Broken)
        self.assertEqual((), self.manager.hooks)
        self.successResultOf(self.finish())
        self.assertEqual(0, hook.finishes)
        self.flushLoggedErrors(Broken)


class Unattachable(BackgroundHook):
    def attach(self, host: IHookHost) -> None:
        raise Broken("no such\ntable")


class Failing(BaseHook):
    """
    Fails each time.
    """

    def __init__(self) -> None:
        self.error: Exception = Broken("this way")

    def on_stream_open(self, stream: IStream) -> None:
        raise self.error


class FloodTests(StatisticsTestCase):
    """
    A hook that fails with each visitor is no flood of lines.
    """

    def setUp(self) -> None:
        super().setUp()
        self.hook = Failing()
        self.manager.register(self.hook, name="it")

    def fail_often(self, times: int) -> list[str]:
        """
        What is logged meanwhile.
        """
        with capturedLogs() as events:
            for _ in range(times):
                self.failureResultOf(self.decide(), Refused)
        self.flushLoggedErrors(Broken, KeyError)
        return [str(formatEvent(event)) for event in events]

    def test_said_once_and_counted(self) -> None:
        failed = "hook it failed in on_stream_open"
        self.assertEqual([failed], self.fail_often(100))
        self.assertEqual([], self.fail_often(5))
        self.timer.advance(REPORT_INTERVAL)
        more = "hook it failed 104 times more in on_stream_open with Broken"
        self.assertEqual([more, failed], self.fail_often(3))
        self.assertEqual(108, self.figures("on_stream_open").failures)

    def test_another_failure(self) -> None:
        self.fail_often(1)
        self.hook.error = KeyError("that way")
        self.assertEqual(["hook it failed in on_stream_open"], self.fail_often(9))

    def test_rest(self) -> None:
        """
        What was only counted is said at the end.
        """
        self.fail_often(3)
        with capturedLogs() as events:
            self.manager.unregister(self.hook)
        self.assertEqual(
            ["hook it failed 2 times more in on_stream_open with Broken"],
            [formatEvent(event) for event in events],
        )

    def test_hooks_for_errors_are_told_each_time(self) -> None:
        recorder = ErrorRecorder()
        self.manager.register(recorder)
        self.fail_often(5)
        self.assertEqual(5, len(recorder.errors))
