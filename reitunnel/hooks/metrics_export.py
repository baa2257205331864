"""
Writing metrics to a file and to the log from time to time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from reitunnel.hooks.threads import Threads, WorkerThreads
from reitunnel.interfaces import IHookHost


class Exporter:
    """
    Writes a line every so many seconds, and a last one at L{finish}. The file is
    opened for each line, in a thread, so that it may be moved away at any time.
    """

    _log = Logger()

    def __init__(
        self,
        host: IHookHost,
        measure: Callable[[], dict[str, Any]],
        interval: float,
        file: Path | None,
        log: bool,
        threads: Callable[[], Threads] | None = None,
    ) -> None:
        """
        @param measure: gives what to write.
        @param threads: makes what writes; a thread of its own if L{None}.
        """
        self._host = host
        self._measure = measure
        self._interval = interval
        self._file = None if file is None else Path(file).absolute()
        self._to_log = log
        self._make_threads = threads or self._new_thread
        self._threads: Threads | None = None
        self._writing = False
        self._once_more = False
        self._failed = False
        self._waiting: list[Deferred[None]] = []
        self._timer: IDelayedCall | None = None

    def begin(self) -> None:
        """
        Write from now on.
        """
        if self._timer is None:
            self._timer = self._host.reactor.callLater(self._interval, self._due)

    def finish(self) -> Deferred[None] | None:
        """
        Write a last line, and no more until L{begin}.

        @return: fires when it is written; L{None} if there is nothing to write.
        """
        if self._timer is None:
            return None
        self._timer.cancel()
        self._timer = None
        if self._to_log:
            self._write_log()
        if self._file is None:
            return None
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if self._writing:
            # What is being written is older.
            self._once_more = True
        else:
            self._write_file(self._file)
        return done

    # The parts.

    def _new_thread(self) -> Threads:
        return WorkerThreads(self._host.reactor, "reitunnel-metrics")

    def _due(self) -> None:
        self._timer = None
        self.begin()
        if self._to_log:
            self._write_log()
        # A disk that hangs costs lines, and not memory.
        if self._file is not None and not self._writing:
            self._write_file(self._file)

    def _write_log(self) -> None:
        total = self._measure()["total"]
        self._log.info(
            "metrics: {sessions} sessions, {open_tunnels} tunnels, {open_streams} "
            "streams; {streams} streams, {received} bytes received and {sent} bytes "
            "sent so far",
            **total,
        )

    def _write_file(self, file: Path) -> None:
        line = msgspec.json.encode(self._measure()) + b"\n"
        if self._threads is None:
            self._threads = self._make_threads()
        self._writing = True
        self._threads.run(lambda: _append(file, line), self._written)

    def _written(self, error: Exception | None) -> None:
        self._writing = False
        if error is None:
            if self._failed:
                self._log.info("metrics are written to {file} again", file=self._file)
        elif not self._failed:
            self._log.error(
                "cannot write metrics to {file}: {reason}",
                file=self._file,
                reason=getattr(error, "strerror", None) or str(error),
            )
        self._failed = error is not None
        if self._once_more and self._file is not None:
            self._once_more = False
            self._write_file(self._file)
        elif self._waiting:
            self._end()

    def _end(self) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.stop()
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)


def _append(file: Path, line: bytes) -> Exception | None:
    try:
        with open(file, "ab", opener=_open) as stream:
            stream.write(line)
    except Exception as error:
        # Whatever it is, it must not end the thread, and is for people to know.
        return error
    return None


def _open(path: str, flags: int) -> int:
    # Names and addresses are in it, which are not for everybody.
    return os.open(path, flags, 0o600)
