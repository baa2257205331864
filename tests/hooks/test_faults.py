"""
Whatever a hook does wrong is named, counted, and kept from everything else: in every
event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from reitunnel.errors import Code, ConfigError, InvalidHook, Refused
from reitunnel.hooks import (
    AggregatingHook,
    BaseHook,
    CombinedHook,
    HookManager,
    Strategy,
    build_hooks,
)
from reitunnel.interfaces import IBackgroundHook, IHeirHook, IHookFactory
from tests.hooks.fakes import (
    ErrorRecorder,
    FakeServer,
    FakeSession,
    FakeStream,
    FakeTunnel,
)
from tests.hooks.test_wraps import DecidingFactory

DECISIONS = ("on_server_start", "on_client_connect", "on_tunnel_open", "on_stream_open")
CLOSES = (
    "on_server_stop",
    "on_client_disconnect",
    "on_tunnel_close",
    "on_stream_close",
)
DATA = ("on_data_received", "on_data_sent")
EVENTS = (*DECISIONS, *CLOSES, *DATA, "on_error")
WRAPPERS: tuple[Callable[[object], object], ...] = (
    lambda hook: hook,
    lambda hook: CombinedHook(BaseHook(), hook),
    lambda hook: CombinedHook(AggregatingHook(hook, 1.0), BaseHook()),
)


def naughty(event: str, act: Callable[[], object]) -> Any:
    """
    Make a hook that does something in one event.
    """

    def method(self: object, *arguments: object) -> object:
        return act()

    return type("Naughty", (BaseHook,), {event: method})()


class FaultCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.now = 0.0
        self.manager = HookManager(
            self.clock, timeout=4.0, slow=0.1, timer=lambda: self.now
        )
        self.errors = ErrorRecorder()

    def happen(self, event: str) -> Deferred[Any] | None:
        """
        Let an event happen.

        @return: the decision, if it is one.
        """
        manager = self.manager
        server, session = FakeServer(), FakeSession()
        tunnel = FakeTunnel(session=session)
        stream = FakeStream(tunnel=tunnel)
        subjects = dict(zip(DECISIONS, (server, session, tunnel, stream), strict=True))
        if event in DECISIONS:
            decide: Any = getattr(manager, event.replace("on_", "decide_"))
            return Deferred.fromCoroutine(decide(subjects[event]))
        if event in CLOSES:
            opens = DECISIONS[CLOSES.index(event)]
            decide = getattr(manager, opens.replace("on_", "decide_"))
            opened = self.successResultOf(
                Deferred.fromCoroutine(decide(subjects[opens]))
            )
            notify: Any = getattr(manager, event.replace("on_", "notify_"))
            end = () if event == "on_server_stop" else (Code.NONE, "")
            notify(opened, subjects[opens], *end)
        elif event in DATA:
            sink = getattr(manager, event.removeprefix("on_"))
            sink(tunnel, 5)
            self.clock.advance(1)
        else:
            manager.notify_error(ValueError("elsewhere"), "somewhere")
        return None

    def figures(self, event: str, figure: str) -> float:
        """
        What was counted of the hook that is naughty.
        """
        return sum(
            float(getattr(each, figure))
            for each in self.manager.statistics()
            if "Naughty" in each.hook and each.event == event
        )


class RaisingTests(FaultCase):
    def check_named(self, event: str, wrap: Callable[[object], object]) -> None:
        """
        See that an event whose hook raises ends as it should.
        """
        self.manager.register(wrap(self.hook))
        self.manager.register(self.errors)
        with capturedLogs() as logs:
            decision = self.happen(event)
        if decision is not None:
            refused = self.failureResultOf(decision, Refused)
            self.assertEqual("refused by a hook", str(refused.value))
        critical = [e for e in logs if e["log_level"] >= LogLevel.error]
        [said] = {formatEvent(e).partition("\n")[0] for e in critical}
        self.assertRegex(said, f"hook .*Naughty.* failed in {event}$")
        self.assertEqual(1, self.figures(event, "failures"))
        told = [context for _, context in self.errors.errors]
        if event == "on_error":
            self.assertEqual(["somewhere"], told)
        else:
            self.assertEqual([said], told)

    def test_everything(self) -> None:
        """
        Exceptions that are made to go through everything are no others.
        """
        for kind in (ValueError, SystemExit, asyncio.CancelledError, BaseException):
            for event in EVENTS:
                for wrap in WRAPPERS:
                    self.setUp()

                    def act(kind: type[BaseException] = kind) -> None:
                        raise kind("naughty")

                    self.hook = naughty(event, act)
                    self.check_named(event, wrap)
                    self.flushLoggedErrors()

    def test_interrupt(self) -> None:
        """
        That somebody wants the process to end is no fault of a hook.
        """

        def act() -> None:
            raise KeyboardInterrupt

        for event in (*CLOSES, *DATA, "on_error"):
            self.setUp()
            self.manager.register(naughty(event, act))
            self.assertRaises(KeyboardInterrupt, self.happen, event)

    def test_later(self) -> None:
        """
        In a later step of a decision.
        """
        for wrap in WRAPPERS:
            self.setUp()
            waiting: Deferred[None] = Deferred()

            async def act(waiting: Deferred[None] = waiting) -> None:
                await waiting
                raise SystemExit(3)

            self.manager.register(wrap(naughty("on_stream_open", act)))
            decision = self.happen("on_stream_open")
            assert decision is not None
            self.assertNoResult(decision)
            waiting.callback(None)
            self.failureResultOf(decision, Refused)
            self.assertEqual(1, self.figures("on_stream_open", "failures"))
            self.assertEqual(1, len(self.flushLoggedErrors(SystemExit)))


class NonsenseTests(FaultCase):
    def test_notifications(self) -> None:
        """
        What has no answer and gives one is named, and nothing else happens.
        """
        for event in (*CLOSES, *DATA, "on_error"):
            for wrap in WRAPPERS:
                self.setUp()
                self.manager.register(wrap(naughty(event, lambda: False)))
                self.happen(event)
                self.assertEqual(1, self.figures(event, "failures"), event)
                self.flushLoggedErrors(TypeError, ExceptionGroup)

    def test_decisions(self) -> None:
        for event in DECISIONS:
            for wrap in WRAPPERS:
                self.setUp()
                self.manager.register(wrap(naughty(event, lambda: True)))
                decision = self.happen(event)
                assert decision is not None
                self.failureResultOf(decision, Refused)
                self.assertEqual(1, self.figures(event, "failures"), event)
                self.flushLoggedErrors(TypeError)


class SlowTests(FaultCase):
    def take(self, seconds: float) -> None:
        self.now += seconds

    def said(self, event: str, times: int = 1) -> list[str]:
        with capturedLogs() as logs:
            for _ in range(times):
                self.happen(event)
        return [formatEvent(e) for e in logs if e["log_level"] is LogLevel.warn]

    def test_every_event(self) -> None:
        """
        It is said once.
        """
        for event in EVENTS:
            self.setUp()
            self.manager.register(naughty(event, lambda: self.take(0.2)))
            self.assertEqual(
                [f"hook Naughty is slow: {event} kept the reactor for 200 ms"],
                self.said(event, 3),
            )
            self.assertAlmostEqual(0.2, self.figures(event, "longest"))

    def test_less_patience(self) -> None:
        """
        What was not slow before a reload may be so after it.
        """
        self.manager.configure(strategy=Strategy.STOP_ON_ERROR, timeout=4.0, slow=1.0)
        self.manager.register(naughty("on_stream_close", lambda: self.take(0.5)))
        self.assertEqual([], self.said("on_stream_close"))
        self.manager.configure(strategy=Strategy.STOP_ON_ERROR, timeout=4.0, slow=0.1)
        self.assertEqual(1, len(self.said("on_stream_close", 2)))

    def test_later_steps(self) -> None:
        """
        A coroutine that keeps the reactor after it has waited is slow too.
        """
        for wrap in WRAPPERS:
            self.setUp()
            waits: list[Deferred[None]] = [Deferred(), Deferred()]

            async def act(waits: list[Deferred[None]] = waits) -> None:
                self.take(0.01)
                await waits[0]
                self.take(0.03)
                await waits[1]
                self.take(0.3)

            self.manager.register(wrap(naughty("on_stream_open", act)))
            with capturedLogs() as logs:
                decision = self.happen("on_stream_open")
                waits[0].callback(None)
                self.take(5)
                waits[1].callback(None)
            assert decision is not None
            self.successResultOf(decision)
            [said] = [formatEvent(e) for e in logs]
            self.assertIn("on_stream_open kept the reactor for 300 ms", said)
            self.assertEqual(1, self.figures("on_stream_open", "calls"))
            self.assertAlmostEqual(0.34, self.figures("on_stream_open", "seconds"))

    def test_waited_for(self) -> None:
        """
        A decision that nearly takes too long is named once, before it is refused.
        """
        waiting: list[Deferred[None]] = []

        def act() -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        self.manager.register(naughty("on_stream_open", act))
        said = []
        for seconds in (1.9, 2.5, 3.5):
            with capturedLogs() as logs:
                decision = self.happen("on_stream_open")
                assert decision is not None
                self.clock.advance(seconds)
                waiting[-1].callback(None)
            self.successResultOf(decision)
            said += [formatEvent(event) for event in logs]
        self.assertEqual(
            "hook Naughty is slow: it took 2.5 s for on_stream_open; after 4 s that "
            "is a refusal",
            "; ".join(said),
        )
        self.assertAlmostEqual(7.9, self.figures("on_stream_open", "waited"))


class BackgroundTests(FaultCase):
    """
    What is no event.
    """

    def hook(self, method: str, act: Callable[..., object]) -> Any:
        methods: dict[str, Callable[..., object]] = {
            "attach": lambda self, host: None,
            "finish": lambda self: None,
            "inherit": lambda self, former: False,
        }
        methods[method] = lambda self, *arguments: act()
        kind = type("Naughty", (BaseHook,), methods)
        hook = kind()
        alsoProvides(hook, IBackgroundHook, IHeirHook)
        return hook

    def leave(self) -> None:
        raise SystemExit(3)

    def test_attach(self) -> None:
        """
        It cannot be registered, and the message says which it is.
        """
        error = self.assertRaises(
            InvalidHook, self.manager.register, self.hook("attach", self.leave)
        )
        self.assertEqual("hook Naughty failed in attach: SystemExit: 3", str(error))
        self.assertEqual((), self.manager.hooks)
        # With its traceback, at the level debug.
        self.flushLoggedErrors(SystemExit)

    def test_slow_attach(self) -> None:
        def act() -> None:
            self.now += 0.5

        with capturedLogs() as logs:
            self.manager.register(self.hook("attach", act))
        self.assertEqual(
            ["hook Naughty is slow: attach kept the reactor for 500 ms"],
            [formatEvent(event) for event in logs],
        )

    def test_inherit(self) -> None:
        """
        Nothing is changed.
        """
        former = self.hook("inherit", lambda: False)
        self.manager.register(former)
        error = self.assertRaises(
            InvalidHook,
            self.manager.replace,
            [former],
            [self.hook("inherit", self.leave)],
        )
        self.assertEqual("hook Naughty failed in inherit: SystemExit: 3", str(error))
        self.assertEqual((former,), self.manager.hooks)

    def test_finish(self) -> None:
        """
        The others finish.
        """
        finished: list[int] = []
        for wrap in WRAPPERS:
            self.setUp()
            finished.clear()
            self.manager.register(wrap(self.hook("finish", self.leave)))
            self.manager.register(self.hook("finish", lambda: finished.append(1)))
            self.successResultOf(Deferred.fromCoroutine(self.manager.finish()))
            self.assertEqual([1], finished)
            self.assertEqual(1, len(self.flushLoggedErrors(SystemExit)))

    def test_build(self) -> None:
        """
        It is a mistake in the configuration.
        """

        class Leaving(DecidingFactory):
            def build(self, options: object, reactor: object) -> Any:
                raise SystemExit

        factories: dict[str, IHookFactory] = {"deciding": Leaving()}
        error = self.assertRaises(
            ConfigError,
            build_hooks,
            [{"name": "deciding"}],
            MemoryReactorClock(),
            factories=factories,
        )
        self.assertEqual("hooks[0]: SystemExit", str(error))
        self.flushLoggedErrors(SystemExit)
