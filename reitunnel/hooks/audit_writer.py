"""
Records of an audit trail on their way to the file: kept in order, written in a thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from reitunnel.hooks.audit_chain import BrokenRecord
from reitunnel.hooks.audit_file import AuditFile
from reitunnel.hooks.threads import Threads, WorkerThreads
from reitunnel.interfaces import IHookHost

BATCH: Final = 1000
"""Records that are written at once, at most."""
AGAIN: Final = 1.0
"""Seconds until writing that has failed is tried again."""


class AuditWriter:
    """
    Writes records in their order: one batch after the other, in one thread. A batch
    that cannot be written waits, and is tried again.

    @ivar failing: whether records cannot be written at the moment, or too many wait.
    """

    _log = Logger()

    def __init__(
        self,
        host: IHookHost,
        name: str,
        file: AuditFile,
        capacity: int,
        threads: Callable[[], Threads] | None = None,
    ) -> None:
        """
        @param name: the file's, for people.
        @param capacity: how many records may wait.
        @param threads: makes what writes; a thread of its own if L{None}.
        """
        self._host = host
        self._name = name
        self._file = file
        self._capacity = capacity
        self._make_threads = threads or self._new_thread
        self._threads: Threads | None = None
        self._waiting: deque[dict[str, Any]] = deque()
        self._batch = 0
        self._lost = 0
        self._writing = False
        self._unwell = False
        self._timer: IDelayedCall | None = None
        self._finishing: Deferred[None] | None = None

    @property
    def failing(self) -> bool:
        """
        Whether records cannot be written at the moment, or too many wait.
        """
        return self._unwell or len(self._waiting) >= self._capacity

    def add(self, event: str, fields: dict[str, Any]) -> None:
        """
        Record an event, with the time that it is now.
        """
        if len(self._waiting) >= self._capacity:
            self._lost += 1
            self._host.dropped(f"audit {event}", 1)
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._waiting.append(self._dated("lost", {"records": lost}))
        self._waiting.append(self._dated(event, fields))
        if not self._writing and self._timer is None:
            self._write()

    def finish(self) -> Deferred[None] | None:
        """
        Write what waits, trying no more than once, and close the file.

        @return: fires when that is done; L{None} if there is nothing to do.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._threads is None and not self._waiting:
            return None
        if self._lost:
            lost, self._lost = self._lost, 0
            self._waiting.append(self._dated("lost", {"records": lost}))
        finishing: Deferred[None] = Deferred()
        self._finishing = finishing
        if not self._writing:
            self._go_on()
        return finishing

    # The parts.

    def _new_thread(self) -> Threads:
        return WorkerThreads(self._host.reactor, "reitunnel-audit")

    def _dated(self, event: str, fields: dict[str, Any]) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._host.reactor.seconds(), UTC)
        return {"time": now.isoformat(timespec="microseconds"), "event": event} | fields

    def _write(self) -> None:
        batch = list(islice(self._waiting, BATCH))
        self._batch = len(batch)
        self._run(lambda: self._appended(batch), self._written)

    def _run(self, job: Any, done: Any) -> None:
        if self._threads is None:
            self._threads = self._make_threads()
        self._writing = True
        self._threads.run(job, done)

    def _appended(self, batch: list[dict[str, Any]]) -> str | None:
        try:
            self._file.append(batch)
        except (OSError, BrokenRecord) as error:
            return _reason(error)
        return None

    def _closed(self) -> str | None:
        try:
            self._file.close()
        except OSError as error:
            return _reason(error)
        return None

    def _written(self, failed: str | None) -> None:
        self._writing = False
        if failed is not None:
            self._say_failed(failed)
            if self._finishing is not None:
                self._give_up()
            else:
                self._timer = self._host.reactor.callLater(AGAIN, self._again)
            return
        if self._unwell:
            self._unwell = False
            self._log.info("the audit trail {file} is written again", file=self._name)
        for _ in range(self._batch):
            self._waiting.popleft()
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            self._write()
        elif self._finishing is not None:
            self._run(self._closed, self._over)

    def _again(self) -> None:
        self._timer = None
        self._write()

    def _give_up(self) -> None:
        self._log.error(
            "the audit trail {file} lacks the last {count} records",
            file=self._name,
            count=len(self._waiting),
        )
        self._waiting.clear()
        self._run(self._closed, self._over)

    def _over(self, failed: str | None) -> None:
        self._writing = False
        if failed is not None:
            self._say_failed(failed)
        if self._waiting:
            # The server was started again meanwhile.
            self._write()
            return
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.stop()
        finishing, self._finishing = self._finishing, None
        if finishing is not None and not finishing.called:
            finishing.callback(None)

    def _say_failed(self, reason: str) -> None:
        if not self._unwell:
            self._unwell = True
            self._log.error(
                "cannot write the audit trail {file}: {reason}",
                file=self._name,
                reason=reason,
            )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
