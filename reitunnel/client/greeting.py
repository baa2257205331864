"""
The client's side of a handshake, over a link.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from reitunnel.auth import ClientAuthenticator, ClientExchange
from reitunnel.errors import (
    AuthenticationFailed,
    Code,
    RemoteProtocolError,
    SessionRefused,
    TransportError,
)
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.transports import link_facts
from reitunnel.wire.frames import Frame
from reitunnel.wire.handshake import ClientHandshake
from reitunnel.wire.messages import (
    VERSION,
    Challenge,
    Hello,
    Response,
    Welcome,
    known_code,
)

SOFTWARE: Final = f"reitunnel/{version('reitunnel')}"


class ClientGreeting:
    """
    Authenticates to a server, and checks that it is the right one.

    @ivar outcome: fires when the session has begun. It fails with
        L{SessionRefused} when the server refuses or cannot prove itself, with
        L{RemoteProtocolError} when it speaks another protocol, and with
        L{TransportError} when the link is lost.
    """

    _link: Link
    _facts: ILinkFacts

    def __init__(
        self,
        clock: IReactorTime,
        authenticator: ClientAuthenticator,
        instance: str,
        timeout: float,
        begin: Callable[[Link, ILinkFacts, Welcome], None],
    ) -> None:
        """
        @param instance: the client id.
        @param timeout: how long the handshake may take, in seconds.
        @param begin: begins the session, at once.
        """
        self.outcome: Deferred[None] = Deferred(self._cancelled)
        self._clock = clock
        self._authenticator = authenticator
        self._instance = instance
        self._timeout = timeout
        self._begin = begin
        self._handshake = ClientHandshake()
        self._exchange: ClientExchange | None = None
        self._deadline: IDelayedCall | None = None

    def link_ready(self, link: Link) -> None:
        """
        Say hello.
        """
        self._link = link
        self._facts = link_facts(link.transport)
        self._deadline = self._clock.callLater(self._timeout, self._expire)
        hello = Hello(versions=[VERSION], instance=self._instance, software=SOFTWARE)
        link.write([self._handshake.hello(hello)])

    def frame_received(self, frame: Frame) -> None:
        """
        Go on with what the server says.
        """
        message = self._handshake.receive(frame)
        try:
            if isinstance(message, Challenge):
                self._challenged(message)
            elif isinstance(message, Welcome):
                self._welcomed(message)
            else:
                raise SessionRefused(known_code(message.code), message.reason)
        except SessionRefused as refused:
            self._fail(refused)

    def batch_received(self) -> None:
        """
        Each frame was answered as it came.
        """

    def link_writable(self) -> None:
        """
        Little is sent before the session begins: nothing waited.
        """

    def link_broken(self, error: RemoteProtocolError) -> None:
        """
        The server broke the protocol, or speaks another.
        """
        self._fail(error)

    def link_lost(self, reason: Failure) -> None:
        """
        The link was lost during the handshake.
        """
        cause = getattr(reason.value, "__cause__", None)
        if isinstance(cause, TransportError):
            # In TLS 1.3 a client that is ready may still be told that it is not
            # accepted.
            self._fail(cause)
            return
        text = reason.getErrorMessage().rstrip(".")
        self._fail(TransportError(f"the link was lost during the handshake: {text}"))

    def _challenged(self, challenge: Challenge) -> None:
        if self._exchange is None:
            self._exchange = self._authenticator.choose(
                challenge.mechanisms, self._facts
            )
            response = Response(self._exchange.mechanism, self._exchange.first())
        else:
            response = Response(data=self._exchange.respond(challenge.data))
        self._link.write([self._handshake.respond(response)])

    def _welcomed(self, welcome: Welcome) -> None:
        if self._exchange is None:
            raise AuthenticationFailed("the server asked for no authentication")
        self._exchange.finish(welcome.auth)
        self._stop_clock()
        self._begin(self._link, self._facts, welcome)
        if not self.outcome.called:
            self.outcome.callback(None)

    def _expire(self) -> None:
        self._fail(SessionRefused(Code.TIMEOUT, "the handshake took too long"))

    def _fail(self, error: Exception) -> None:
        self._stop_clock()
        self._link.close()
        if not self.outcome.called:
            self.outcome.errback(error)

    def _cancelled(self, _: Deferred[None]) -> None:
        self._stop_clock()
        self._link.abort()

    def _stop_clock(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
