"""
Where the log goes: what C{twistd} was told of it.
"""

from __future__ import annotations

import signal
import sys
import syslog
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import ILogObserver, LogEvent, LogLevel
from twisted.python.logfile import LogFile
from zope.interface import implementer

from reitunnel.config.values import LogFormat
from reitunnel.config.values import LogLevel as LogLevelName
from reitunnel.errors import ReitunnelError
from reitunnel.service.logs import LineObserver, is_wanted, json_line, level_of, text_of

_PRIORITIES: Final = {
    LogLevel.debug: syslog.LOG_DEBUG,
    LogLevel.info: syslog.LOG_INFO,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.critical: syslog.LOG_CRIT,
}
_DEFAULT_FILE: Final = "twistd.log"
"""What C{twistd} calls the log of a daemon."""


def logs_to_the_terminal(twistd: Mapping[str, Any]) -> bool:
    """
    Whether the log goes to standard output.

    @param twistd: the options of C{twistd}; empty without it.
    """
    if twistd.get("syslog") or twistd.get("logger"):
        return False
    name = twistd.get("logfile")
    return name == "-" or (not name and bool(twistd.get("nodaemon", True)))


def log_observer(
    reactor: IReactorFromThreads,
    twistd: Mapping[str, Any],
    form: LogFormat,
    least: LogLevelName,
) -> LineObserver | SyslogObserver:
    """
    Make what writes the log where C{twistd} would write its own.

    @param twistd: the options of C{twistd}; empty without it.
    @param form: how lines are written.
    @param least: the least level that is logged.
    @raise ReitunnelError: if the file cannot be written.
    """
    if twistd.get("syslog"):
        syslog.openlog(twistd["prefix"], syslog.LOG_PID, syslog.LOG_DAEMON)
        return SyslogObserver(form, least)
    if not logs_to_the_terminal(twistd):
        name = twistd.get("logfile") or _DEFAULT_FILE
        return LineObserver(_log_file(reactor, name), form, least)
    if not twistd.get("nodaemon", True):
        raise ReitunnelError("--logfile: a daemon cannot log to standard output")
    return LineObserver(sys.stdout, form, least)


@implementer(ILogObserver)
class SyslogObserver:
    """
    Sends the events that are wanted to syslog.
    """

    def __init__(
        self,
        form: LogFormat,
        least: LogLevelName,
        send: Callable[[int, str], object] = syslog.syslog,
    ) -> None:
        """
        @param send: takes a priority and a line.
        """
        self._send = send
        self.change(form, least)

    def change(self, form: LogFormat, least: LogLevelName) -> None:
        """
        Write otherwise from now on.
        """
        self._form = form
        self._least = least

    def __call__(self, event: LogEvent) -> None:
        """
        Send an event, if it is wanted. syslog knows the time itself.
        """
        if is_wanted(event, self._least):
            text = json_line(event) if self._form == "json" else text_of(event)
            for line in (text or "").splitlines():
                self._send(_PRIORITIES[level_of(event)], line)


def _log_file(reactor: IReactorFromThreads, name: str) -> LogFile:
    """
    Open a log file that is rotated when it is large, and on SIGUSR1, as that of
    C{twistd} is.
    """
    try:
        file: LogFile = LogFile.fromFullPath(name)
    except OSError as error:
        raise ReitunnelError(
            f"--logfile: {name}: cannot be written: {error.strerror}"
        ) from None
    if not signal.getsignal(signal.SIGUSR1):

        def rotate(number: int, frame: FrameType | None) -> None:
            reactor.callFromThread(file.rotate)

        signal.signal(signal.SIGUSR1, rotate)
    return file
