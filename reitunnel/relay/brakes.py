"""
Holding a stream back, each direction on its own, for as long as somebody wants that.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from reitunnel.interfaces import IBrake
from reitunnel.relay.stream import StreamTransport


@implementer(IBrake)
class Brake:
    """
    What one of those who pace a direction holds it with.
    """

    __slots__ = ("_direction", "_held")

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._held = False

    def hold(self) -> None:
        """
        See L{IBrake.hold}.
        """
        if not self._held:
            self._held = True
            self._direction.change(1)

    def release(self) -> None:
        """
        See L{IBrake.release}.
        """
        if self._held:
            self._held = False
            self._direction.change(-1)


class Direction:
    """
    One direction of a stream: who is told of its bytes, and how many hold it.

    @ivar tell: told how many bytes have moved.
    """

    __slots__ = ("_apply", "_holds", "_told", "tell")

    def __init__(self) -> None:
        self.tell: Callable[[int], None] = _nothing_moved
        self._told: tuple[Callable[[int], None], ...] = ()
        self._holds = 0
        self._apply: Callable[[bool], None] | None = None

    def add(self, moved: Callable[[int], None]) -> Brake:
        """
        Tell one more of the bytes.

        @return: what that one holds the direction with.
        """
        self._told = (*self._told, moved)
        self.tell = moved if len(self._told) == 1 else self._tell_all
        return Brake(self)

    def fit(self, apply: Callable[[bool], None]) -> None:
        """
        The stream can be held from now on.
        """
        self._apply = apply
        apply(self._holds > 0)

    def change(self, by: int) -> None:
        """
        One more, or one less, holds it.
        """
        self._holds += by
        if self._apply is not None:
            self._apply(self._holds > 0)

    def _tell_all(self, count: int) -> None:
        for moved in self._told:
            moved(count)


class Brakes:
    """
    Both directions of a stream that is paced.

    @ivar received: what the visitor sends.
    @ivar sent: what the visitor gets.
    """

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = Direction()
        self.sent = Direction()

    def fit(self, transport: StreamTransport, outward: bool) -> None:
        """
        The stream is there.

        @param outward: whether what the visitor sends is written to the transport, as
            on the server.
        """
        transport.paced = True
        written, delivered = self.received, self.sent
        if not outward:
            written, delivered = delivered, written
        written.fit(transport.hold_writing)
        delivered.fit(transport.hold_delivery)


def _nothing_moved(count: int) -> None:
    """
    Nobody paces the direction.
    """
