"""
Threads that run when a test says so, and hooks that add up what they are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.hooks import HookManager, Opened
from reitunnel.interfaces import (
    IBackgroundHook,
    IHookHost,
    IReactorHook,
    ITunnel,
    ITunnelHook,
)
from tests.hooks.fakes import RecordingHook


class ManualThreads:
    """
    Runs jobs when it is told to: first in the thread, then back in the reactor.

    @ivar most: how many there were at once, at most.
    @ivar stopped: whether no more will come.
    """

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self.results: list[tuple[Callable[[Any], None], Any]] = []
        self.most = 0
        self.stopped = False

    def run(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        assert not self.stopped
        self.jobs.append((job, done))
        self.most = max(self.most, len(self.jobs) + len(self.results))

    def stop(self) -> None:
        self.stopped = True

    def work(self, number: int = 0) -> None:
        """
        Run one of the jobs that have begun.
        """
        job, done = self.jobs.pop(number)
        self.results.append((done, job()))

    def deliver(self, number: int = 0) -> None:
        """
        Tell the reactor what came of one.
        """
        done, result = self.results.pop(number)
        done(result)

    def run_all(self) -> None:
        """
        Run until there is nothing to do.
        """
        while self.jobs or self.results:
            if self.jobs:
                self.work()
            else:
                self.deliver()


class SummingHook(RecordingHook):
    """
    Adds up bytes, by tunnel and direction, and notes which tunnels have closed.

    @ivar late: bytes that came after the close of their tunnel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.totals: Counter[tuple[int, str]] = Counter()
        self.events = 0
        self.closed: set[int] = set()
        self.late = 0

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        self._add(tunnel, "received", count)

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self._add(tunnel, "sent", count)

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        self.closed.add(tunnel.id)

    def _add(self, tunnel: ITunnel, direction: str, count: int) -> None:
        assert count > 0
        self.events += 1
        self.totals[tunnel.id, direction] += count
        if tunnel.id in self.closed:
            self.late += count


@implementer(ITunnelHook, IBackgroundHook)
class BackgroundHook:
    """
    Writes down when it is attached and finishes.
    """

    def __init__(self, finished: Callable[[], Any] = lambda: None) -> None:
        self.hosts: list[IHookHost] = []
        self.finishes = 0
        self._finished = finished

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        pass

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        pass

    def attach(self, host: IHookHost) -> None:
        self.hosts.append(host)

    def finish(self) -> Any:
        self.finishes += 1
        return self._finished()


@implementer(IReactorHook)
class ReactorHook(RecordingHook):
    """
    Must not leave the reactor's thread.
    """


def open_tunnel(manager: HookManager, tunnel: ITunnel) -> Deferred[Opened]:
    """
    Ask whether a tunnel may be opened.
    """
    return Deferred.fromCoroutine(manager.decide_tunnel_open(tunnel))


def manager_with(hook: object, clock: Clock | None = None) -> HookManager:
    """
    Make a manager with a hook.
    """
    manager = HookManager(clock or Clock())
    manager.register(hook, name="it")
    return manager
