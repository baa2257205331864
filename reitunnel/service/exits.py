"""
How the program ends: its exit code, and lines for people instead of a traceback.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, NoReturn, TextIO

from reitunnel.errors import ConfigError, ReitunnelError

STOPPED: Final = 0
"""Asked to stop, or all is done."""
FAILED: Final = 1
"""It could not start, or gave up."""
MISTAKEN: Final = 2
"""The command line or the configuration has mistakes; nothing was started."""
UNREAD: Final = 141
"""Nobody reads what it says: what a shell makes of the end by SIGPIPE."""


class NotStarted(Exception):
    """
    The service could not start. Why has been said: there is no traceback.
    """


class ExitCode:
    """
    The exit code of a process that C{twistd} runs.

    C{twistd} exits with 0 after the reactor has stopped, whatever made it stop,
    and has no way to say otherwise. Python has none either that late: what an
    exit handler raises does not change the code. So the last thing that a failed
    process does is C{os._exit}, when C{twistd} has removed its pid file and
    closed its log, and the handlers registered after this one have run.

    @ivar value: the code.
    """

    def __init__(
        self,
        register: Callable[[Callable[[], None]], object] = atexit.register,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self.value = STOPPED
        self._register = register
        self._leave = leave

    def fail(self) -> None:
        """
        Have the process exit with L{FAILED}.
        """
        if self.value == STOPPED:
            self.value = FAILED
            self._register(self._at_exit)

    def _at_exit(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            # Nobody may be reading them any more.
            with suppress(OSError, ValueError):
                stream.flush()
        self._leave(self.value)


process_exit: Final = ExitCode()
"""That of this process, which has one."""


def hide_traceback_of_not_started() -> None:
    """
    Have Python say nothing of a L{NotStarted} that ends the process. It is the
    only way to make C{twistd} exit with 1 before the reactor runs, and to make
    the parent of a daemon do so.
    """
    previous = sys.excepthook

    def hook(
        kind: type[BaseException],
        error: BaseException,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, NotStarted):
            previous(kind, error, traceback)

    sys.excepthook = hook


def explain(error: ReitunnelError) -> tuple[list[str], int]:
    """
    Say why nothing was started.

    @return: the lines, and the exit code.
    """
    if isinstance(error, ConfigError):
        return [str(mistake) for mistake in error.mistakes], MISTAKEN
    return [str(error)], FAILED


def leave(error: ReitunnelError, stream: TextIO | None = None) -> NoReturn:
    """
    Exit because nothing can be started.

    @param stream: where to say why; standard error if L{None}.
    """
    lines, code = explain(error)
    for line in lines:
        print(line, file=sys.stderr if stream is None else stream)
    raise SystemExit(code)
