"""
What the handshakes of control links and data links share, on the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Structural
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
    Response,
    Resumed,
    Welcome,
    known_code,
)

Granted: TypeAlias = Welcome | Attached | Resumed
"""What a server says that lets the client have its will."""
Begin: TypeAlias = Callable[[Link, ILinkFacts, int], None]
"""
Puts a link to its use, at once: it takes the link, its facts, and how many bytes of the
link were the handshake's. It may raise C{SessionRefused}.
"""


class Dialogue(Structural):
    """
    What is said in a handshake.
    """

    def first(self, handshake: ClientHandshake) -> bytes:
        """
        Say the first word.

        @param handshake: makes a frame of it.
        """

    def answer(self, challenge: Challenge, facts: ILinkFacts) -> Response:
        """
        Answer the server.

        @raise SessionRefused: when there is no answer.
        """

    def judge(self, granted: Granted) -> Begin:
        """
        Judge the server's last word.

        @return: puts the link to its use.
        @raise SessionRefused: when it will not do.
        @raise RemoteProtocolError: when it answers something else.
        """


class LinkHandshake:
    """
    Shakes hands on a link that the client has dialled, within a time and a number
    of bytes.

    @ivar dialogue: knows what to say.
    @ivar outcome: fires when the link has got its use. It fails with
        L{SessionRefused} when the server refuses or cannot prove itself, with
        L{RemoteProtocolError} when it speaks another protocol, and with
        L{TransportError} when the link is lost.
    """

    _link: Link
    _facts: ILinkFacts

    def __init__(self, clock: IReactorTime, timeout: float, dialogue: Dialogue) -> None:
        """
        @param timeout: how long the handshake may take, in seconds.
        @param dialogue: knows what to say.
        """
        self.outcome: Deferred[None] = Deferred(self._cancelled)
        self._clock = clock
        self._timeout = timeout
        self.dialogue = dialogue
        self._handshake = ClientHandshake()
        self._deadline: IDelayedCall | None = None

    def link_ready(self, link: Link) -> None:
        """
        Say the first word.
        """
        self._link = link
        self._facts = link_facts(link.transport)
        self._deadline = self._clock.callLater(self._timeout, self._expire)
        link.write([self.dialogue.first(self._handshake)])

    def frame_received(self, frame: Frame) -> None:
        """
        Go on with what the server says.
        """
        message = self._handshake.receive(frame)
        try:
            match message:
                case Ended(code, reason):
                    raise SessionRefused(known_code(code), reason)
                case Challenge():
                    response = self.dialogue.answer(message, self._facts)
                    self._link.write([self._handshake.respond(response)])
                case _:
                    self._granted(message)
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

    def _granted(self, granted: Granted) -> None:
        begin = self.dialogue.judge(granted)
        self._stop_clock()
        begin(self._link, self._facts, self._handshake.heard)
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
