"""
Tests for notifications: everybody is told, and nothing that a hook does changes
anything.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.hooks import BaseHook, HookManager
from reitunnel.interfaces import IErrorHook, IStream
from tests.hooks.fakes import ErrorRecorder, FakeStream, RecordingHook


class Broken(Exception):
    """
    What a hook with a defect raises.
    """


class BrokenClose(BaseHook):
    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        raise Broken


class ReturningClose(BaseHook):
    def __init__(self, value: object) -> None:
        self.value = value

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> Any:
        return self.value


@implementer(IErrorHook)
class BrokenErrorHook:
    def __init__(self) -> None:
        self.told = 0

    def on_error(self, error: BaseException, context: str) -> None:
        self.told += 1
        raise Broken


@implementer(IErrorHook)
class CoroutineErrorHook:
    def on_error(self, error: BaseException, context: str) -> Any:
        return never_run()


async def never_run() -> None:
    """
    Must be closed: Python warns of coroutines that nobody awaits.
    """
    raise AssertionError("it ran")


class CloseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hooks = HookManager(Clock())
        self.errors = ErrorRecorder()
        self.stream = FakeStream()

    def close_between(self, hook: object, name: str | None = None) -> None:
        """
        Register a hook between two sound ones, and close a stream.
        """
        calls: list[tuple[object, ...]] = []
        self.hooks.register(RecordingHook("before", calls))
        self.hooks.register(hook, name=name)
        self.hooks.register(RecordingHook("after", calls))
        self.hooks.register(self.errors)
        opened = self.successResultOf(
            Deferred.fromCoroutine(self.hooks.decide_stream_open(self.stream))
        )
        self.hooks.notify_stream_close(opened, self.stream, Code.NONE, "")
        self.assertEqual(
            ["before", "after"], [c[0] for c in calls if c[1] == "on_stream_close"]
        )

    def test_failure(self) -> None:
        self.close_between(BrokenClose(), name="metrics")
        [(error, context)] = self.errors.errors
        self.assertIsInstance(error, Broken)
        self.assertEqual("hook metrics failed in on_stream_close", context)
        self.assertEqual(1, len(self.flushLoggedErrors(Broken)))

    def test_name_of_the_class(self) -> None:
        self.hooks.register(BrokenClose())
        self.close_between(BrokenClose())
        self.assertEqual(
            [
                "hook BrokenClose failed in on_stream_close",
                "hook BrokenClose#2 failed in on_stream_close",
            ],
            [context for _, context in self.errors.errors],
        )
        self.flushLoggedErrors(Broken)

    def check_mistake(self, value: object, kind: str) -> None:
        self.close_between(ReturningClose(value))
        [(error, _)] = self.errors.errors
        self.assertEqual(
            f"on_stream_close returned a {kind}, and nobody waits for it", str(error)
        )
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))

    def test_coroutine(self) -> None:
        coroutine: Coroutine[Any, Any, None] = never_run()
        self.check_mistake(coroutine, "coroutine")
        with self.assertRaises(RuntimeError):  # it is closed
            coroutine.send(None)

    def test_deferred(self) -> None:
        self.check_mistake(fail(Broken()), "Deferred")

    def test_other_awaitable(self) -> None:
        class Ready:
            def __await__(self) -> Any:
                return iter(())

        self.check_mistake(Ready(), "Ready")

    def test_other_value(self) -> None:
        """
        Whoever returns something thinks that it matters.
        """
        self.close_between(ReturningClose(False))
        [(error, _)] = self.errors.errors
        self.assertEqual(
            "on_stream_close returned a bool, and has no answer: it changes nothing",
            str(error),
        )
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))


class ErrorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hooks = HookManager(Clock())
        self.errors = ErrorRecorder()

    def test_nobody(self) -> None:
        self.hooks.notify_error(Broken(), "resting")

    def test_told(self) -> None:
        self.hooks.register(self.errors)
        error = Broken()
        with capturedLogs() as events:
            self.hooks.notify_error(error, "dialling")
        self.assertEqual([(error, "dialling")], self.errors.errors)
        self.assertEqual([], list(events))

    def test_failing_hook_is_not_told_of_itself(self) -> None:
        broken = BrokenErrorHook()
        self.hooks.register(broken)
        self.hooks.register(self.errors)
        self.hooks.notify_error(ValueError(), "dialling")
        self.assertEqual(1, broken.told)
        self.assertEqual(1, len(self.errors.errors))
        self.assertEqual(1, len(self.flushLoggedErrors(Broken)))

    def test_coroutine(self) -> None:
        self.hooks.register(CoroutineErrorHook())
        self.hooks.register(self.errors)
        self.hooks.notify_error(ValueError(), "dialling")
        self.assertEqual(1, len(self.errors.errors))
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))
