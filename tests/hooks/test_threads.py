"""
Tests for the threads that hooks which block are called in: real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Barrier, Event, Thread, current_thread
from threading import enumerate as enumerate_threads
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.hooks import AsyncHook, BaseHook, HookManager
from reitunnel.hooks.threads import IDLE, WorkerThreads
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
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_stopped_while_busy(self) -> None:
        """
        The thread ends after its job.
        """
        self.threads.run(current_thread, self.results.append)
        self.threads.stop()
        self.reactor.turn()
        self.results[0].join(PATIENCE)
        self.assertFalse(self.results[0].is_alive())
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_idle(self) -> None:
        """
        They end when there is nothing to do for a while, and others begin later.
        """
        for _ in range(2):
            self.threads.run(current_thread, self.results.append)
            self.reactor.turn()
            self.reactor.pump([IDLE, IDLE])
            self.results[-1].join(PATIENCE)
            self.assertFalse(self.results[-1].is_alive())
            self.assertEqual([], self.reactor.getDelayedCalls())
        self.assertEqual(2, len(set(self.results)))

    def test_used_now_and_then(self) -> None:
        for _ in range(10):
            self.threads.run(current_thread, self.results.append)
            self.reactor.turn()
            self.reactor.advance(IDLE * 0.9)
        self.assertEqual(1, len(set(self.results)))
        self.assertEqual(1, len(self.reactor.getDelayedCalls()))

    def test_busy_for_long(self) -> None:
        """
        A job that takes long is not given up.
        """
        goes_on = Event()
        self.addCleanup(goes_on.set)
        self.threads.run(current_thread, self.results.append)
        self.reactor.turn()

        def work() -> Thread:
            goes_on.wait(PATIENCE)
            return current_thread()

        self.threads.run(work, self.results.append)
        self.reactor.pump([IDLE] * 5)
        self.threads.run(current_thread, self.results.append)
        self.reactor.turn()
        goes_on.set()
        self.reactor.turn()
        self.assertEqual(3, len(self.results))
        self.reactor.pump([IDLE, IDLE])
        for thread in self.results:
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())


class Where(BaseHook):
    """
    Notes the threads that it is called in.
    """

    def __init__(self) -> None:
        self.threads: list[str] = []

    def on_stream_open(self, stream: IStream) -> None:
        self.threads.append(current_thread().name)

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
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

    def test_forgotten(self) -> None:
        """
        The threads of hooks that are not registered any more end, even if nobody else
        knows of these hooks.
        """
        reactor = ThreadedClock()
        manager = HookManager(reactor)
        before = set(enumerate_threads())
        for _ in range(40):
            hook = AsyncHook(Where(), workers=2)
            manager.register(hook)
            decision = Deferred.fromCoroutine(manager.decide_stream_open(FakeStream()))
            reactor.turn()
            # The close is owed, and told when the hook is gone.
            opened = self.successResultOf(decision)
            manager.unregister(hook)
            manager.notify_stream_close(opened, FakeStream(), Code.NONE, "")
            del hook, decision, opened
        made = set(enumerate_threads()) - before
        self.assertNotEqual(set(), made)
        reactor.advance(1)
        for _ in range(40):
            # They are told.
            reactor.turn()
        reactor.pump([IDLE, IDLE])
        for thread in made:
            thread.join(PATIENCE)
        self.assertEqual(set(), set(enumerate_threads()) - before)
        self.assertEqual([], reactor.getDelayedCalls())
