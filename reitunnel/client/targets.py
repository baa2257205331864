"""
Targets: what a client connects a stream to.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final, TypeAlias

from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.error import (
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
    UnknownHostError,
)
from twisted.internet.interfaces import (
    IAddress,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.logger import Logger

from reitunnel.config.addresses import HostTarget, UnixTarget, parse_target
from reitunnel.errors import Code, StreamRefused
from reitunnel.relay import SocketEnd, SocketFactory, StreamTransport, join
from reitunnel.transports import TCPOptions, apply_tcp_options
from reitunnel.transports.failures import system_reason, within

Target: TypeAlias = "str | IStreamClientEndpoint | IProtocolFactory"
"""
C{host:port}, C{[ipv6]:port} or C{unix:/path}; any endpoint; or a factory whose
protocols serve the visitors in this process, with no port in between.
"""

_NO_ANSWER: Final = "no answer in time"


class TargetDialler:
    """
    Connects streams to one tunnel's target. It says once that the target is
    down, and once that it is back.

    @ivar text: the target for people.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, target: Target, options: TCPOptions, timeout: float
    ) -> None:
        """
        @param timeout: how long a connection may take, in seconds.
        @raise ValueError: when C{target} is text and not an address.
        """
        self._factory: IProtocolFactory | None = None
        self._endpoint: IStreamClientEndpoint | None = None
        self._reactor = reactor
        self._timeout = timeout
        self._options = options
        self._down = False
        if isinstance(target, str):
            self.text = target
            self._endpoint = _endpoint(reactor, target, timeout)
        elif IProtocolFactory.providedBy(target):
            self.text = f"in process: {name_of(target)}"
            self._factory = IProtocolFactory(target)
        elif IStreamClientEndpoint.providedBy(target):
            self.text = f"endpoint: {type(target).__name__}"
            self._endpoint = IStreamClientEndpoint(target)
        else:
            raise ValueError(f"{target!r} is not a target")

    def opened(self) -> None:
        """
        Visitors may come from now on: a factory is started, as for a port.
        """
        if self._factory is not None:
            with self._log.failuresHandled("{target} did not start", target=self.text):
                self._factory.doStart()

    def closed(self) -> None:
        """
        The visitors of an opened tunnel are gone, and no more will come.
        """
        if self._factory is not None:
            with self._log.failuresHandled("{target} did not stop", target=self.text):
                self._factory.doStop()

    async def connect(self, visitor: IAddress, stream: StreamTransport) -> None:
        """
        Connect a stream to the target and accept it.

        @raise StreamRefused: when the target cannot be reached.
        """
        if self._factory is not None:
            protocol = self._factory.buildProtocol(visitor)
            if protocol is None:
                raise StreamRefused(Code.TARGET_REFUSED, "the target takes no visitor")
            stream.accept()
            stream.connect(protocol)
            return
        end = await self._dial()
        if stream.lost:
            end.abort()
            return
        if not end.lost:
            apply_tcp_options(end.transport, self._options)
        stream.accept()
        join(end, stream)

    async def _dial(self) -> SocketEnd:
        assert self._endpoint is not None
        factory = SocketFactory(lambda _: SocketEnd(_nothing_yet, _left_early))
        try:
            end: IProtocol = await within(
                self._reactor,
                self._timeout,
                self._endpoint.connect(factory),
                lambda: StreamRefused(Code.TARGET_TIMEOUT, _NO_ANSWER),
            )
        except CancelledError:
            raise
        except Exception as error:
            # Each kind of endpoint has its own ways to fail.
            refused = _refusal(error)
            self._say_down(refused)
            raise refused from None
        if self._down:
            self._down = False
            self._log.info("target {target} is back", target=self.text)
        assert isinstance(end, SocketEnd)
        return end

    def _say_down(self, refused: StreamRefused) -> None:
        if not self._down:
            self._down = True
            self._log.warn(
                "target {target} is down: {reason}; its visitors are reset until it "
                "is back",
                target=self.text,
                reason=refused.reason,
            )


def _endpoint(reactor: Any, target: str, timeout: float) -> IStreamClientEndpoint:
    address = parse_target(target)
    match address:
        case UnixTarget(path):
            return UNIXClientEndpoint(reactor, str(path), timeout)
        case HostTarget(host, port):
            try:
                version = ip_address(host).version
            except ValueError:
                return HostnameEndpoint(reactor, host, port, timeout)
            kind = TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint
            return kind(reactor, host, port, timeout)


def name_of(factory: object) -> str:
    """
    Name a factory. One that wraps another gives that one's name.
    """
    if ILoggingContext.providedBy(factory):
        return ILoggingContext(factory).logPrefix()
    return type(factory).__name__


def _refusal(error: Exception) -> StreamRefused:
    """
    Say why a target could not be reached.
    """
    match error:
        case StreamRefused():
            return error
        case ConnectionRefusedError():
            return StreamRefused(Code.TARGET_REFUSED, "connection refused")
        case TimeoutError():
            return StreamRefused(Code.TARGET_TIMEOUT, _NO_ANSWER)
        case DNSLookupError() | UnknownHostError():
            reason = "the name cannot be resolved"
        case NoRouteError():
            reason = "no route to the host"
        case _:
            reason = system_reason(error)
    return StreamRefused(Code.TARGET_UNREACHABLE, reason)


def _nothing_yet(end: SocketEnd) -> None:
    """
    The endpoint's Deferred tells.
    """


def _left_early() -> None:
    """
    The target closed before it was joined: whoever joins finds the end lost.
    """
