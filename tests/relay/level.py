"""
A reactor that is turned by hand, and connections on it, over real sockets.
"""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IReactorFDSet,
    IReadDescriptor,
    IWriteDescriptor,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

PATIENCE = 20.0
"""Seconds after which something that should happen has not."""


@implementer(IReactorFDSet)
class LevelReactor(Clock):
    """
    Calls what is ready, in one turn, as Twisted's reactors do. As with most of them
    a descriptor has one object: here a second one is an error, and not ignored.

    @ivar wakes: how often something was ready.
    """

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0
        self._owners: dict[int, Any] = {}
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def addReader(self, reader: IReadDescriptor) -> None:
        self._add(reader, self._readers)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        self._add(writer, self._writers)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self._remove(reader, self._readers)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        self._remove(writer, self._writers)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        owners = list(self._owners.values())
        for known in (self._owners, self._readers, self._writers):
            known.clear()
        return owners

    def getReaders(self) -> list[IReadDescriptor]:
        return [self._owners[each] for each in self._readers]

    def getWriters(self) -> list[IWriteDescriptor]:
        return [self._owners[each] for each in self._writers]

    def turn(self, wait: float = 0) -> int:
        """
        Call what is due and what is ready.

        @param wait: how long to wait for something to be ready, in seconds.
        @return: how much was ready.
        """
        self.advance(0)
        poller = select.poll()
        for each in self._owners:
            reading = select.POLLIN if each in self._readers else 0
            writing = select.POLLOUT if each in self._writers else 0
            poller.register(each, reading | writing)
        ready = poller.poll(wait * 1000)
        for descriptor, event in ready:
            owner = self._owners.get(descriptor)
            if owner is not None:
                self.wakes += 1
                self._call(owner, descriptor, event)
        return len(ready)

    def settle(self, turns: int = 200) -> None:
        """
        Turn until nothing is ready.

        @raise AssertionError: when that takes more than C{turns}.
        """
        for _ in range(turns):
            if not self.turn(0.002):
                return
        raise AssertionError("it does not come to rest")

    def until(self, condition: Callable[[], object]) -> None:
        """
        Turn until something is so.
        """
        end = time.monotonic() + PATIENCE
        while not condition():
            self.turn(0.01)
            if time.monotonic() > end:
                raise AssertionError("it did not happen")

    def _add(self, selectable: Any, known: set[int]) -> None:
        descriptor = selectable.fileno()
        if self._owners.setdefault(descriptor, selectable) is not selectable:
            raise AssertionError("two objects for one descriptor")
        known.add(descriptor)

    def _remove(self, selectable: Any, known: set[int]) -> None:
        descriptor = selectable.fileno()
        if self._owners.get(descriptor) is not selectable:
            # It is not registered, or its socket is closed.
            found = [key for key, owner in self._owners.items() if owner is selectable]
            if not found:
                return
            descriptor = found[0]
        known.discard(descriptor)
        if descriptor not in self._readers | self._writers:
            del self._owners[descriptor]

    def _call(self, selectable: Any, descriptor: int, event: int) -> None:
        lost = event & (select.POLLHUP | select.POLLERR | select.POLLNVAL)
        in_read = False
        why: object = None
        if lost and not event & select.POLLIN:
            in_read = descriptor in self._readers
            why = ConnectionDone() if in_read else ConnectionLost()
        else:
            if event & select.POLLIN:
                in_read = True
                why = selectable.doRead()
            if not why and event & select.POLLOUT:
                in_read = False
                why = selectable.doWrite()
        if why:
            self._disconnect(selectable, why, in_read)

    def _disconnect(self, selectable: Any, why: object, in_read: bool) -> None:
        self.removeReader(selectable)
        if (
            in_read
            and isinstance(why, ConnectionDone)
            and IHalfCloseableDescriptor.providedBy(selectable)
        ):
            selectable.readConnectionLost(Failure(why))
        else:
            self.removeWriter(selectable)
            assert isinstance(why, BaseException)
            selectable.connectionLost(Failure(why))


@implementer(IHalfCloseableProtocol)
class Copier(Protocol):
    """
    Writes what comes to another connection: one end of a relay that Twisted drives.

    @ivar other: the other end.
    @ivar received: how many bytes have come.
    @ivar read_ended: whether FIN was read.
    @ivar write_ended: whether FIN was sent.
    @ivar reasons: why the connection was lost, each time.
    @ivar on_read_ended: called when FIN was read.
    @ivar on_write_ended: called when FIN was sent.
    @ivar on_lost: called when it is lost.
    """

    other: Copier

    def __init__(self) -> None:
        self.received = 0
        self.read_ended = False
        self.write_ended = False
        self.reasons: list[type[BaseException]] = []
        self.on_read_ended: Callable[[], None] = lambda: None
        self.on_write_ended: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.received += len(data)
        assert self.other.transport is not None
        self.other.transport.write(data)

    def readConnectionLost(self) -> None:
        self.read_ended = True
        self.on_read_ended()

    def writeConnectionLost(self) -> None:
        self.write_ended = True
        self.on_write_ended()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.type is not None
        self.reasons.append(reason.type)
        self.on_lost()


def unix_pair() -> tuple[socket.socket, socket.socket]:
    """
    Two connected Unix sockets.
    """
    return socket.socketpair()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """
    Two TCP sockets, connected over the loopback interface.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dialled = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    for each in (dialled, accepted):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return dialled, accepted


def shrink(*sockets: socket.socket) -> None:
    """
    Let sockets hold little.
    """
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)


def reset(peer: socket.socket) -> None:
    """
    Close a connection with RST.
    """
    linger = struct.pack("ii", 1, 0)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.close()


def descriptors() -> int:
    """
    How many descriptors the process has.
    """
    return len(os.listdir("/proc/self/fd"))


PERIOD: Final = 1_000_003
_BLOCK: Final = random.Random(0).randbytes(PERIOD)


def pattern(start: int, count: int) -> bytes:
    """
    Bytes of a stream in which a piece that is lost, doubled or moved shows.
    """
    first = start % PERIOD
    blocks = (first + count) // PERIOD + 1
    return (_BLOCK * blocks)[first : first + count]


class Peer:
    """
    The program at the far end of one connection.

    @ivar socket: its socket.
    @ivar sent: how many bytes of the pattern it has sent.
    @ivar got: what it has received.
    @ivar ended: whether it has sent FIN.
    @ivar at_end: whether FIN came.
    """

    def __init__(self, own: socket.socket) -> None:
        own.setblocking(False)
        self.socket = own
        self.sent = 0
        self.got = bytearray()
        self.ended = False
        self.at_end = False

    def send(self, count: int) -> int:
        """
        Send as much as there is room for.

        @return: how much of C{count} it was.
        """
        try:
            done = self.socket.send(pattern(self.sent, count))
        except BlockingIOError:
            return 0
        self.sent += done
        return done

    def receive(self, count: int = 1 << 20) -> int:
        """
        Receive what there is.

        @return: how much it was.
        """
        try:
            data = self.socket.recv(count)
        except BlockingIOError:
            return 0
        if not data:
            self.at_end = True
        self.got += data
        return len(data)

    def shut(self) -> None:
        """
        Send FIN.
        """
        self.ended = True
        self.socket.shutdown(socket.SHUT_WR)


class Relay:
    """
    Two connections of Twisted's, each with a program at its far end.

    @ivar peers: the programs.
    @ivar protocols: what copies.
    @ivar transports: the connections.
    """

    def __init__(
        self,
        reactor: LevelReactor,
        pairs: Sequence[tuple[socket.socket, socket.socket]],
    ) -> None:
        self.reactor = reactor
        self.peers = tuple(Peer(far) for far, _ in pairs)
        self.protocols = (Copier(), Copier())
        self.protocols[0].other, self.protocols[1].other = reversed(self.protocols)
        self.transports = tuple(
            Connection(near, protocol, reactor)
            for (_, near), protocol in zip(pairs, self.protocols, strict=True)
        )
        for transport, protocol in zip(self.transports, self.protocols, strict=True):
            transport.connected = 1
            protocol.makeConnection(transport)
            transport.startReading()

    @property
    def ends(self) -> tuple[Connection, Connection]:
        """
        The two connections.
        """
        first, second = self.transports
        return first, second

    def until_lost(self) -> None:
        """
        Turn the reactor until a connection is lost.
        """
        self.reactor.until(lambda: any(each.reasons for each in self.protocols))

    def until_write_ended(self, end: int) -> None:
        """
        Turn the reactor until Twisted has sent FIN.
        """
        self.reactor.until(lambda: self.protocols[end].write_ended)

    def close(self) -> None:
        """
        Close everything.
        """
        for transport in self.transports:
            transport.abortConnection()
        self.reactor.advance(0)
        for peer in self.peers:
            peer.socket.close()
