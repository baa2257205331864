"""
What the handshakes of control links and data links share, on the client.
"""

from __future__ import annotations

from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from reitunnel.errors import (
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
    Attached,
    Challenge,
    Ended,
    Resumed,
    Welcome,
    known_code,
)

FromServer: TypeAlias = Challenge | Welcome | Attached | Resumed
"""What a server says that goes on."""


class LinkHandshake:
    """
    Shakes hands on a link that the client has dialled, within a time and a number
    of bytes.

    @ivar outcome: fires when the link has got its use. It fails with
        L{SessionRefused} when the server refuses or cannot prove itself, with
        L{RemoteProtocolError} when it speaks another protocol, and with
        L{TransportError} when the link is lost.
    """

    _link: Link
    _facts: ILinkFacts

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        """
        @param timeout: how long the handshake may take, in seconds.
        """
        self.outcome: Deferred[None] = Deferred(self._cancelled)
        self._clock = clock
        self._timeout = timeout
        self._handshake = ClientHandshake()
        self._deadline: IDelayedCall | None = None

    def _first(self) -> bytes:
        """
        Say the first word. For subclasses.
        """
        raise NotImplementedError

    def _heard(self, message: FromServer) -> None:
        """
        Go on with what the server says. For subclasses.

        @raise SessionRefused: when it will not do.
        """
        raise NotImplementedError

    def link_ready(self, link: Link) -> None:
        """
        Say the first word.
        """
        self._link = link
        self._facts = link_facts(link.transport)
        self._deadline = self._clock.callLater(self._timeout, self._expire)
        link.write([self._first()])

    def frame_received(self, frame: Frame) -> None:
        """
        Go on with what the server says.
        """
        message = self._handshake.receive(frame)
        try:
            if isinstance(message, Ended):
                raise SessionRefused(known_code(message.code), message.reason)
            self._heard(message)
        except SessionRefused as refused:
            self._fail(refused)

    def batch_received(self) -> None:
        """
        Each frame was answered as it came.
        """

    def link_full(self) -> None:
        """
        C{link.writable} tells.
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

    def _succeed(self) -> None:
        """
        The link has got its use.
        """
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
