"""
How a server begins to listen, and tells how that went.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.config import ServerConfig
from reitunnel.errors import ReitunnelError, TransportError
from reitunnel.hooks import HookManager, Opened
from reitunnel.server.descriptors import Descriptors
from reitunnel.server.setup import default_bind_of, shown_address
from reitunnel.transports import LinkURL, ServerTransportSettings, server_endpoint


class Starting:
    """
    The part of L{reitunnel.server.Server} that listens for links.
    """

    config: ServerConfig
    reactor: Any
    hooks: HookManager
    descriptors: Descriptors
    _log: Logger
    _transport_settings: ServerTransportSettings
    _ports: list[IListeningPort]
    _opened: Opened
    _starting: Deferred[None] | None
    _waiting: list[Deferred[tuple[IAddress, ...]]]
    _started: Failure | tuple[IAddress, ...] | None
    _watched: bool

    def when_listening(self) -> Deferred[tuple[IAddress, ...]]:
        """
        Wait until every listener is up.

        @return: fires with where the server listens. It fails with
            L{TransportError} when it cannot listen or is stopped before, and with
            L{Refused} when a hook does not let it start; then nothing is left
            listening. If nobody waits, that is logged.
        """
        self._watched = True
        waiting: Deferred[tuple[IAddress, ...]] = Deferred()
        if self._started is None:
            self._waiting.append(waiting)
        else:
            _fire(waiting, self._started)
        return waiting

    def _factory(self, default_bind: Callable[[], str]) -> IProtocolFactory:
        raise NotImplementedError

    def _start(self) -> None:
        if self._starting is None:
            self._starting = Deferred.fromCoroutine(self._listen())
            self._starting.addCallbacks(self._tell_started, self._tell_failed)

    async def _listen(self) -> None:
        self._opened = await self.hooks.decide_server_start(self)  # type: ignore[arg-type]  # a Server
        try:
            for text in self.config.listen:
                self._ports.append(
                    await self._listen_on(text, self._transport_settings)
                )
        except BaseException:
            await self._stop_listening()
            self.hooks.notify_server_stop(self._opened, self)  # type: ignore[arg-type]  # a Server
            raise
        if self._ports:
            self._log.info(
                "listening on {addresses}",
                addresses=", ".join(
                    shown_address(text, port.getHost())
                    for text, port in zip(self.config.listen, self._ports, strict=True)
                ),
            )

    async def _listen_on(
        self, text: str, settings: ServerTransportSettings
    ) -> IListeningPort:
        url = LinkURL.parse(text)
        factory = self._factory(lambda: default_bind_of(port.getHost()))
        try:
            endpoint = server_endpoint(self.reactor, url, settings)
            port: IListeningPort = await endpoint.listen(factory)
            self.descriptors.watch(port)
        except CannotListenError as error:
            detail = getattr(error.socketError, "strerror", None)
            reason = detail or str(error.socketError)
            raise TransportError(f"{text}: cannot listen: {reason}") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise TransportError(f"{text}: cannot listen: {reason}") from None
        return port

    def _tell_started(self, _: None) -> None:
        self._tell(tuple(port.getHost() for port in self._ports))

    def _tell_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is not None:
            error = TransportError("the server was stopped before it listened")
            self._tell(Failure(error))
            return
        self._tell(failure)
        if not self._watched:
            # Whoever has started it may still ask how that went.
            self.reactor.callLater(0, self._say_unwatched, failure)

    def _say_unwatched(self, failure: Failure) -> None:
        if self._watched:
            return
        if failure.check(ReitunnelError) is None:
            self._log.failure("cannot start", failure=failure)
        else:
            self._log.error("cannot start: {reason}", reason=str(failure.value))

    def _tell(self, result: Failure | tuple[IAddress, ...]) -> None:
        self._started = result
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            _fire(deferred, result)

    async def _stop_listening(self) -> None:
        ports, self._ports = self._ports, []
        await self.descriptors.close(ports)


def _fire(
    deferred: Deferred[tuple[IAddress, ...]], result: Failure | tuple[IAddress, ...]
) -> None:
    if isinstance(result, Failure):
        deferred.errback(result)
    else:
        deferred.callback(result)
