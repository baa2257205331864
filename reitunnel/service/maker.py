"""
What the C{twistd} plugin is made of: its options, and the service that they
describe.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError

from reitunnel.client import Client
from reitunnel.config import ClientConfig, Monitoring, ServerConfig, changed_keys
from reitunnel.errors import ReitunnelError, hide_tokens
from reitunnel.monitoring import Monitor, MonitoredService, Watched
from reitunnel.server import Server
from reitunnel.service.exits import (
    MISTAKEN,
    ExitCode,
    hide_traceback_of_not_started,
    leave,
    process_exit,
)
from reitunnel.service.log_files import (
    SyslogObserver,
    log_observer,
    logs_to_the_terminal,
)
from reitunnel.service.logs import LineObserver
from reitunnel.service.memory import keep_freed_memory
from reitunnel.service.notices import Notices
from reitunnel.service.options import ClientOptions, ServerOptions, ServiceOptions
from reitunnel.service.program import Program, SignalHandler, Terminal
from reitunnel.service.reloading import Reloader

_UNTIL_RESTART: Final = (
    "these keys have changed and stay as they were until a restart: {keys}"
)
_FROM_THE_NEXT_SESSION: Final = (
    "these keys have changed and hold from the next session on: {keys}"
)


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
            line = hide_tokens(f"{command}: {error} (see {command} --help)")
            sys.stderr.write(f"{line}\n")
            raise SystemExit(MISTAKEN) from None


def makeService(options: ServiceOptions) -> Program:
    """
    Make the service of a C{twistd} process.

    @raise SystemExit: if it cannot be made; why has been printed then.
    """
    # By now twistd has installed the reactor that it was told.
    from twisted.internet import reactor  # noqa: PLC0415  # not before

    keep_freed_memory()
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
    if isinstance(options.subOptions, ServerOptions):
        run = _server_run(reactor, options.subOptions)
    else:
        run = _client_run(reactor, options.subOptions)
    if run.config.monitoring.listen is not None:
        monitored = MonitoredService(
            run.service, Monitor(reactor, run.watched, run.config.monitoring)
        )
        # Of the server or client alone.
        trouble = partial(_trouble_of_both, monitored, run.trouble)
        run = replace(run, service=monitored, trouble=trouble)
    observer: LineObserver | SyslogObserver | None = None
    if not twistd.get("logger"):
        config = run.config
        observer = log_observer(reactor, twistd, config.log_format, config.log_level)
    notices = Notices(reactor, run.status)

    async def reload() -> Mapping[str, Sequence[str]]:
        changed, kept = await run.reload()
        if observer is not None:
            observer.change(changed.log_format, changed.log_level)
        monitoring = _changed_monitoring(run.config.monitoring, changed.monitoring)
        if run.kept == _UNTIL_RESTART:
            return {_UNTIL_RESTART: [*kept, *monitoring]}
        return {run.kept: kept, _UNTIL_RESTART: monitoring}

    hide_traceback_of_not_started()
    return Program(
        reactor,
        run.service,
        run.trouble,
        exit_code,
        observer=observer,
        terminal=None if logs_to_the_terminal(twistd) else Terminal(),
        # The debugger of twistd has handlers of its own.
        set_handler=_set_no_handler if twistd.get("debug") else signal.signal,
        stop_now=run.stop_now,
        ready=run.ready,
        notices=notices,
        reloader=Reloader(reload, notices),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """
    A server or a client, as a program has it.

    @ivar reload: reads the configuration again and takes it over; gives it, and
        the keys that do not hold yet.
    @ivar kept: what there is to say of these.
    """

    config: ServerConfig | ClientConfig
    service: IService
    watched: Watched
    trouble: Callable[[], Deferred[Any]]
    ready: Callable[[], Deferred[Any]]
    stop_now: Callable[[], None]
    status: Callable[[], str]
    reload: Callable[[], Awaitable[tuple[ServerConfig | ClientConfig, Sequence[str]]]]
    kept: str


def _server_run(reactor: Any, options: ServerOptions) -> _Run:
    config = options.configuration()
    server = Server(reactor, config)

    async def reload() -> tuple[ServerConfig, Sequence[str]]:
        changed = options.configuration()
        return changed, await server.reload(changed)

    return _Run(
        config,
        server,
        server,
        server.when_listening,
        server.when_listening,
        server.stop_now,
        lambda: server.status,
        reload,
        _UNTIL_RESTART,
    )


def _client_run(reactor: Any, options: ClientOptions) -> _Run:
    config = options.configuration()
    client = Client(reactor, config)

    async def reload() -> tuple[ClientConfig, Sequence[str]]:
        changed = options.configuration()
        return changed, client.reload(changed)

    return _Run(
        config,
        client,
        client,
        client.when_over,
        client.when_tried,
        client.stop_now,
        lambda: client.status,
        reload,
        _FROM_THE_NEXT_SESSION,
    )


def _trouble_of_both(
    monitored: MonitoredService, trouble: Callable[[], Deferred[Any]]
) -> Deferred[Any]:
    return monitored.when_trouble(trouble())


def _changed_monitoring(former: Monitoring, new: Monitoring) -> list[str]:
    """
    Name what the monitor, which listens since the start, was told otherwise then.
    """
    keys = Monitoring.__struct_fields__
    return [f"monitoring.{key}" for key in changed_keys(former, new, keys)]


def _set_no_handler(number: int, handler: SignalHandler) -> None:
    """
    Leave a signal's handler as it is.
    """
