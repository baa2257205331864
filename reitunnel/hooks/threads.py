"""
The threads that hooks which block are called in: so many and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall

IDLE: Final = 10.0
"""How long threads wait for work at least, in seconds. At most it is twice as long."""

Job = Callable[[], Any]
"""Runs in a thread, and never raises."""

Done = Callable[[Any], None]
"""Takes what the job returned, in the reactor's thread."""


class Threads(Protocol):
    """
    Runs jobs in threads. Whoever has it sees to it that there are not too many at
    once.
    """

    def run(self, job: Job, done: Done) -> None:
        """
        Begin a job.
        """

    def stop(self) -> None:
        """
        Let the threads end, each after the job that it is at. Nothing is run later.
        """


class WorkerThreads:
    """
    Threads that are started when they are needed, and wait for more then. When there
    is none for L{IDLE} seconds they end: whoever has them may be forgotten.

    They do not keep the process alive: a hook that never returns must not, either.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        """
        @param reactor: what jobs come back to: an C{IReactorFromThreads} and
            C{IReactorTime}.
        @param name: what the threads are called.
        """
        self._reactor = reactor
        self._name = name
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0
        self._used = False
        self._idle: IDelayedCall | None = None

    def run(self, job: Job, done: Done) -> None:
        """
        See L{Threads.run}.
        """
        self._busy += 1
        self._used = True
        if self._busy > self._threads:
            self._threads += 1
            name = f"{self._name}-{self._threads}"
            Thread(target=self._serve, name=name, daemon=True).start()
        self._jobs.put((job, done))

    def stop(self) -> None:
        """
        See L{Threads.stop}.
        """
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._end()

    def _end(self) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _serve(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            self._reactor.callFromThread(self._over, done, job())
            # Not to keep alive what the job was about.
            del item, job, done

    def _over(self, done: Done, result: Any) -> None:
        self._busy -= 1
        done(result)
        self._look_whether_idle()

    def _look_whether_idle(self) -> None:
        if self._threads and not self._busy and self._idle is None:
            self._used = False
            self._idle = self._reactor.callLater(IDLE, self._idle_over)

    def _idle_over(self) -> None:
        self._idle = None
        if self._used:
            self._look_whether_idle()
        else:
            self._end()
