"""
Records of an audit trail on their way to the file: kept in order, written in a thread.
Hooks that come one after the other by reloads share the writer of a file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from reitunnel.errors import AuditTrailError
from reitunnel.hooks.audit_chain import BrokenRecord
from reitunnel.hooks.audit_file import AuditFile, Fsync
from reitunnel.hooks.threads import Threads, WorkerThreads
from reitunnel.interfaces import IHookHost

BATCH: Final = 1000
"""Records that are written at once, at most."""
AGAIN: Final = 1.0
"""Seconds until writing that has failed is tried again."""
TOO_LONG: Final = 10.0
"""Seconds that a batch may take before writing counts as failed: a disk may hang."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """
    What came of a job.

    @ivar failed: why it failed; L{None} if it did not.
    @ivar notices: what people should know.
    """

    failed: str | None
    notices: list[str]


@dataclass(frozen=True, slots=True)
class AuditTerms:
    """
    How a hook wants its trail to be written.

    @ivar max_size: bytes after which the file is rotated.
    @ivar keep: how many rotated files are kept; 0 keeps all.
    @ivar fsync: when what is written must be on the disk.
    @ivar capacity: how many records may wait.
    """

    max_size: int
    keep: int
    fsync: Fsync
    capacity: int


class AuditPen:
    """
    What one hook writes a trail with.

    @ivar terms: how it wants that to be done.
    @ivar host: whom the hook reports to.
    @ivar finished: whether the hook has no more to say, as far as it knows.
    """

    def __init__(self, writer: AuditWriter, host: IHookHost, terms: AuditTerms) -> None:
        self.terms = terms
        self.host = host
        self.finished = False
        self._writer = writer

    @property
    def alone(self) -> bool:
        """
        Whether no other hook writes the trail at the moment: it does not go on with
        one that was there before, nor another with what it has begun.
        """
        return not any(self._writer.others(self))

    @property
    def failing(self) -> bool:
        """
        Whether records cannot be written at the moment, or too many wait.
        """
        return self._writer.unwell or self._writer.waiting >= self.terms.capacity

    def add(self, event: str, fields: dict[str, Any]) -> None:
        """
        Record an event, with the time that it is now.
        """
        if self.finished and self.alone:
            # The server was started again, or what was open has ended.
            self.finished = False
        self._writer.add(event, fields, self)

    def finish(self) -> Deferred[None] | None:
        """
        Say no more. If no other hook has more to say, write what waits, trying no
        more than once, and close the file.

        @return: fires when that is done; L{None} if there is nothing to do.
        """
        self.finished = True
        return self._writer.finish() if self.alone else None


class AuditWriter:
    """
    Writes records in their order: one batch after the other, in one thread. A batch
    that cannot be written waits, and is tried again.

    @ivar name: the file's, for people.
    @ivar unwell: whether records cannot be written at the moment.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        name: str,
        file: AuditFile,
        threads: Callable[[], Threads] | None = None,
    ) -> None:
        """
        @param reactor: an L{IReactorTime}, and without C{threads} an
            L{IReactorFromThreads} too.
        @param threads: makes what writes; a thread of its own if L{None}.
        """
        self.unwell = False
        self._reactor = reactor
        self.name = name
        self._file = file
        self._make_threads = threads or self._new_thread
        self._threads: Threads | None = None
        self._pens: list[ref[AuditPen]] = []
        self._waiting: deque[dict[str, Any]] = deque()
        self._batch = 0
        self._lost = 0
        self._writing = False
        self._timer: IDelayedCall | None = None
        self._watch: IDelayedCall | None = None
        self._finishing: list[Deferred[None]] = []

    def join(self, host: IHookHost, terms: AuditTerms) -> AuditPen:
        """
        Let a hook write. Its terms hold until it finishes or another one joins.
        """
        pen = AuditPen(self, host, terms)
        self._pens = [known for known in self._pens if known() is not None]
        self._pens.append(ref(pen))
        return pen

    def others(self, pen: AuditPen) -> Iterator[AuditPen]:
        """
        Give the other hooks that have not finished.
        """
        return (other for other in self._writing_pens() if other is not pen)

    @property
    def waiting(self) -> int:
        """
        How many records wait.
        """
        return len(self._waiting)

    def add(self, event: str, fields: dict[str, Any], pen: AuditPen) -> None:
        """
        Record an event, with the time that it is now.
        """
        if len(self._waiting) >= pen.terms.capacity:
            self._lost += 1
            pen.host.dropped(f"audit {event}", 1)
            return
        self._add_lost()
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
        self._add_lost()
        finishing: Deferred[None] = Deferred()
        self._finishing.append(finishing)
        if not self._writing:
            self._go_on()
        return finishing

    # The parts.

    def _new_thread(self) -> Threads:
        return WorkerThreads(self._reactor, "reitunnel-audit")

    def _writing_pens(self) -> Iterator[AuditPen]:
        for weakly in self._pens:
            pen = weakly()
            if pen is not None and not pen.finished:
                yield pen

    def _add_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._waiting.append(self._dated("lost", {"records": lost}))

    def _dated(self, event: str, fields: dict[str, Any]) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._reactor.seconds(), UTC)
        return {"time": now.isoformat(timespec="microseconds"), "event": event} | fields

    def _write(self) -> None:
        batch = list(islice(self._waiting, BATCH))
        self._batch = len(batch)
        terms = None
        for pen in self._writing_pens():
            terms = pen.terms
        self._run(lambda: self._appended(batch, terms), self._written)

    def _run(self, job: Any, done: Any) -> None:
        if self._threads is None:
            self._threads = self._make_threads()
        self._writing = True
        self._watch = self._reactor.callLater(TOO_LONG, self._too_long)
        try:
            self._threads.run(job, done)
        except RuntimeError as error:
            # There are no more threads in the process.
            self._threads = None
            self._reactor.callLater(0, done, _Outcome(str(error), []))

    def _too_long(self) -> None:
        self._watch = None
        self._tell(_Outcome(f"it takes more than {TOO_LONG:g} seconds", []))

    def _appended(
        self, batch: list[dict[str, Any]], terms: AuditTerms | None
    ) -> _Outcome:
        # Not before: in the thread the file may just be used.
        if terms is not None:
            self._file.change(terms.max_size, terms.keep, terms.fsync)
        return self._tried(lambda: self._file.append(batch))

    def _closed(self) -> _Outcome:
        return self._tried(self._file.close)

    def _tried(self, job: Callable[[], None]) -> _Outcome:
        failed = None
        try:
            job()
        except (OSError, BrokenRecord) as error:
            failed = getattr(error, "strerror", None) or str(error)
        except Exception as error:
            # Whatever it is: a thread that ends here would end the trail.
            failed = f"{type(error).__name__}: {error}"
        return _Outcome(failed, self._file.notices())

    def _written(self, outcome: _Outcome) -> None:
        # Who is told may have something recorded: that waits until this is over.
        self._tell(outcome)
        self._writing = False
        if outcome.failed is not None:
            if self._finishing:
                self._give_up()
            else:
                self._timer = self._reactor.callLater(AGAIN, self._again)
            return
        if self.unwell:
            self.unwell = False
            self._log.info("the audit trail {file} is written again", file=self.name)
        for _ in range(self._batch):
            self._waiting.popleft()
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            self._write()
        elif self._finishing:
            self._run(self._closed, self._over)

    def _again(self) -> None:
        self._timer = None
        self._write()

    def _give_up(self) -> None:
        self._log.error(
            "the audit trail {file} lacks the last {count} records",
            file=self.name,
            count=len(self._waiting),
        )
        # If the server is started again, the trail says so too.
        self._lost += len(self._waiting)
        self._waiting.clear()
        self._run(self._closed, self._over)

    def _over(self, outcome: _Outcome) -> None:
        self._tell(outcome)
        self._writing = False
        if self._waiting:
            # The server was started again meanwhile.
            self._write()
            return
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.stop()
        finishing, self._finishing = self._finishing, []
        for waiting in finishing:
            if not waiting.called:
                waiting.callback(None)

    def _tell(self, outcome: _Outcome) -> None:
        """
        Say in the log, and to the hooks for errors, what went wrong; that it cannot be
        written is said once.
        """
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        texts = list(outcome.notices)
        if outcome.failed is not None and not self.unwell:
            self.unwell = True
            texts.append(f"cannot write the audit trail {self.name}: {outcome.failed}")
        hosts = [pen.host for pen in (weakly() for weakly in self._pens) if pen]
        for text in texts:
            if hosts:
                hosts[-1].failed("write", AuditTrailError(self.name, text))
            else:
                self._log.error("{text}", text=text)
