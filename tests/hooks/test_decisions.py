"""
Tests for decisions: how a hook can allow and refuse, and what becomes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, HookTimeout, Refused, Undecided
from reitunnel.hooks import NOTHING_OPENED, HookManager, Opened, Strategy
from reitunnel.interfaces import Decision
from tests.hooks.fakes import (
    ErrorRecorder,
    FakeServer,
    FakeSession,
    FakeStream,
    FakeTunnel,
    RecordingHook,
)


class Broken(Exception):
    """
    What a hook with a defect raises.
    """


class DecisionTestCase(SynchronousTestCase):
    strategy = Strategy.STOP_ON_ERROR

    def setUp(self) -> None:
        self.clock = Clock()
        self.hooks = HookManager(self.clock, strategy=self.strategy, timeout=2.0)
        self.calls: list[tuple[object, ...]] = []
        self.errors = ErrorRecorder()
        self.hooks.register(self.errors)
        self.stream = FakeStream()

    def add(self, label: str, decide: Any = lambda: None) -> None:
        self.hooks.register(RecordingHook(label, self.calls, decide), name=label)

    def decide(self) -> Deferred[Opened]:
        return Deferred.fromCoroutine(self.hooks.decide_stream_open(self.stream))

    def told(self) -> list[tuple[object, ...]]:
        """
        What the hooks were asked and told of the stream, without the stream.
        """
        return [
            (label, event, *arguments[1:])
            for label, event, *arguments in self.calls
            if event != "on_error"
        ]

    def refused(self, deferred: Deferred[Opened]) -> Refused:
        error = self.failureResultOf(deferred).value
        # What is caught here is always of one of these.
        self.assertIn(type(error), (Refused, Undecided))
        assert isinstance(error, Refused)
        return error


class AnswerTests(DecisionTestCase):
    """
    Each kind of answer that one hook can give.
    """

    def allows(self, decide: Any) -> None:
        self.add("it", decide)
        deferred = self.decide()
        opened = self.successResultOf(deferred)
        self.hooks.notify_stream_close(opened, self.stream, Code.NONE, "bye")
        self.assertEqual(
            [("it", "on_stream_open"), ("it", "on_stream_close", Code.NONE, "bye")],
            self.told(),
        )
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], self.errors.errors)

    def refuses(self, decide: Any) -> Refused:
        self.add("it", decide)
        error = self.refused(self.decide())
        self.assertEqual([("it", "on_stream_open")], self.told())
        self.assertEqual([], self.clock.getDelayedCalls())
        return error

    def refuses_wrong_answer(self, decide: Any, kind: str) -> None:
        error = self.refuses(decide)
        self.assertEqual("refused by a hook", str(error))
        self.assertEqual(
            f"on_stream_open gave a {kind}: return None to allow, raise Refused "
            "to refuse",
            str(error.__cause__),
        )
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))
        self.assertEqual(
            [(error.__cause__, "hook it failed in on_stream_open")],
            self.errors.errors,
        )

    def test_nobody(self) -> None:
        self.assertEqual(NOTHING_OPENED, self.successResultOf(self.decide()))
        self.hooks.notify_stream_close(NOTHING_OPENED, self.stream, Code.NONE, "")

    def test_none(self) -> None:
        self.allows(lambda: None)

    def test_fired_deferred(self) -> None:
        self.allows(lambda: succeed(None))

    def test_coroutine(self) -> None:
        async def decide() -> None:
            await succeed(None)

        self.allows(decide)

    def test_awaitable(self) -> None:
        class Ready:
            def __await__(self) -> Generator[Any, Any, None]:
                yield from succeed(None).__await__()

        self.allows(Ready)

    def test_asyncio_future(self) -> None:
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        future: asyncio.Future[None] = loop.create_future()
        self.add("it", lambda: future)
        deferred = self.decide()
        self.assertNoResult(deferred)
        future.set_result(None)
        loop.call_soon(loop.stop)
        loop.run_forever()
        self.successResultOf(deferred)

    def test_later(self) -> None:
        pending: Deferred[None] = Deferred()
        self.add("it", lambda: pending)
        deferred = self.decide()
        self.clock.advance(1.9)
        self.assertNoResult(deferred)
        pending.callback(None)
        self.successResultOf(deferred)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_refused(self) -> None:
        original = Refused("not on Sundays")

        def decide() -> Decision:
            raise original

        error = self.refuses(decide)
        self.assertEqual("not on Sundays", str(error))
        self.assertIs(original, error.__cause__)
        # To refuse is no failure.
        self.assertEqual([], self.errors.errors)

    def test_refused_by_coroutine(self) -> None:
        async def decide() -> None:
            await succeed(None)
            raise Refused("not on Sundays")

        self.assertEqual("not on Sundays", str(self.refuses(decide)))

    def test_refused_by_deferred(self) -> None:
        self.assertEqual(
            "not on Sundays", str(self.refuses(lambda: fail(Refused("not on Sundays"))))
        )

    def test_refused_later(self) -> None:
        pending: Deferred[None] = Deferred()
        self.add("it", lambda: pending)
        deferred = self.decide()
        pending.errback(Refused("not on Sundays"))
        self.assertEqual("not on Sundays", str(self.refused(deferred)))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_text_for_the_peer_is_one_line(self) -> None:
        def decide() -> Decision:
            raise Refused("not\n on  Sundays\n")

        self.assertEqual("not on Sundays", str(self.refuses(decide)))

    def test_refused_without_text(self) -> None:
        def decide() -> Decision:
            raise Refused

        self.assertEqual("refused by a hook", str(self.refuses(decide)))

    def test_failure_stays_here(self) -> None:
        original = Broken("password is hunter2")

        def decide() -> Decision:
            raise original

        error = self.refuses(decide)
        self.assertEqual("refused by a hook", str(error))
        self.assertIs(original, error.__cause__)
        self.assertEqual(
            [(original, "hook it failed in on_stream_open")], self.errors.errors
        )
        self.assertEqual(1, len(self.flushLoggedErrors(Broken)))

    def test_failure_is_logged_with_its_traceback(self) -> None:
        async def decide_badly() -> None:
            await succeed(None)
            raise Broken

        with capturedLogs() as events:
            self.refuses(decide_badly)
        [event] = [event for event in events if "log_failure" in event]
        self.assertEqual("it", event["hook"])
        self.assertEqual("on_stream_open", event["event"])
        self.assertIn("decide_badly", event["log_failure"].getTraceback())
        self.flushLoggedErrors(Broken)

    def test_exit_in_coroutine(self) -> None:
        async def decide() -> None:
            raise SystemExit(3)

        error = self.refuses(decide)
        self.assertEqual("refused by a hook", str(error))
        self.flushLoggedErrors(SystemExit)

    def test_exit(self) -> None:
        """
        A hook that exits fails as another does: it is named, counted, and refuses.
        """

        def decide() -> None:
            raise SystemExit(3)

        error = self.refuses(decide)
        self.assertEqual("refused by a hook", str(error))
        self.assertTrue(error.passing)
        self.assertEqual(
            ["hook it failed in on_stream_open"],
            [context for _, context in self.errors.errors],
        )
        self.flushLoggedErrors(SystemExit)

    def test_failure_that_is_no_exception(self) -> None:
        def decide() -> Deferred[None]:
            return fail(Failure("what", str))

        error = self.refuses(decide)
        self.assertEqual("refused by a hook", str(error))
        self.assertIsInstance(error.__cause__, TypeError)
        self.flushLoggedErrors()

    def test_false(self) -> None:
        self.refuses_wrong_answer(lambda: False, "bool")

    def test_true(self) -> None:
        self.refuses_wrong_answer(lambda: True, "bool")

    def test_deferred_with_false(self) -> None:
        self.refuses_wrong_answer(lambda: succeed(False), "bool")

    def test_coroutine_with_a_value(self) -> None:
        async def decide() -> str:
            return "fine"

        self.refuses_wrong_answer(decide, "str")

    def test_cancelled_by_itself(self) -> None:
        # The hook's own affair failed; nobody cancelled the decision.
        error = self.refuses(lambda: fail(CancelledError()))
        self.assertEqual("refused by a hook", str(error))
        self.flushLoggedErrors(CancelledError)


class TimeoutTests(DecisionTestCase):
    def refuses_in_time(self, pending: Any) -> Deferred[Opened]:
        self.add("slow", lambda: pending)
        deferred = self.decide()
        self.clock.advance(1.9)
        self.assertNoResult(deferred)
        self.clock.advance(0.1)
        error = self.refused(deferred)
        self.assertEqual("refused by a hook", str(error))
        text = "hook slow did not decide on_stream_open within 2 seconds"
        self.assertIsInstance(error.__cause__, HookTimeout)
        self.assertEqual(text, str(error.__cause__))
        self.assertIn(
            (error.__cause__, "hook slow failed in on_stream_open"),
            self.errors.errors,
        )
        self.assertEqual([("slow", "on_stream_open")], self.told())
        self.assertEqual([], self.clock.getDelayedCalls())
        return deferred

    def test_cancelled(self) -> None:
        cancelled: list[Deferred[None]] = []
        pending: Deferred[None] = Deferred(cancelled.append)
        with capturedLogs() as events:
            self.refuses_in_time(pending)
        self.assertEqual([pending], cancelled)
        [event] = [each for each in events if each.get("hook") == "slow"]
        self.assertNotIn("log_failure", event)
        self.assertEqual(1, len(self.errors.errors))

    def test_coroutine(self) -> None:
        ended: list[str] = []

        async def decide() -> None:
            try:
                await Deferred()
            finally:
                ended.append("ended")

        self.refuses_in_time(decide())
        self.assertEqual(["ended"], ended)
        self.assertEqual(1, len(self.errors.errors))

    def test_allows_too_late(self) -> None:
        pending: Deferred[None] = Deferred(lambda deferred: deferred.callback(None))
        self.refuses_in_time(pending)

    def test_does_not_let_itself_be_cancelled(self) -> None:
        forever: Deferred[None] = Deferred()

        async def decide() -> None:
            try:
                await Deferred()
            except CancelledError:
                await forever

        self.refuses_in_time(decide())
        forever.callback(None)
        self.assertEqual([("slow", "on_stream_open")], self.told())

    def test_fails_too_late(self) -> None:
        pending: Deferred[None] = Deferred(lambda deferred: deferred.errback(Broken()))
        self.refuses_in_time(pending)
        self.assertEqual(
            [Broken, HookTimeout], [type(error) for error, _ in self.errors.errors]
        )
        self.assertEqual(1, len(self.flushLoggedErrors(Broken)))

    def test_refuses_too_late(self) -> None:
        pending: Deferred[None] = Deferred(lambda deferred: deferred.errback(Refused()))
        self.refuses_in_time(pending)
        self.assertEqual(1, len(self.errors.errors))

    def test_fails_to_cancel(self) -> None:
        def canceller(deferred: Deferred[None]) -> None:
            raise Broken

        self.add("slow", lambda: Deferred(canceller))
        deferred = self.decide()
        self.clock.advance(2)
        self.assertIsInstance(self.refused(deferred).__cause__, HookTimeout)
        self.assertEqual(1, len(self.flushLoggedErrors(Broken)))

    def test_each_hook_has_its_own(self) -> None:
        waits: list[Deferred[None]] = [Deferred(), Deferred()]
        first, second = waits
        self.add("first", lambda: first)
        self.add("second", lambda: second)
        deferred = self.decide()
        self.clock.advance(1.5)
        first.callback(None)
        self.clock.advance(1.5)
        self.assertNoResult(deferred)
        second.callback(None)
        self.successResultOf(deferred)


class StopOnErrorTests(DecisionTestCase):
    def test_order(self) -> None:
        wait: Deferred[None] = Deferred()
        self.add("first", lambda: wait)
        self.add("second")
        deferred = self.decide()
        self.assertEqual([("first", "on_stream_open")], self.told())
        wait.callback(None)
        opened = self.successResultOf(deferred)
        self.hooks.notify_stream_close(opened, self.stream, Code.CLOSED, "done")
        self.assertEqual(
            [
                ("first", "on_stream_open"),
                ("second", "on_stream_open"),
                ("first", "on_stream_close", Code.CLOSED, "done"),
                ("second", "on_stream_close", Code.CLOSED, "done"),
            ],
            self.told(),
        )

    def test_first_refusal_decides(self) -> None:
        self.add("first")
        self.add("second", lambda: fail(Refused("no")))
        self.add("third", lambda: fail(Refused("never")))
        error = self.refused(self.decide())
        self.assertEqual("no", str(error))
        self.assertEqual(
            [
                ("first", "on_stream_open"),
                ("second", "on_stream_open"),
                ("first", "on_stream_close", Code.REFUSED, "no"),
            ],
            self.told(),
        )


class NoAnswerTests(DecisionTestCase):
    """
    What is refused only because there is no answer is passing. A "no" is final.
    """

    strategy = Strategy.STOP_ON_ERROR

    def check(self, decide: Callable[[], Any], passing: bool) -> None:
        self.add("first")
        self.add("second", decide)
        asking = self.decide()
        self.clock.advance(60)
        error = self.refused(asking)
        code = Code.INTERNAL if passing else Code.REFUSED
        self.assertEqual((passing, code), (error.passing, error.code))
        self.assertIn(("first", "on_stream_close", code, str(error)), self.told())

    def test_time_out(self) -> None:
        self.check(Deferred, passing=True)

    def test_exception(self) -> None:
        self.check(lambda: fail(Broken()), passing=True)
        self.flushLoggedErrors(Broken)

    def test_undecided(self) -> None:
        """
        It counts as a failure, the hooks for errors are told, and the peer reads the
        text. The log is left to the hook.
        """
        undecided = Undecided("no answer")
        with capturedLogs() as events:
            self.check(lambda: fail(undecided), passing=True)
        self.assertEqual([], events)
        self.assertEqual(
            [(undecided, "hook second failed in on_stream_open")], self.errors.errors
        )
        [counted] = [
            each
            for each in self.hooks.statistics()
            if (each.hook, each.event) == ("second", "on_stream_open")
        ]
        self.assertEqual((1, 0), (counted.failures, counted.refusals))

    def test_refused(self) -> None:
        self.check(lambda: fail(Refused("no")), passing=False)

    def test_false(self) -> None:
        """
        A hook that returns C{False} means to refuse.
        """
        self.check(lambda: False, passing=False)
        self.flushLoggedErrors(TypeError)


class CollectAndContinueTests(DecisionTestCase):
    strategy = Strategy.COLLECT_AND_CONTINUE

    def test_all_are_asked(self) -> None:
        broken = Broken("hunter2")
        refusals = [Refused("no"), Refused("never"), Refused("no")]
        self.add("a", lambda: fail(refusals[0]))
        self.add("b")
        self.add("c", lambda: fail(broken))
        self.add("d", lambda: fail(refusals[1]))
        self.add("e", lambda: fail(refusals[2]))
        self.add("f")
        error = self.refused(self.decide())
        text = "no; refused by a hook; never"
        self.assertEqual(text, str(error))
        group = error.__cause__
        assert isinstance(group, ExceptionGroup)
        self.assertEqual(
            (refusals[0], broken, refusals[1], refusals[2]), group.exceptions
        )
        self.assertEqual("on_stream_open was refused", group.message)
        self.assertEqual(
            [
                *((label, "on_stream_open") for label in "abcdef"),
                ("b", "on_stream_close", Code.REFUSED, text),
                ("f", "on_stream_close", Code.REFUSED, text),
            ],
            self.told(),
        )
        self.assertEqual(
            [(broken, "hook c failed in on_stream_open")], self.errors.errors
        )
        self.flushLoggedErrors(Broken)

    def test_passing(self) -> None:
        """
        Trying again helps only if each that refused says so.
        """
        passing = [Refused("busy", passing=True), Refused("full", passing=True)]
        self.add("a", lambda: fail(passing[0]))
        self.add("b")
        self.add("c", lambda: fail(passing[1]))
        error = self.refused(self.decide())
        self.assertEqual((True, Code.LIMIT), (error.passing, error.code))
        final = RecordingHook("d", decide=lambda: fail(Refused("no")))
        self.hooks.register(final)
        error = self.refused(self.decide())
        self.assertEqual((False, Code.REFUSED), (error.passing, error.code))
        self.hooks.unregister(final)
        self.assertTrue(self.refused(self.decide()).passing)

    def test_no_answer(self) -> None:
        """
        What nobody has decided is passing too, unless another one says no for good.
        """
        self.add("a")
        self.add("b", lambda: fail(Refused("busy", passing=True)))
        self.add("c", lambda: fail(Undecided("no answer")))
        error = self.refused(self.decide())
        self.assertEqual((True, Code.INTERNAL), (error.passing, error.code))
        self.assertEqual("busy; no answer", str(error))
        self.assertIn(
            ("a", "on_stream_close", Code.INTERNAL, "busy; no answer"), self.told()
        )
        self.add("d", lambda: fail(Refused("no")))
        error = self.refused(self.decide())
        self.assertEqual((False, Code.REFUSED), (error.passing, error.code))

    def test_one_makes_a_group_too(self) -> None:
        self.add("a", lambda: fail(Refused("no")))
        self.assertIsInstance(self.refused(self.decide()).__cause__, ExceptionGroup)

    def test_allowed(self) -> None:
        self.add("a")
        self.add("b")
        self.assertEqual(2, len(self.successResultOf(self.decide())))


class EventTests(DecisionTestCase):
    """
    Each of the four pairs of events, with its own arguments.
    """

    def check_pair(
        self,
        decide: Any,
        notify: Any,
        subject: object,
        names: tuple[str, str],
        arguments: tuple[object, ...],
    ) -> None:
        answers: list[Decision] = [None, None, None, fail(Refused("no"))]
        for label in "ab":
            self.add(label, lambda: answers.pop(0))
        opened = self.successResultOf(Deferred.fromCoroutine(decide(subject)))
        notify(opened, subject, *arguments)
        expected: list[tuple[object, ...]] = [
            ("a", names[0], subject),
            ("b", names[0], subject),
            ("a", names[1], subject, *arguments),
            ("b", names[1], subject, *arguments),
        ]
        self.assertEqual(expected, self.calls)
        self.refused(Deferred.fromCoroutine(decide(subject)))
        refusal = (Code.REFUSED, "no") if arguments else ()
        expected += [
            ("a", names[0], subject),
            ("b", names[0], subject),
            ("a", names[1], subject, *refusal),
        ]
        self.assertEqual(expected, self.calls)

    def test_server(self) -> None:
        self.check_pair(
            self.hooks.decide_server_start,
            self.hooks.notify_server_stop,
            FakeServer(),
            ("on_server_start", "on_server_stop"),
            (),
        )

    def test_client(self) -> None:
        self.check_pair(
            self.hooks.decide_client_connect,
            self.hooks.notify_client_disconnect,
            FakeSession(),
            ("on_client_connect", "on_client_disconnect"),
            (Code.LINK_LOST, "gone"),
        )

    def test_tunnel(self) -> None:
        self.check_pair(
            self.hooks.decide_tunnel_open,
            self.hooks.notify_tunnel_close,
            FakeTunnel(),
            ("on_tunnel_open", "on_tunnel_close"),
            (Code.CLOSED, ""),
        )

    def test_stream(self) -> None:
        self.check_pair(
            self.hooks.decide_stream_open,
            self.hooks.notify_stream_close,
            FakeStream(),
            ("on_stream_open", "on_stream_close"),
            (Code.NONE, ""),
        )
