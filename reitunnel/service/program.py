"""
A server or a client as the one thing that a C{twistd} process does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from twisted.application.service import IService, IServiceCollection, MultiService
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from reitunnel.errors import Refused, ReitunnelError
from reitunnel.service.exits import ExitCode, NotStarted
from reitunnel.service.notices import Notices
from reitunnel.service.reloading import Reloader

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask the process to stop."""

PATIENCE: Final = 5.0
"""Seconds that a service has to stop when it is told a second time."""

SignalHandler = Callable[[int, FrameType | None], None]


def _has_terminal() -> bool:
    """
    Whether standard input is a terminal that is still there.
    """
    try:
        return os.isatty(0)
    except OSError:
        return False


def _nothing() -> None:
    """
    There is nothing that could be hurried.
    """


class Terminal:
    """
    Where somebody waits for the start of a daemon, which has no standard error.
    """

    def __init__(self, descriptor: int = 2) -> None:
        """
        @param descriptor: what to write to. It is duplicated, because C{twistd}
            replaces the standard ones in a daemon.
        """
        self._descriptor: int | None = None
        # It may have been closed.
        with suppress(OSError):
            self._descriptor = os.dup(descriptor)

    def say(self, line: str) -> None:
        """
        Write a line, unless it is closed.
        """
        if self._descriptor is not None:
            # Nobody may be there to read it.
            with suppress(OSError):
                os.write(self._descriptor, f"{line}\n".encode())

    def close(self) -> None:
        """
        Leave the terminal alone. Closing it again does nothing.
        """
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Program(MultiService):
    """
    Runs a service until it is asked to stop or cannot go on, and has the process
    exit with the code that says which. Failures are one line in the log, and on
    the terminal if the log is elsewhere.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        service: IService,
        trouble: Callable[[], Deferred[Any]],
        exit_code: ExitCode,
        *,
        observer: ILogObserver | None = None,
        terminal: Terminal | None = None,
        set_handler: Callable[[int, SignalHandler], object] = signal.signal,
        stop_now: Callable[[], None] = _nothing,
        ready: Callable[[], Deferred[Any]] | None = None,
        notices: Notices | None = None,
        reloader: Reloader | None = None,
        has_terminal: Callable[[], bool] = _has_terminal,
    ) -> None:
        """
        @param reactor: the reactor, which is stopped when the service fails.
        @param service: what is run.
        @param trouble: gives a Deferred that fails when the service cannot start
            or go on.
        @param exit_code: that of the process.
        @param observer: what C{twistd} is to write the log with.
        @param terminal: where a failed start is said besides the log.
        @param set_handler: sets a signal's handler.
        @param stop_now: has a service that stops wait no longer.
        @param ready: gives a Deferred that fires when the service does what it is
            for.
        @param notices: told how the service is doing.
        @param reloader: asked to reload by SIGHUP; without it that signal is left
            alone.
        @param has_terminal: tells whether the process has a terminal, and the
            terminal is there.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._reactor = reactor
        self._trouble = trouble
        self._exit_code = exit_code
        self._observer = observer
        self._terminal = terminal
        self._set_handler = set_handler
        self._stop_now = stop_now
        self._ready = ready
        self._notices = notices
        self._reloader = reloader
        self._has_terminal = has_terminal
        self._had_terminal = False
        self._hurried = False
        self._watched = False
        self._failure = ""
        self._stopped: Deferred[None] | None = None
        service.setServiceParent(self)

    def setServiceParent(self, parent: IServiceCollection | Componentized) -> None:
        """
        Become the service of an application, and write its log.
        """
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """
        Start what needs privileges.

        @raise NotStarted: when it is known already that the service cannot start.
        """
        # From here on the process has something to stop.
        self._take_signals()
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._watch()
        if self._failure:
            raise NotStarted(self._failure)

    def startService(self) -> None:
        """
        Start.
        """
        super().startService()  # type: ignore[no-untyped-call]
        # Not before: a daemon has left it by now.
        self._had_terminal = self._has_terminal()
        if self._terminal is not None:
            self._terminal.close()
        self._watch()
        self._reactor.callWhenRunning(self._take_signals)
        if self._ready is not None and self._notices is not None:
            # A failure is for the trouble to say.
            self._ready().addCallbacks(self._tell_ready, _forget)

    def stopService(self) -> Deferred[None]:
        """
        Stop.

        @return: fires when the service has stopped, or a second signal came.
        """
        if self._reloader is not None:
            self._reloader.stop()
        if self._notices is not None:
            self._notices.stopping()
        stopping: Deferred[object] = super().stopService()  # type: ignore[no-untyped-call]
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped

        def done(_: object) -> None:
            if not stopped.called:
                stopped.callback(None)

        stopping.addCallback(done)
        stopped.addCallback(self._tell_stopped)
        return stopped

    def asked_to_stop(self, name: str) -> None:
        """
        A signal came. The first one stops the reactor and so the service. Another
        one while it waits for its streams ends the wait; its hooks are told all the
        same, unless that takes L{PATIENCE} or there is a third one.

        @param name: the signal's.
        """
        if self.running:
            self._log.info("stopping: {signal}", signal=name)
            self._reactor.stop()
        elif self._stopped is not None and not self._stopped.called:
            self._log.info("{signal}: not waiting any longer", signal=name)
            if self._hurried:
                self._stopped.callback(None)
                return
            self._hurried = True
            self._stop_now()
            self._reactor.callLater(PATIENCE, self._abandon)

    def asked_to_reload(self) -> None:
        """
        SIGHUP came. It is what a terminal sends that goes away, too: then it is one
        to stop.
        """
        if self._had_terminal and not self._has_terminal():
            self.asked_to_stop("SIGHUP")
        elif self._reloader is not None:
            self._reloader.ask()

    def _abandon(self) -> None:
        if self._stopped is not None and not self._stopped.called:
            self._stopped.callback(None)

    def _tell_ready(self, _: object) -> None:
        if self.running and self._notices is not None:
            self._notices.ready()

    def _tell_stopped(self, _: None) -> None:
        if self._notices is not None:
            self._notices.close()

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._trouble().addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        """
        The service cannot start, or cannot go on.
        """
        if self._stopped is not None:
            # It was stopped before it knew.
            return
        error = failure.value
        if isinstance(error, ReitunnelError):
            self._failure = str(error)
            if isinstance(error, Refused):
                self._failure = f"a hook does not let it start: {error}"
            self._log.critical("{reason}", reason=self._failure)
        else:
            self._failure = f"{type(error).__name__}: {error}"
            self._log.failure("a defect", failure=failure)
        self._exit_code.fail()
        if not self.running:
            # privilegedStartService raises.
            if self._terminal is not None:
                self._terminal.say(self._failure)
            return
        self._reactor.callWhenRunning(self._give_up)

    def _give_up(self) -> None:
        if self.running:
            self._reactor.stop()

    def _take_signals(self) -> None:
        """
        Handle the signals instead of the reactor, which sets its own handlers when
        it begins to run. With those C{twistd} would die by the signal in the end
        instead of exiting with 0, and a second signal would be in vain.
        """
        for number in SIGNALS:
            self._set_handler(number, self._signalled)
        if self._reloader is not None:
            self._set_handler(signal.SIGHUP, self._hung_up)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        self._reactor.callFromThread(self.asked_to_stop, name)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.asked_to_reload)


def _forget(_: Failure) -> None:
    """
    Others say it.
    """
