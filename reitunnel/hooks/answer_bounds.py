"""
Connections to HTTP services that bring no more than so many bytes for each request:
the headers of an answer have no other bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

MAX_ANSWER: Final = 64 << 10
"""Bytes that the body of an answer may have."""
_MOST: Final = 2 * MAX_ANSWER
"""Bytes that all of an answer may have, headers included."""


class AnswerTooLong(Exception):
    """
    An answer has more bytes than it may have.
    """


class _Bounded(ProtocolWrapper):
    """
    Closes the connection when an answer is too long.
    """

    _come = 0
    _too_long = False

    def write(self, data: bytes) -> None:
        """
        Send a request, or more of it: what comes from now on answers that.
        """
        self._come = 0
        super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        The same.
        """
        self._come = 0
        super().writeSequence(data)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """
        Count.
        """
        if self._too_long:
            return
        self._come += len(data)
        if self._come > _MOST:
            self._too_long = True
            self.abortConnection()
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell why.
        """
        if self._too_long:
            reason = Failure(AnswerTooLong())
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _BoundedFactory(WrappingFactory):
    """
    Makes them.
    """

    protocol = _Bounded
    noisy = False


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    """
    Connects with a bound for answers.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.
        """

        def inner(bounded: Any) -> Any:
            return bounded.wrappedProtocol

        factory = _BoundedFactory(protocolFactory)  # type: ignore[no-untyped-call]
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(inner)


@implementer(IAgentEndpointFactory)
class BoundedEndpoints:
    """
    The endpoints of an agent whose answers have a bound.
    """

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS, timeout: float) -> None:
        """
        @param policy: verifies services.
        @param timeout: for making a connection, in seconds.
        """
        self._reactor = reactor
        self._policy = policy
        self._timeout = timeout

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        See C{IAgentEndpointFactory}.
        """
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, uri.host.decode("ascii"), uri.port, timeout=self._timeout
        )
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
            endpoint = wrapClientTLS(creator, endpoint)
        return _BoundedEndpoint(endpoint)
