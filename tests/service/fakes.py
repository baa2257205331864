"""
What stands for the reactor and for a service in the tests of L{reitunnel.service}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock


class FakeReactor(MemoryReactorClock):
    """
    A reactor that is told when it runs.

    @ivar stops: how often it was stopped.
    @ivar when_run: what happens while it runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0
        self.when_run: Callable[[], object] = lambda: None
        self._running = False
        self._hooks: list[Callable[[], object]] = []
        self._triggers: list[Callable[[], object]] = []

    def callWhenRunning(
        self, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> None:
        """
        Call when it runs.
        """
        if self._running:
            callable(*args, **kwargs)
        else:
            self._hooks.append(lambda: callable(*args, **kwargs))

    def callFromThread(
        self, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> None:
        """
        Call at once.
        """
        callable(*args, **kwargs)

    def begin(self) -> None:
        """
        It runs now.
        """
        self._running = True
        hooks, self._hooks = self._hooks, []
        for hook in hooks:
            hook()

    def addSystemEventTrigger(
        self,
        phase: str,
        eventType: str,
        callable: Callable[..., Any],
        *args: object,
        **kw: object,
    ) -> None:
        """
        Call before the shutdown.
        """
        assert (phase, eventType) == ("before", "shutdown")
        self._triggers.append(lambda: callable(*args, **kw))

    def shut_down(self) -> None:
        """
        Call what is to be called before the shutdown.
        """
        for trigger in self._triggers:
            trigger()

    def run(self) -> None:
        """
        Run.
        """
        self.begin()
        self.when_run()

    def stop(self) -> None:
        """
        Count it.
        """
        self.stops += 1


class FakeService(Service):
    """
    A service that fails when told.

    @ivar fails_at_start: what it fails with in C{privilegedStartService}.
    @ivar stopping: what C{stopService} returns.
    """

    def __init__(self, fails_at_start: Exception | None = None) -> None:
        self.trouble: Deferred[None] = Deferred()
        self.stopping: Deferred[None] = succeed(None)
        self._fails_at_start = fails_at_start

    def privilegedStartService(self) -> None:
        """
        Fail, if told so.
        """
        if self._fails_at_start is not None:
            self.trouble.errback(self._fails_at_start)

    def when_trouble(self) -> Deferred[None]:
        """
        Wait for trouble.
        """
        return self.trouble

    def stopService(self) -> Deferred[None]:
        """
        Stop.
        """
        super().stopService()
        return self.stopping
