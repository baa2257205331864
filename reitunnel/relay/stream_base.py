"""
What the parts of a stream's transport share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol as Structural

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger

from reitunnel.errors import Code
from reitunnel.relay.direct import DirectPath, Receiving
from reitunnel.relay.pipes import Pipes
from reitunnel.wire.session import Session
from reitunnel.wire.streams import Stream


class StreamAborted(ConnectionLost):
    """
    The other side reset the stream.

    @ivar code: why.
    """

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason or code.name)
        self.code = code
        self.reason = reason


class StreamCarrier(Structural):
    """
    What carries a stream: a session, and something that sends what it queues.

    @ivar session: the session that the stream belongs to.
    @ivar clock: for the linger time.
    @ivar high_water: how many queued bytes pause a stream's producer.
    @ivar pipes: for moving bytes in the kernel; L{None} does not.
    """

    session: Session
    clock: IReactorTime
    high_water: int
    pipes: Pipes | None

    def changed(self) -> None:
        """
        The session was told something: send what it wants to send.
        """


def count_nothing(count: int) -> None:
    """
    The default of those who are told of bytes.
    """


def nothing_changed() -> None:
    """
    The default of L{StreamBase.on_carrier}.
    """


class StreamBase(ABC):
    """
    One end of a stream: where it is, and whether it is closed.

    @ivar stream: the stream on the wire.
    @ivar lost: whether it is closed for the protocol.
    @ivar disconnecting: whether the protocol has closed it.
    @ivar paced: whether somebody may hold it back: then it is copied, and not moved in
        the kernel, which moves too much at once.
    @ivar on_carrier: told when a direction goes on on the data link, and when all
        that came there is delivered.
    """

    _log = Logger()

    def __init__(
        self, carrier: StreamCarrier, stream: Stream, peer: IAddress, host: IAddress
    ) -> None:
        self.stream = stream
        self.disconnecting = False
        self.lost = False
        self.paced = False
        self._carrier = carrier
        self._peer = peer
        self._host = host
        self._path: DirectPath | None = None
        self.on_carrier: Callable[[], None] = nothing_changed

    @property
    def carrier(self) -> StreamCarrier:
        """
        What carries the stream.
        """
        return self._carrier

    @property
    def path(self) -> DirectPath | None:
        """
        The data link of the stream, if it has one.
        """
        return self._path

    @abstractmethod
    def abort(self, code: Code, reason: str = "") -> None:
        """
        Reset the stream with a code.
        """

    @abstractmethod
    def loseConnection(self) -> None:
        """
        Close.
        """

    def getPeer(self) -> IAddress:
        """
        Give the visitor's address.
        """
        return self._peer

    def getHost(self) -> IAddress:
        """
        Give the tunnel's public address.
        """
        return self._host

    def _failed(self) -> None:
        """
        The protocol, or its producer, has raised the exception at hand.
        """
        self._log.failure("{peer}: the protocol failed", peer=self._peer)
        self.abort(Code.INTERNAL, "the protocol failed")

    @property
    def _all_was_sent(self) -> bool:
        """
        Whether this side has finished, and nothing of it waits here any more.
        """
        path = self._path
        gone = path is None or path.data_link.link.writable
        return gone and self.stream.said_eof

    @property
    def _all_came(self) -> bool:
        """
        Whether all that the other side has sent has come.
        """
        path = self._path
        arrived = path is None or path.receiving is Receiving.ENDED
        return arrived and self.stream.peer_finished
