"""
Saves what clients have used, in a thread: a disk may be slow.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred

from reitunnel.hooks.threads import Threads
from reitunnel.hooks.usage import UsageFile, write_usage


class UsageSaving:
    """
    Writes the file, one write after the other.

    @ivar unsaved: whether the newest write failed.
    """

    def __init__(self, path: Path, threads: Callable[[], Threads]) -> None:
        """
        @param path: the file.
        @param threads: makes what writes run in. There is never more than one at once.
        """
        self.unsaved = False
        self._path = path
        self._make_threads = threads
        self._failed: Callable[[Exception], None] = _told_nobody
        self._threads: Threads | None = None
        self._next: UsageFile | None = None
        self._writing = False
        self._waiting: list[Deferred[None]] = []

    def save(self, file: UsageFile, failed: Callable[[Exception], None]) -> None:
        """
        Write, once what is being written is. Of those that wait the newest is written.

        @param failed: told of a write that failed, unless the one before failed too.
        """
        self._next = file
        self._failed = failed
        if not self._writing:
            self._write(file)

    def finish(self) -> Deferred[None]:
        """
        Wait for the last write, and let go of the thread.
        """
        done: Deferred[None] = Deferred()
        if self._writing:
            self._waiting.append(done)
        else:
            self._release()
            done.callback(None)
        return done

    def _write(self, file: UsageFile) -> None:
        self._next = None
        self._writing = True
        if self._threads is None:
            self._threads = self._make_threads()
        self._threads.run(lambda: _try_to_write(self._path, file), self._written)

    def _written(self, error: Exception | None) -> None:
        self._writing = False
        first, self.unsaved = not self.unsaved, error is not None
        if error is not None and first:
            self._failed(error)
        if self._next is not None:
            self._write(self._next)
        elif self._waiting:
            self._release()
            waiting, self._waiting = self._waiting, []
            for done in waiting:
                if not done.called:
                    done.callback(None)

    def _release(self) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.stop()


def _told_nobody(error: Exception) -> None:
    """
    Nothing is written yet.
    """


def _try_to_write(path: Path, file: UsageFile) -> Exception | None:
    try:
        write_usage(path, file)
    except Exception as error:
        return error
    return None
