"""
A manager with a hook that is called in threads, and the threads.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks import AsyncHook, BaseHook, HookManager, HookStatistics, Opened
from reitunnel.interfaces import IStream, ITunnel
from tests.hooks.fakes import ErrorRecorder, FakeTunnel
from tests.hooks.support import ManualThreads

PAUSE = 0.01
"""For how long calls are collected."""


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


class DataOnly(BaseHook):
    """
    Decides nothing.
    """

    def __init__(self) -> None:
        self.total = 0

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.total += count
