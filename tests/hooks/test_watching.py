"""
Tests of L{HookManager.watch_calls}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks import BaseHook, HookManager


class Told(BaseHook):
    """
    Is told of errors, and fails at those that it should not know.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_error(self, error: BaseException, context: str) -> None:
        """
        Take a while.
        """
        self._clock.rightNow += 0.25
        if context == "bad":
            raise ValueError(context)


class WatchCallsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.manager = HookManager(self.clock, slow=60.0, timer=self.clock.seconds)
        self.manager.register(Told(self.clock), name="told")
        self.calls: list[tuple[str, str, float, float]] = []

    def watch(self, *call: object) -> None:
        self.calls.append(call)  # type: ignore[arg-type]  # what the manager gives

    def test_calls(self) -> None:
        """
        Each call with its beginning and its time, those that fail too.
        """
        self.manager.watch_calls(self.watch)
        self.clock.advance(1)
        self.manager.notify_error(KeyError(), "good")
        self.manager.notify_error(KeyError(), "bad")
        self.assertEqual(
            [("told", "on_error", 1.0, 0.25), ("told", "on_error", 1.25, 0.25)],
            self.calls,
        )
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_no_more(self) -> None:
        self.manager.watch_calls(self.watch)
        self.manager.watch_calls(None)
        self.manager.notify_error(KeyError(), "good")
        self.assertEqual([], self.calls)
