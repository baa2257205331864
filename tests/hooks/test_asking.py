"""
Decisions that are given up, from wherever, and closes that are owed.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.hooks import NOTHING_OPENED, Asking, HookManager, Opened, Owed, watch
from tests.hooks.fakes import ErrorRecorder, FakeTunnel, RecordingHook


class AskingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.answer: Deferred[str] = Deferred()
        self.told: list[str] = []

    async def ask(self) -> str:
        try:
            return await self.answer
        except CancelledError:
            self.told.append("cancelled")
            raise
        finally:
            self.told.append("done")

    def test_answer(self) -> None:
        asking = Asking(self.clock, self.ask())
        self.assertFalse(asking.over)
        self.answer.callback("yes")
        self.assertTrue(asking.over)
        self.assertEqual("yes", self.successResultOf(asking.result))

    def test_at_once(self) -> None:
        self.answer.callback("yes")
        asking = Asking(self.clock, self.ask())
        self.assertTrue(asking.over)
        self.assertEqual("yes", self.successResultOf(asking.result))

    def test_failure(self) -> None:
        asking = Asking(self.clock, self.ask())
        self.answer.errback(ZeroDivisionError())
        self.failureResultOf(asking.result, ZeroDivisionError)

    def test_cancel(self) -> None:
        asking = Asking(self.clock, self.ask())
        asking.cancel()
        self.assertEqual(["cancelled", "done"], self.told)
        self.assertTrue(asking.over)
        self.failureResultOf(asking.result, CancelledError)
        asking.cancel()

    def test_cancel_result(self) -> None:
        """
        That is to give up, too.
        """
        asking = Asking(self.clock, self.ask())
        asking.result.cancel()
        self.assertEqual(["cancelled", "done"], self.told)
        self.failureResultOf(asking.result, CancelledError)

    def test_cancel_when_over(self) -> None:
        self.answer.callback("yes")
        asking = Asking(self.clock, self.ask())
        asking.cancel()
        self.assertEqual("yes", self.successResultOf(asking.result))

    def test_cancel_from_inside(self) -> None:
        """
        It goes on until it waits the next time.
        """
        second: Deferred[None] = Deferred()

        async def ask() -> None:
            await self.answer
            asking.cancel()
            self.told.append("still here")
            try:
                await second
            finally:
                self.told.append("done")

        asking = Asking(self.clock, ask())
        self.answer.callback("yes")
        self.assertEqual(["still here"], self.told)
        self.clock.advance(0)
        self.assertEqual(["still here", "done"], self.told)
        self.failureResultOf(asking.result, CancelledError)

    def test_cancel_from_inside_at_the_end(self) -> None:
        """
        If it does not wait again there is nothing to give up.
        """

        async def ask() -> str:
            answer = await self.answer
            asking.cancel()
            return answer

        asking = Asking(self.clock, ask())
        self.answer.callback("yes")
        self.clock.advance(0)
        self.assertEqual("yes", self.successResultOf(asking.result))

    def test_cancel_result_from_inside(self) -> None:
        """
        Who waited does so no longer; what it fails with after that is logged.
        """

        async def ask() -> None:
            await self.answer
            asking.result.cancel()
            raise ZeroDivisionError

        asking = Asking(self.clock, ask())
        self.answer.callback("yes")
        self.failureResultOf(asking.result, CancelledError)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.clock.advance(0)

    def test_watch(self) -> None:
        """
        Failures are reported; that it was given up is none.
        """
        failures: list[object] = []
        watch(Asking(self.clock, self.nothing(self.answer)), failures.append).cancel()
        self.assertEqual([], failures)
        answer: Deferred[str] = Deferred()
        watch(Asking(self.clock, self.nothing(answer)), failures.append)
        answer.errback(ZeroDivisionError())
        self.assertEqual(1, len(failures))

    async def nothing(self, answer: Deferred[str]) -> None:
        await answer


class OwedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[object] = []
        self.owed = Owed(self.tell, lambda: self.told.append("done"))

    def tell(self, opened: Opened, code: Code, reason: str) -> None:
        self.told.append((opened, code, reason))

    def test_in_order(self) -> None:
        self.owed.decided(NOTHING_OPENED)
        self.assertEqual([], self.told)
        self.owed.over(Code.NONE, "")
        self.assertEqual([(NOTHING_OPENED, Code.NONE, ""), "done"], self.told)

    def test_over_first(self) -> None:
        self.owed.over(Code.POLICY, "no")
        self.assertEqual([], self.told)
        self.owed.decided(NOTHING_OPENED)
        self.assertEqual([(NOTHING_OPENED, Code.POLICY, "no"), "done"], self.told)

    def test_not_allowed(self) -> None:
        """
        Nobody is owed anything, but it is done.
        """
        self.owed.decided(None)
        self.owed.over(Code.REFUSED, "no")
        self.assertEqual(["done"], self.told)

    def test_once(self) -> None:
        """
        The first end counts.
        """
        self.owed.decided(NOTHING_OPENED)
        self.owed.over(Code.POLICY, "no")
        self.owed.over(Code.LIMIT, "never")
        self.assertEqual([(NOTHING_OPENED, Code.POLICY, "no"), "done"], self.told)


class ClosingHookTests(SynchronousTestCase):
    """
    A hook, in the middle of its coroutine, gives up what it is being asked about.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.hooks = HookManager(self.clock, timeout=5.0)
        self.errors = ErrorRecorder()
        self.hooks.register(self.errors)
        self.calls: list[tuple[object, ...]] = []
        self.hooks.register(RecordingHook("first", self.calls))
        self.gate: Deferred[None] = Deferred()

    def ask(self, *, then_wait: bool) -> Asking[Opened]:
        async def decide() -> None:
            await self.gate
            asking.cancel()
            if then_wait:
                await Deferred()

        self.hooks.register(RecordingHook("closing", self.calls, decide))
        asking = Asking(self.clock, self.hooks.decide_tunnel_open(FakeTunnel()))
        return asking

    def check(self, asking: Asking[Opened]) -> None:
        self.gate.callback(None)
        self.failureResultOf(asking.result, CancelledError)
        self.clock.advance(0)
        self.assertEqual([], self.errors.errors)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(
            [
                ("first", "on_tunnel_open"),
                ("closing", "on_tunnel_open"),
                ("first", "on_tunnel_close"),
            ],
            [call[:2] for call in self.calls],
        )

    def test_returns(self) -> None:
        self.check(self.ask(then_wait=False))

    def test_waits(self) -> None:
        """
        It is cancelled where it waits the next time.
        """
        self.check(self.ask(then_wait=True))
