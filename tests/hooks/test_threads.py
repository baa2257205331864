"""
Tests for the threads that hooks which block are called in: real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Barrier, current_thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.hooks import AsyncHook, BaseHook, HookManager
from reitunnel.hooks.threads import WorkerThreads
from reitunnel.interfaces import IStream, ITunnel
from tests.hooks.fakes import FakeStream, FakeTunnel

PATIENCE = 60.0


@implementer(IReactorFromThreads)
class ThreadedClock(Clock):
    """
    A clock that threads can call back.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def callFromThread(
        self, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> None:
        self._calls.put(lambda: callable(*args, **kwargs))

    def turn(self) -> None:
        """
        Wait for a thread to call back, and do it.
        """
        self._calls.get(timeout=PATIENCE)()


class WorkerThreadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ThreadedClock()
        self.threads = WorkerThreads(self.reactor, "example")
        self.addCleanup(self.threads.stop)
        self.results: list[Any] = []

    def test_in_another_thread(self) -> None:
        self.threads.run(current_thread, self.results.append)
        self.assertEqual([], self.results)
        self.reactor.turn()
        [thread] = self.results
        self.assertEqual("example-1", thread.name)
        self.assertTrue(thread.daemon)

    def test_used_again(self) -> None:
        for _ in range(3):
            self.threads.run(current_thread, self.results.append)
            self.reactor.turn()
        self.assertEqual(1, len(set(self.results)))

    def test_as_many_as_needed(self) -> None:
        together = Barrier(3)

        def wait() -> str:
            together.wait(PATIENCE)
            return current_thread().name

        for _ in range(3):
            self.threads.run(wait, self.results.append)
        for _ in range(3):
            self.reactor.turn()
        self.assertEqual({"example-1", "example-2", "example-3"}, set(self.results))

    def test_stopped(self) -> None:
        self.threads.run(current_thread, self.results.append)
        self.reactor.turn()
        self.threads.stop()
        self.results[0].join(PATIENCE)
        self.assertFalse(self.results[0].is_alive())


class Where(BaseHook):
    """
    Notes the threads that it is called in.
    """

    def __init__(self) -> None:
        self.threads: list[str] = []

    def on_stream_open(self, stream: IStream) -> None:
        self.threads.append(current_thread().name)

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.threads.append(current_thread().name)


class AsyncHookTests(SynchronousTestCase):
    def test_real_threads(self) -> None:
        reactor = ThreadedClock()
        manager = HookManager(reactor)
        hook = Where()
        manager.register(AsyncHook(hook, workers=1))
        decision = Deferred.fromCoroutine(manager.decide_stream_open(FakeStream()))
        reactor.turn()
        self.successResultOf(decision)
        assert manager.data_sent is not None
        manager.data_sent(FakeTunnel(), 1)
        finished = Deferred.fromCoroutine(manager.finish())
        reactor.turn()
        self.successResultOf(finished)
        self.assertEqual(["reitunnel-Where-1"] * 2, hook.threads)
