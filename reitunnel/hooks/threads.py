"""
The threads that hooks which block are called in: so many and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorFromThreads

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
    Threads that are started when they are needed, and wait for more then.

    They do not keep the process alive: a hook that never returns must not, either.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        """
        @param reactor: what jobs come back to.
        @param name: what the threads are called.
        """
        self._reactor = reactor
        self._name = name
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0

    def run(self, job: Job, done: Done) -> None:
        """
        See L{Threads.run}.
        """
        self._busy += 1
        if self._busy > self._threads:
            self._threads += 1
            name = f"{self._name}-{self._threads}"
            Thread(target=self._serve, name=name, daemon=True).start()
        self._jobs.put((job, done))

    def stop(self) -> None:
        """
        See L{Threads.stop}.
        """
        for _ in range(self._threads):
            self._jobs.put(None)

    def _serve(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            self._reactor.callFromThread(self._over, done, job())
            # Not to keep alive what the job was about.
            del item, job, done

    def _over(self, done: Done, result: Any) -> None:
        self._busy -= 1
        done(result)
