"""
The monitor as a service: listens for those who want to see what the process does.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IStreamServerEndpoint,
)
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web.server import Site

from reitunnel.config import (
    Monitoring,
    UnixTarget,
    is_loopback,
    parse_monitor_address,
)
from reitunnel.errors import ConfigError, ConfigMistake, TransportError
from reitunnel.monitoring.lag import LagMeter
from reitunnel.monitoring.pages import Guarded
from reitunnel.monitoring.status import StatusReport
from reitunnel.monitoring.totals import Totals
from reitunnel.monitoring.tree import page_tree
from reitunnel.monitoring.watched import Watched
from reitunnel.relay import shown

_ONLY_OWNER = 0o600


class Monitor(Service):
    """
    Shows what a server or a client does, over HTTP on a TCP port or a Unix socket.
    While nobody asks it measures the lag of the reactor twice a second, and that is
    all.
    """

    _log = Logger()

    def __init__(self, reactor: Any, watched: Watched, settings: Monitoring) -> None:
        """
        @param reactor: an C{IReactorTCP}, C{IReactorTime} and, for a Unix socket,
            C{IReactorUNIX}.
        @param watched: the server or client, which has not begun.
        @param settings: where to listen, and what to show.
        @raise ConfigError: if the settings name no address, or one that is not for
            this machine alone without C{insecure_expose}.
        """
        if settings.listen is None:
            raise ConfigError([ConfigMistake("monitoring.listen", "missing")])
        self._text = settings.listen
        self._address = parse_monitor_address(settings.listen)
        self._reactor = reactor
        self._lag = LagMeter(reactor)
        totals = Totals()
        watched.hooks.register(totals, name="monitoring")
        report = StatusReport(reactor, watched, totals, self._lag)
        self._tree = page_tree(
            reactor, watched, totals, self._lag, report, debug=settings.debug
        )
        local = not isinstance(self._address, UnixTarget) and is_loopback(
            self._address.host
        )
        if not (
            local or settings.insecure_expose or isinstance(self._address, UnixTarget)
        ):
            mistake = ConfigMistake(
                "monitoring.listen", f'"{self._text}" is not for this machine alone'
            )
            raise ConfigError([mistake])
        site = Site(Guarded(self._tree.root, local), reactor=reactor)
        site.displayTracebacks = False
        # It knows its connections.
        self._factory = WrappingFactory(site)
        self._port: IListeningPort | None = None
        self._starting: Deferred[None] | None = None
        self._failure: Failure | None = None

    @property
    def address(self) -> IAddress | None:
        """
        Where it listens, while it does.
        """
        return None if self._port is None else self._port.getHost()

    def start_listening(self) -> Deferred[None]:
        """
        Begin to listen, unless that was done.

        @return: fires when it listens, and fails with L{TransportError} if it cannot.
        """
        if self._starting is None:
            self._failure = None
            self._starting = Deferred.fromCoroutine(self._listen())
            self._starting.addErrback(self._failed)
        told: Deferred[None] = Deferred()
        self._starting.addCallback(lambda _: _fire(told, self._failure))
        return told

    def stopService(self) -> Deferred[None]:
        """
        Stop: what is being made is given up.

        @return: fires when nothing is left open.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _listen(self) -> None:
        try:
            port: IListeningPort = await self._endpoint().listen(self._factory)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            raise TransportError(
                f"{self._text}: cannot listen for monitoring: {reason}"
            ) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise TransportError(
                f"{self._text}: cannot listen for monitoring: {reason}"
            ) from None
        self._port = port
        self._lag.start()
        where = self._text if isinstance(self._address, UnixTarget) else ""
        self._log.info(
            "monitoring on {address}", address=where or shown(port.getHost())
        )

    def _failed(self, failure: Failure) -> None:
        self._failure = failure

    def _endpoint(self) -> IStreamServerEndpoint:
        address = self._address
        if isinstance(address, UnixTarget):
            # With a lock, so that what an earlier process left behind is removed.
            return UNIXServerEndpoint(
                self._reactor, str(address.path), mode=_ONLY_OWNER, wantPID=True
            )
        kind = TCP6ServerEndpoint if ":" in address.host else TCP4ServerEndpoint
        return kind(self._reactor, address.port, interface=address.host)

    async def _stop(self) -> None:
        self._starting = None
        self._lag.stop()
        self._tree.stop()
        port, self._port = self._port, None
        if port is not None:
            stopped = port.stopListening()
            if stopped is not None:
                await stopped
        connections = tuple(self._factory.protocols)
        for connection in connections:
            connection.abortConnection()
        if connections:
            # They are lost in the next turn.
            await deferLater(self._reactor, 0)


class MonitoredService(Service):
    """
    A server or a client together with its monitor, which is there before it and
    until it has stopped.
    """

    def __init__(self, service: IService, monitor: Monitor) -> None:
        self._service = service
        self._monitor = monitor
        self._listening: Deferred[None] | None = None

    def when_trouble(self, others: Deferred[Any]) -> Deferred[Any]:
        """
        Wait for trouble of either.

        @param others: fails when the server or client cannot start or go on.
        @return: fails with the first trouble, and fires with C{others}.
        """
        trouble: Deferred[Any] = Deferred()

        def tell(result: object) -> None:
            if not trouble.called:
                trouble.callback(result)

        self._monitor.start_listening().addErrback(tell)
        others.addBoth(tell)
        return trouble

    def privilegedStartService(self) -> None:
        """
        Begin to listen.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._begin()
        self._service.privilegedStartService()

    def startService(self) -> None:
        """
        Start.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._begin()
        self._monitor.startService()  # type: ignore[no-untyped-call]
        self._service.startService()

    def stopService(self) -> Deferred[None]:
        """
        Stop.

        @return: fires when both have.
        """
        super().stopService()  # type: ignore[no-untyped-call]

        async def stop() -> None:
            try:
                await _deferred(self._service.stopService())
            finally:
                await self._monitor.stopService()

        return Deferred.fromCoroutine(stop())

    def _begin(self) -> None:
        # Whoever asks for trouble is told of a failure.
        self._monitor.start_listening().addErrback(lambda failure: None)


async def _deferred(result: Deferred[Any] | None) -> None:
    if result is not None:
        await result


def _fire(told: Deferred[None], failure: Failure | None) -> None:
    if failure is None:
        told.callback(None)
    else:
        told.errback(failure)
