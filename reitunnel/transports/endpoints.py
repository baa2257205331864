"""
The endpoints of links that go over TCP, TLS or any Twisted endpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from OpenSSL.SSL import Connection
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    clientFromString,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IReactorCore,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITransport,
)
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.errors import CertificateError, TransportError
from reitunnel.interfaces import ITunnelTransport
from reitunnel.transports.certificates import ServerConnections
from reitunnel.transports.contexts import LINK_PROTOCOL
from reitunnel.transports.failures import (
    connect_problem,
    handshake_problem,
    system_reason,
    within,
)
from reitunnel.transports.gate import Gate, GateFactory, GateRules, ServerGateFactory
from reitunnel.transports.layers import tls_connection
from reitunnel.transports.settings import (
    ClientTransportSettings,
    ServerTransportSettings,
)
from reitunnel.transports.tls import TLSLayer, negotiated
from reitunnel.transports.urls import ENDPOINT, LinkURL

Wrap = Callable[[IProtocolFactory], IProtocolFactory]
"""Puts a layer between the connections of an endpoint and a factory."""

ALPNChoice = tuple[bytes, ...]
"""What a peer may have negotiated; the first is what this side speaks."""

LINK_ALPN: ALPNChoice = (LINK_PROTOCOL,)

_T = TypeVar("_T")


@implementer(IStreamServerEndpoint)
class LinkServerEndpoint:
    """
    Listens on another endpoint, with layers in between.
    """

    def __init__(
        self, url: LinkURL, endpoint: IStreamServerEndpoint, wrap: Wrap
    ) -> None:
        self._url = url
        self._endpoint = endpoint
        self._wrap = wrap

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen.

        @return: fails with L{TransportError} if the address cannot be had.
        """
        listening = self._endpoint.listen(self._wrap(protocolFactory))
        return listening.addErrback(self._explain)

    def _explain(self, reason: Failure) -> Failure:
        error = reason.value
        if isinstance(error, CannotListenError):
            why = system_reason(error.socketError)
            return Failure(TransportError(f"{self._url}: cannot listen: {why}"))
        return reason


@implementer(IStreamClientEndpoint)
class LinkClientEndpoint:
    """
    Dials another endpoint, with a gate, and perhaps TLS below it.
    """

    def __init__(
        self,
        reactor: IReactorCore,
        url: LinkURL,
        endpoint: IStreamClientEndpoint,
        settings: ClientTransportSettings,
        alpn: ALPNChoice | None = None,
    ) -> None:
        """
        @param alpn: what TLS may negotiate; L{None} adds no TLS.
        """
        self._clock = IReactorTime(reactor)
        self._url = url
        self._endpoint = endpoint
        self._settings = settings
        self._alpn = alpn

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Dial.

        @return: fires with the protocol once the link is ready; fails with
            L{TransportError}.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        try:
            gate = await self._reach(self._layers(factory))
            return await gate.ready
        except CertificateError:
            # It names a file of this side: that is all there is to say.
            raise
        except TransportError as error:
            raise TransportError(
                f"{self._url}: {error}", permanent=error.permanent
            ) from error.__cause__

    async def _reach(self, factory: IProtocolFactory) -> Gate:
        seconds = self._settings.connect_timeout
        try:
            reached = await within(
                self._clock,
                seconds,
                self._endpoint.connect(factory),
                lambda: TransportError(f"no answer within {seconds:g} s"),
            )
        except (CancelledError, TransportError):
            raise
        except Exception as error:
            # Each kind of endpoint has its own ways to fail.
            name = self._url.host or self._url.text
            raise connect_problem(error, name) from error
        gate = (
            reached.wrappedProtocol if isinstance(reached, ProtocolWrapper) else reached
        )
        assert isinstance(gate, Gate)
        return gate

    def _layers(self, factory: IProtocolFactory) -> IProtocolFactory:
        rules = GateRules(
            tcp=self._settings.tcp, timeout=self._settings.handshake_timeout
        )
        if self._alpn is None:
            return GateFactory(factory, rules, self._clock)
        dial = self._settings.tls.dial(self._url.host, self._url.port, self._alpn[0])
        rules = replace(
            rules,
            check=negotiated(self._alpn),
            explain=lambda reason: dial.problem or handshake_problem(reason),
            first_data=_with_tls(dial.remember),
            closed=_with_tls(dial.release),
        )
        return TLSLayer(
            dial,
            GateFactory(factory, rules, self._clock),
            self._clock,
            self._settings.handshake_timeout,
        )


def _with_tls(act: Callable[[Connection], None]) -> Callable[[ITransport], None]:
    """
    Make something that is done with a TLS connection one that is done with its
    transport.
    """

    def act_on(transport: ITransport) -> None:
        connection = tls_connection(transport)
        if connection is not None:
            act(connection)

    return act_on


def gated(
    reactor: IReactorCore,
    settings: ServerTransportSettings,
    alpn: ALPNChoice | None = None,
) -> Wrap:
    """
    The layers of a server: a gate, and TLS below it.

    @param alpn: what TLS may negotiate; L{None} adds no TLS.
    """
    clock = IReactorTime(reactor)
    rules = GateRules(
        tcp=settings.tcp,
        timeout=settings.handshake_timeout,
        admission=settings.admission,
    )
    if alpn is None:
        return lambda factory: ServerGateFactory(factory, rules, clock)
    if settings.certificates is None:
        raise CertificateError("TLS needs a certificate, and there is none")
    connections = ServerConnections(settings.certificates, alpn[0])
    rules = replace(rules, check=negotiated(alpn))
    return lambda factory: TLSLayer(
        connections,
        ServerGateFactory(factory, rules, clock),
        clock,
        settings.handshake_timeout,
    )


def tcp_server(
    reactor: IReactorCore, url: LinkURL, settings: ServerTransportSettings
) -> IStreamServerEndpoint:
    """
    The endpoint that listens on the host and port of a URL.
    """
    make = TCP6ServerEndpoint if ":" in url.host else TCP4ServerEndpoint
    return make(reactor, url.port, settings.backlog, url.host)


def tcp_client(
    reactor: IReactorCore, url: LinkURL, settings: ClientTransportSettings
) -> IStreamClientEndpoint:
    """
    The endpoint that dials the host and port of a URL.
    """
    if url.port == 0:
        raise TransportError(f"{url}: port 0 cannot be dialled", permanent=True)
    return HostnameEndpoint(
        reactor, url.host, url.port, timeout=settings.connect_timeout
    )


@implementer(ITunnelTransport)
class StreamLinks:
    """
    Links that are the bytes of a TCP connection, over TLS or not: C{tcp://} and
    C{tls://}.
    """

    def __init__(self, scheme: str, alpn: ALPNChoice | None = None) -> None:
        """
        @param alpn: what TLS may negotiate; L{None} adds no TLS.
        """
        self.scheme = scheme
        self.secure = alpn is not None
        self._alpn = alpn

    def server_endpoint(
        self, reactor: IReactorCore, url: LinkURL, settings: ServerTransportSettings
    ) -> IStreamServerEndpoint:
        """
        Make the listening side.
        """
        return LinkServerEndpoint(
            url,
            tcp_server(reactor, url, settings),
            gated(reactor, settings, self._alpn),
        )

    def client_endpoint(
        self, reactor: IReactorCore, url: LinkURL, settings: ClientTransportSettings
    ) -> IStreamClientEndpoint:
        """
        Make the dialling side.
        """
        return LinkClientEndpoint(
            reactor, url, tcp_client(reactor, url, settings), settings, self._alpn
        )


@implementer(ITunnelTransport)
class DescribedLinks:
    """
    Links over what a Twisted endpoint description makes. Whether that is secure,
    and with which certificates, is said in the description.
    """

    scheme = ENDPOINT
    secure = False

    def server_endpoint(
        self, reactor: IReactorCore, url: LinkURL, settings: ServerTransportSettings
    ) -> IStreamServerEndpoint:
        """
        Make the listening side.

        @raise TransportError: if there is no such endpoint.
        """
        endpoint = _described(serverFromString, reactor, url)
        return LinkServerEndpoint(url, endpoint, gated(reactor, settings))

    def client_endpoint(
        self, reactor: IReactorCore, url: LinkURL, settings: ClientTransportSettings
    ) -> IStreamClientEndpoint:
        """
        Make the dialling side.

        @raise TransportError: if there is no such endpoint.
        """
        endpoint = _described(clientFromString, reactor, url)
        return LinkClientEndpoint(reactor, url, endpoint, settings)


def _described(
    make: Callable[[IReactorCore, str], _T], reactor: IReactorCore, url: LinkURL
) -> _T:
    try:
        return make(reactor, url.text)
    except Exception as error:
        # Each kind of endpoint has its own way to complain of its arguments.
        raise TransportError(
            f"{url}: this is neither a URL such as tls://example.com:7000 nor an "
            f"endpoint that Twisted can make: {error}",
            permanent=True,
        ) from error
