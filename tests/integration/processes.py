"""
Runs real programs in tests, waits for what they say, and leaves none behind.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any, Final, NoReturn, TypeVar

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.programs import require_program

# The reactor's type is not known to mypy.
reactor: Any = global_reactor

PATIENCE: Final = 30.0
"""Seconds to wait for a program to say or do something."""

_OUT, _ERR, _WITNESS = 1, 2, 3


_T = TypeVar("_T")


class ProcessFailed(AssertionError):
    """
    A program did not do what it was waited for; all it said is in the message.
    """


@dataclass(frozen=True)
class Finished:
    """
    A program that has ended.

    @ivar code: the exit code; negative for a signal.
    @ivar out: its standard output.
    @ivar err: its standard error.
    """

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """
        What it said, on both.
        """
        return (self.out + self.err).splitlines()


class _Wait:
    """
    A wait for text.
    """

    def __init__(self, pattern: re.Pattern[str], count: int) -> None:
        self.pattern = pattern
        self.count = count
        self.found: Deferred[re.Match[str]] = Deferred()


class Running(ProcessProtocol):
    """
    A program that runs.

    Besides its standard streams it has a descriptor that it knows nothing of, and
    so has every process that it leaves behind: when L{gone} fires, none of them
    is there any more, daemons included.

    @ivar output: what it said so far, on both streams.
    @ivar out: what it said on standard output.
    @ivar err: what it said on standard error.
    """

    transport: Any

    def __init__(self, arguments: list[str]) -> None:
        self.output = ""
        self.out = ""
        self.err = ""
        self._arguments = arguments
        self._waits: list[_Wait] = []
        self._code: int | None = None
        self._open = {_OUT, _ERR}
        self._gone = False
        self._on_finished: list[Deferred[Finished]] = []
        self._on_gone: list[Deferred[None]] = []

    @property
    def pid(self) -> int:
        """
        The process id.
        """
        pid = self.transport.pid
        assert pid is not None
        return int(pid)

    @property
    def is_gone(self) -> bool:
        """
        Whether the program and all that it left behind have exited.
        """
        return self._gone

    def wait_for(self, pattern: str, count: int = 1) -> Deferred[re.Match[str]]:
        """
        Wait until the program has said something.

        @param pattern: a regular expression, searched in all of L{output}, in which
            C{^} and C{$} are the ends of a line.
        @param count: how many times it must have said so.
        @return: fires with the match, the last of them. It fails with
            L{ProcessFailed} if the program ends first or L{PATIENCE} is over.
        """
        wait = _Wait(re.compile(pattern, re.MULTILINE), count)
        self._waits.append(wait)
        self._look()
        times = "" if count == 1 else f" {count} times"
        return self._in_time(wait.found, f"did not say {pattern!r}{times}")

    def finished(self, patience: float = PATIENCE) -> Deferred[Finished]:
        """
        Wait until the program has exited and its streams are closed. A daemon that
        it left behind may go on.

        @param patience: how long to wait, in seconds.
        """
        waiting: Deferred[Finished] = Deferred()
        self._on_finished.append(waiting)
        self._tell()
        return self._in_time(waiting, "did not exit", patience)

    def gone(self) -> Deferred[None]:
        """
        Wait until the program and all that it left behind have exited.
        """
        waiting: Deferred[None] = Deferred()
        self._on_gone.append(waiting)
        self._tell()
        return self._in_time(waiting, "is still there, or a daemon of it")

    def signal(self, name: str) -> None:
        """
        Send a signal, C{"TERM"}, unless the program has exited.
        """
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(Signals[f"SIG{name}"].value)

    def stop(self, name: str = "TERM") -> Deferred[Finished]:
        """
        Send a signal and wait until the program has exited.
        """
        self.signal(name)
        return self.finished()

    def write(self, text: str) -> None:
        """
        Write to the program's standard input.
        """
        self.transport.write(text.encode())

    # IProcessProtocol.

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        The program said something.
        """
        text = data.decode(errors="backslashreplace")
        self.output += text
        if childFD == _OUT:
            self.out += text
        else:
            self.err += text
        self._look()

    def childConnectionLost(self, childFD: int) -> None:
        """
        A stream was closed.
        """
        self._open.discard(childFD)
        self._tell()

    def processExited(self, reason: Failure) -> None:
        """
        The program has exited.
        """
        status: Any = reason.value
        self._code = -status.signal if status.signal else status.exitCode
        self._tell()

    def processEnded(self, reason: Failure) -> None:
        """
        The program has exited, and nobody has its streams.
        """
        self._gone = True
        self._open.clear()
        self._tell()

    # The parts.

    def _look(self) -> None:
        for wait in tuple(self._waits):
            matches = list(wait.pattern.finditer(self.output))
            if len(matches) >= wait.count:
                self._waits.remove(wait)
                wait.found.callback(matches[wait.count - 1])

    def _tell(self) -> None:
        if self._code is not None and not self._open:
            waits, self._waits = self._waits, []
            for wait in waits:
                wait.found.errback(
                    self._failed(f"did not say {wait.pattern.pattern!r}")
                )
            finished = Finished(self._code, self.out, self.err)
            told, self._on_finished = self._on_finished, []
            for waiting in told:
                waiting.callback(finished)
        if self._gone:
            gone, self._on_gone = self._on_gone, []
            for ended in gone:
                ended.callback(None)

    def _in_time(
        self, waiting: Deferred[_T], complaint: str, patience: float = PATIENCE
    ) -> Deferred[_T]:
        def explain(failure: Failure) -> NoReturn:
            failure.trap(TimeoutError)
            raise self._failed(f"{complaint} within {patience:g} s")

        return waiting.addTimeout(patience, reactor).addErrback(explain)

    def _failed(self, complaint: str) -> ProcessFailed:
        code = "running" if self._code is None else f"exit code {self._code}"
        return ProcessFailed(
            f"{' '.join(self._arguments)} ({code}) {complaint}; it said:\n{self.output}"
        )


def installed(name: str) -> str:
    """
    The path of a program that pip installs, C{twistd} or C{reitunnel}: beside the
    Python that runs the tests, or wherever it is found.
    """
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else require_program(name)


class ProcessTestCase(TestCase):
    """
    Tests that run programs, in a directory of their own, and in an environment
    without what would change their outcome.
    """

    timeout = 120

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(mode=0o700)
        self._running: list[Running] = []
        self.addCleanup(self._end_all)

    async def _end_all(self) -> None:
        for running in self._running:
            running.signal("KILL")
        for running in self._running:
            await running.gone()

    def start(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> Running:
        """
        Start a program. It is killed at the end of the test.

        @param arguments: the program and its arguments; a name without a directory
            is that of a program that pip installs.
        @param environ: more of the environment.
        """
        program, *rest = arguments
        path = program if os.sep in program else installed(program)
        environment = {**os.environ, "COLUMNS": "80", **(environ or {})}
        if environ is None or "REITUNNEL_TOKEN" not in environ:
            environment.pop("REITUNNEL_TOKEN", None)
        running = Running([program, *rest])
        reactor.spawnProcess(
            running,
            path,
            [path, *rest],
            environment,
            str(self.directory),
            childFDs={0: "w", _OUT: "r", _ERR: "r", _WITNESS: "r"},
        )
        self._running.append(running)
        return running

    def run_to_end(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> Deferred[Finished]:
        """
        Run a program, with nothing on its standard input, and wait until it exits.
        """
        running = self.start(*arguments, environ=environ)
        running.transport.closeStdin()
        return running.finished()

    def kill_daemon_later(self, pid: int, running: Running) -> None:
        """
        Have a daemon killed at the end of the test, if it is still there.

        @param running: the program that left it behind.
        """

        def kill() -> None:
            if not running.is_gone:
                os.kill(pid, Signals.SIGKILL)

        self.addCleanup(kill)
