"""
Programs at the ends of streams, that do in each callback what a test wants.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.relay import StreamTransport
from reitunnel.relay.stream import StreamAborted


def nothing() -> None:
    """
    What programs do unless they are told.
    """


class Plain(Protocol):
    """
    A program that knows nothing of half-closes.

    @ivar told: what it was told, in order: C{"made"}, bytes, C{"finished"}, and the
        code it was lost with.
    @ivar received: all bytes that it got.
    @ivar on_made: what it does when it is connected.
    @ivar on_data: what it does when it gets data.
    @ivar on_lost: what it does when the connection is lost.
    @ivar inside: whether a callback is running.
    """

    transport: StreamTransport

    def __init__(self) -> None:
        self.told: list[object] = []
        self.received = b""
        self.on_made: Callable[[], None] = nothing
        self.on_data: Callable[[], None] = nothing
        self.on_lost: Callable[[], None] = nothing
        self.on_finished: Callable[[], None] = nothing
        self.inside = False

    @property
    def codes(self) -> list[Code]:
        """
        The codes it was lost with: one, or none if it was not lost.
        """
        return [each for each in self.told if isinstance(each, Code)]

    def connectionMade(self) -> None:
        self.note("made", self.on_made)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.note(data, self.on_data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(StreamAborted):
            assert isinstance(reason.value, StreamAborted)
            code = reason.value.code
        else:
            assert reason.check(ConnectionDone)
            code = Code.NONE
        self.note(code, self.on_lost)

    def note(self, what: object, then: Callable[[], None]) -> None:
        """
        Write down what happened, and do what the test wants.
        """
        self.told.append(what)
        if self.inside:
            self.told.append("called inside")
        was_inside, self.inside = self.inside, True
        try:
            then()
        finally:
            self.inside = was_inside


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Plain):
    """
    A program that half-closes.

    @ivar on_finished: what it does when the other side sends no more.
    """

    def readConnectionLost(self) -> None:
        self.note("finished", self.on_finished)

    def writeConnectionLost(self) -> None:
        """
        A stream never says so, as TCP does not.
        """
        raise AssertionError


def fail() -> None:
    """
    What broken programs do.
    """
    raise ValueError("broken")
