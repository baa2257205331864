"""
Keeps a protocol away from its connection until the link is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.errors import TransportError
from reitunnel.interfaces import ILinkAdmission
from reitunnel.transports.failures import handshake_problem, without_openssl
from reitunnel.transports.layers import abort, base_transport, tls_connection
from reitunnel.transports.tcp_options import TCPOptions, apply_tcp_options

_log = Logger()


def anything_goes(transport: ITransport) -> None:
    """
    Accept whatever the TLS handshake has led to.
    """


class NotAdmitted(TransportError):
    """
    The admission has refused a connection.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """
    When a gate opens.

    @ivar tcp: set on the connection at once.
    @ivar timeout: seconds that a TLS handshake may take.
    @ivar admission: asked before anything else.
    @ivar check: called when the TLS handshake is over; it raises
        L{TransportError} to refuse the peer.
    @ivar explain: why a connection was lost before the gate opened.
    @ivar first_data: called with the transport when the peer sends data for the
        first time.
    @ivar closed: called with the transport when it is gone.
    @ivar shaken: whether a TLS handshake below is over already.
    """

    tcp: TCPOptions
    timeout: float
    admission: ILinkAdmission | None = None
    check: Callable[[ITransport], None] = anything_goes
    explain: Callable[[Failure], TransportError] = handshake_problem
    first_data: Callable[[ITransport], None] = anything_goes
    closed: Callable[[ITransport], None] = anything_goes
    shaken: bool = False


@implementer(IHandshakeListener)
class Gate(Protocol):
    """
    Stands in for a protocol until the connection is admitted and TLS, if there is
    any, is through. Only then is the protocol built and connected. If it does
    not come to that, the connection is closed and no protocol is built.

    It does not matter which TLS it stands on, as long as that calls
    C{handshakeCompleted}.

    @ivar ready: fires with the protocol, once connected; fails with
        L{TransportError} if it never is. Cancelling it closes the connection.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        rules: GateRules,
        clock: IReactorTime,
    ) -> None:
        self.ready: Deferred[IProtocol] = Deferred(lambda _: self._abort())
        self._factory = factory
        self._rules = rules
        self._clock = clock
        self._inner: IProtocol | None = None
        self._admitted: ITransport | None = None
        self._timer: IDelayedCall | None = None
        self._silent = True

    def connectionMade(self) -> None:
        """
        Ask for admission, then wait for the handshake.
        """
        transport = self._transport()
        base = base_transport(transport)
        if self._rules.admission is not None:
            if not self._rules.admission.admit(base):
                self._refuse(NotAdmitted("the connection was not admitted"))
                return
            self._admitted = base
        apply_tcp_options(base, self._rules.tcp)
        if self._rules.shaken or tls_connection(transport) is None:
            self._open()
        else:
            self._timer = self._clock.callLater(self._rules.timeout, self._late)

    def handshakeCompleted(self) -> None:
        """
        TLS is through.
        """
        if self._timer is None or not self._timer.active():
            return
        self._timer.cancel()
        try:
            self._rules.check(self._transport())
        except TransportError as error:
            self._refuse(error)
        else:
            self._open()

    def dataReceived(self, data: bytes) -> None:
        """
        Hand over what the peer sent.
        """
        if self._silent:
            self._silent = False
            self._rules.first_data(self._transport())
        if self._inner is not None:
            self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell the admission and the protocol, each if it knows of the connection.
        """
        self._rules.closed(self._transport())
        if self._admitted is not None and self._rules.admission is not None:
            self._rules.admission.gone(self._admitted)
        if self._inner is not None:
            self._inner.connectionLost(without_openssl(reason))
        else:
            self._shut(self._rules.explain(reason))

    def _transport(self) -> ITransport:
        # Twisted sets it before anything is called.
        assert self.transport is not None
        return self.transport

    def _open(self) -> None:
        try:
            protocol = self._factory.buildProtocol(self._transport().getPeer())
        except Exception as error:
            self._refuse(error)
            return
        if protocol is None:
            self._refuse(TransportError("the link is not wanted"))
            return
        self._inner = protocol
        protocol.makeConnection(self._transport())
        if not self.ready.called:
            self.ready.callback(protocol)

    def _late(self) -> None:
        self._refuse(
            TransportError(f"no TLS handshake within {self._rules.timeout:g} s")
        )

    def _refuse(self, error: Exception) -> None:
        self._shut(error)
        self._abort()

    def _shut(self, error: Exception) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if not self.ready.called:
            self.ready.errback(error)

    def _abort(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.transport is not None:
            abort(self.transport)


@implementer(IProtocolFactory)
class GateFactory:
    """
    Builds a gate for each connection.
    """

    def __init__(
        self, factory: IProtocolFactory, rules: GateRules, clock: IReactorTime
    ) -> None:
        """
        @param factory: builds the protocols behind the gates.
        """
        self._factory = factory
        self._rules = rules
        self._clock = clock

    def buildProtocol(self, addr: IAddress) -> Gate:
        """
        Build a gate. Who uses it looks at its C{ready}.
        """
        return Gate(self._factory, self._rules, self._clock)

    def doStart(self) -> None:
        """
        Start the factory behind.
        """
        self._factory.doStart()

    def doStop(self) -> None:
        """
        Stop the factory behind.
        """
        self._factory.doStop()


class ServerGateFactory(GateFactory):
    """
    Builds the gates of a listener, and logs which ones did not open.
    """

    def buildProtocol(self, addr: IAddress) -> Gate:
        """
        Build a gate.
        """
        gate = super().buildProtocol(addr)
        gate.ready.addErrback(log_refusal, addr)
        return gate


def log_refusal(reason: Failure, address: IAddress | None) -> None:
    """
    Log why there is no link with a peer.
    """
    if reason.check(NotAdmitted):
        # There may be many of them, and who refuses them can say so.
        _log.debug("no link with {peer}: {reason}", peer=address, reason=reason.value)
    elif reason.check(TransportError):
        _log.info("no link with {peer}: {reason}", peer=address, reason=reason.value)
    else:
        _log.failure("no link with {peer}", reason, peer=address)
