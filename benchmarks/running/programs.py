"""
Starts programs, waits for what they print, and sees to it that they end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import IO, NamedTuple, Self

from benchmarks.errors import ProgramFailed, Unavailable
from benchmarks.running.procfs import Process, family, processes

PATIENCE = 30.0
"""How long a program has for what is expected of it, in seconds."""

_GRACE = 5.0
_SHOWN = 500
_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find_program(name: str) -> str:
    """
    Find an installed program, a daemon too.

    @raise Unavailable: if it is not installed.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_DIRECTORIES))
    found = shutil.which(name, path=path)
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found


class Line(NamedTuple):
    """
    A line that a program printed, and when it was read (C{time.monotonic}).
    """

    time: float
    text: str


class Program:
    """
    A program that runs in a process group of its own.

    @ivar name: for messages.
    @ivar pid: its process id.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        directory: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """
        @param directory: where it runs.
        @param environ: what its environment has besides this process's.
        """
        self.name = name
        self._lines: list[Line] = []
        self._ended = False
        self._changed = Condition()
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C", **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def say(self, line: str) -> None:
        """
        Write a line to its standard input.

        @raise ProgramFailed: if it is gone.
        """
        stdin = self._stdin()
        try:
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        except OSError:
            raise self._failed("is gone") from None

    def next_line(self, since: int, timeout: float = PATIENCE) -> tuple[Line, int]:
        """
        Wait for a line.

        @param since: how many lines have been seen.
        @return: the line, and how many have been seen now.
        @raise ProgramFailed: if it ends first, or prints nothing in time.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(self._lines) <= since:
                self._wait(deadline, "print a line", timeout)
            return self._lines[since], since + 1

    def lines_like(
        self, pattern: str, count: int = 1, timeout: float = PATIENCE
    ) -> list[tuple[float, re.Match[str]]]:
        """
        Wait until C{count} lines match.

        @param pattern: a regular expression, found anywhere in a line.
        @return: when each was read, and what matched.
        @raise ProgramFailed: if it ends first, or does not print that in time.
        """
        compiled = re.compile(pattern)
        found: list[tuple[float, re.Match[str]]] = []
        seen = 0
        deadline = time.monotonic() + timeout
        while True:
            with self._changed:
                while len(self._lines) <= seen:
                    self._wait(deadline, f"print {pattern!r} {count} times", timeout)
                new = self._lines[seen:]
            seen += len(new)
            for line in new:
                match = compiled.search(line.text)
                if match:
                    found.append((line.time, match))
                    if len(found) == count:
                        return found

    def check(self) -> None:
        """
        @raise ProgramFailed: if it has ended.
        """
        if self._process.poll() is not None:
            raise self._failed(f"ended with {self._process.returncode}")

    def finish(self, timeout: float) -> None:
        """
        Wait until it has ended.

        @raise ProgramFailed: if that takes too long, or it failed.
        """
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._failed(f"did not end within {timeout:.0f} s") from None
        if code:
            raise self._failed(f"ended with {code}")

    def stop(self) -> None:
        """
        End it and all that descends from it; what does not end in time is killed.
        """
        members = family([self.pid])
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        _kill(members)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(_GRACE)
        with suppress(OSError):
            self._stdin().close()
        self._reader.join(_GRACE)

    def output(self) -> str:
        """
        The end of what it printed, on one line.
        """
        text = " | ".join(line.text for line in self._lines[-3:])
        return text[-_SHOWN:]

    # The parts.

    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _wait(self, deadline: float, what: str, timeout: float) -> None:
        """
        Wait, with the lock held, until something was printed.
        """
        if self._ended:
            raise self._failed(f"ended; it did not {what}")
        left = deadline - time.monotonic()
        if left <= 0 or not self._changed.wait(left):
            raise self._failed(f"did not {what} within {timeout:.0f} s")

    def _failed(self, what: str) -> ProgramFailed:
        return ProgramFailed(f"{self.name} {what}; it printed: {self.output()!r}")

    def _read(self) -> None:
        """
        Collect what it prints.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            with self._changed:
                self._lines.append(Line(time.monotonic(), text))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def kill_descendants() -> None:
    """
    Kill whatever descends from this process: a signal may have come between a
    program's start and its being noted.
    """
    _kill([each for each in family([os.getpid()]) if each.pid != os.getpid()])


def _kill(members: Sequence[Process]) -> None:
    """
    Kill those of some processes that are still there.
    """
    there = {(process.pid, process.started) for process in processes()}
    for process in members:
        if (process.pid, process.started) in there:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


class Programs:
    """
    The programs of one benchmark: all of them end when the C{with} block does.

    @ivar directory: where they run and keep their files.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[Program] = []

    def __enter__(self) -> Self:
        """
        Begin.
        """
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """
        End every program, the newest first.
        """
        for program in reversed(tuple(self._running)):
            self.stop(program)

    def start(
        self,
        name: str,
        *command: str | os.PathLike[str],
        environ: Mapping[str, str] | None = None,
    ) -> Program:
        """
        Start a program.

        @param name: for messages.
        """
        program = Program(name, command, self.directory, environ)
        self._running.append(program)
        return program

    def stop(self, program: Program) -> None:
        """
        End a program.
        """
        program.stop()
        self._running.remove(program)
