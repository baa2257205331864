"""
What the C{twistd} plugin is made of: its options, and the service that they
describe.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError

from reitunnel.config import ClientConfig, ServerConfig
from reitunnel.errors import ReitunnelError
from reitunnel.monitoring import Monitor, MonitoredService, Watched
from reitunnel.service.building import build_client, build_server
from reitunnel.service.exits import (
    MISTAKEN,
    ExitCode,
    hide_traceback_of_not_started,
    leave,
    process_exit,
)
from reitunnel.service.log_files import log_observer, logs_to_the_terminal
from reitunnel.service.options import ServerOptions, ServiceOptions
from reitunnel.service.program import Program, SignalHandler, Terminal


class Options(ServiceOptions):
    """
    The plugin's options. A mistake in them is one line and exit code 2: C{twistd}
    by itself would print all the options that it has, and exit with 1.
    """

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse.

        @raise SystemExit: if there is a mistake, which has been printed then.
        """
        try:
            super().parseOptions(options)
        except UsageError as error:
            command = " ".join(filter(None, ("reitunnel", self.subCommand)))
            sys.stderr.write(f"{command}: {error} (see {command} --help)\n")
            raise SystemExit(MISTAKEN) from None


def makeService(options: ServiceOptions) -> Program:
    """
    Make the service of a C{twistd} process.

    @raise SystemExit: if it cannot be made; why has been printed then.
    """
    # By now twistd has installed the reactor that it was told.
    from twisted.internet import reactor  # noqa: PLC0415  # not before

    try:
        return make_program(reactor, options, process_exit)
    except ReitunnelError as error:
        leave(error)


def make_program(reactor: Any, options: ServiceOptions, exit_code: ExitCode) -> Program:
    """
    Make the service of a process.

    @param options: those of C{twistd}, if it is their parent, say where the log
        goes.
    @raise ReitunnelError: if it cannot be made.
    """
    twistd: Mapping[str, Any] = options.parent or {}
    config: ServerConfig | ClientConfig
    watched: Watched
    service: IService
    trouble: Callable[[], Deferred[Any]]
    if isinstance(options.subOptions, ServerOptions):
        config = server_config = options.subOptions.configuration()
        service = watched = server = build_server(reactor, server_config)
        trouble = server.when_listening
    else:
        config = client_config = options.subOptions.configuration()
        service = watched = client = build_client(reactor, client_config)
        trouble = client.when_over
    if config.monitoring.listen is not None:
        monitored = MonitoredService(
            service, Monitor(reactor, watched, config.monitoring)
        )
        # Of the server or client alone.
        trouble = partial(_trouble_of_both, monitored, trouble)
        service = monitored
    observer = None
    if not twistd.get("logger"):
        observer = log_observer(reactor, twistd, config.log_format, config.log_level)
    hide_traceback_of_not_started()
    return Program(
        reactor,
        service,
        trouble,
        exit_code,
        observer=observer,
        terminal=None if logs_to_the_terminal(twistd) else Terminal(),
        # The debugger of twistd has handlers of its own.
        set_handler=_set_no_handler if twistd.get("debug") else signal.signal,
    )


def _trouble_of_both(
    monitored: MonitoredService, trouble: Callable[[], Deferred[Any]]
) -> Deferred[Any]:
    return monitored.when_trouble(trouble())


def _set_no_handler(number: int, handler: SignalHandler) -> None:
    """
    Leave a signal's handler as it is.
    """
