"""
Relays over real sockets that Twisted begins and splices take over, under every
reactor that the system has.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Final, cast
from uuid import uuid4

from twisted.internet import reactor as global_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPullProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from reitunnel.relay.handover import can_splice, hand_over
from reitunnel.relay.pipes import Pipes
from reitunnel.relay.splice import Splice
from tests.relay.level import pattern

# The reactor's type is not known to mypy.
reactor: Any = global_reactor

REACTORS: Final = ("epoll", "poll", "select", "asyncio")
SWITCH_AFTER: Final = 1 << 17
"""How many bytes Twisted copies in a direction before it is spliced."""


class Builder(Factory):
    """
    Builds protocols with a function.
    """

    noisy = False

    def __init__(self, build: Callable[[], Protocol]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._build()


def inlined(
    method: Callable[[Any], Coroutine[Any, Any, None]],
) -> Callable[[Any], Deferred[None]]:
    """
    Let a test be a coroutine.
    """

    @wraps(method)
    def run(self: object) -> Deferred[None]:
        return Deferred.fromCoroutine(method(self))

    return run


@implementer(IHalfCloseableProtocol, IPullProducer)
class Program(Protocol):
    """
    Sends, receives, and ends: a visitor or a target.

    @ivar received: what came.
    @ivar ended: fires when FIN came.
    @ivar lost: fires with the reason when the connection is lost.
    """

    transport: Connection

    def __init__(self) -> None:
        self.is_connected: Deferred[Program] = Deferred()
        self.received = bytearray()
        self.ended: Deferred[None] = Deferred()
        self.lost: Deferred[type[BaseException] | None] = Deferred()
        self._sent = 0
        self._total = 0
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def connectionMade(self) -> None:
        self.is_connected.callback(self)

    def send(self, total: int) -> None:
        """
        Send up to so much of the pattern, then FIN.
        """
        self._total = total
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        piece = pattern(self._sent, min(50_000, self._total - self._sent))
        if piece:
            self._sent += len(piece)
            self.transport.write(piece)
        else:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def stopProducing(self) -> None:
        pass

    def has_received(self, count: int) -> Deferred[None]:
        """
        Wait until so much has come.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append((count, waiting))
        self._tell()
        return waiting

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._tell()

    def readConnectionLost(self) -> None:
        self.ended.callback(None)

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(reason.type)

    def _tell(self) -> None:
        while self._waiting and len(self.received) >= self._waiting[0][0]:
            self._waiting.pop(0)[1].callback(None)


@implementer(IHalfCloseableProtocol)
class RelayEnd(Protocol):
    """
    One end of a relay.

    @ivar index: which.
    @ivar relay: the relay, once both ends are there.
    @ivar copied: how many bytes Twisted has copied from here.
    @ivar reasons: why it was lost, each time.
    """

    transport: Connection

    def __init__(self, index: int, on_connected: Callable[[RelayEnd], None]) -> None:
        self.index = index
        self.relay: Relay | None = None
        self.copied = 0
        self.reasons: list[type[BaseException] | None] = []
        self._on_connected = on_connected

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        self._on_connected(self)

    def dataReceived(self, data: bytes) -> None:
        assert self.relay is not None
        self.copied += len(data)
        self.relay.ends[1 - self.index].transport.write(data)
        self.relay.copied(self)

    def readConnectionLost(self) -> None:
        assert self.relay is not None
        self.relay.read_ended(self.index)

    def writeConnectionLost(self) -> None:
        assert self.relay is not None
        self.relay.write_ended(self.index)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.relay is not None
        self.reasons.append(reason.type)
        self.relay.lost(reason)


class Relay:
    """
    Joins two connections, by copying first.

    @ivar ends: the two.
    @ivar read: how many bytes the splice has read from each.
    @ivar written: how many bytes the splice has written to each.
    @ivar over: fires when both are closed.
    """

    def __init__(self, ends: tuple[RelayEnd, RelayEnd], pipes: Pipes) -> None:
        self.ends = ends
        self.read = [0, 0]
        self.written = [0, 0]
        self.over: Deferred[None] = Deferred()
        self._handing_over: dict[int, Deferred[None]] = {}
        self._spliced: set[int] = set()
        self._splice = Splice(
            reactor,
            pipes,
            (ends[0].transport, ends[1].transport),
            on_read=(self._count(self.read, 0), self._count(self.read, 1)),
            on_written=(self._count(self.written, 0), self._count(self.written, 1)),
            on_eof=lambda end: self._splice.finish(1 - end),
            on_over=self._over,
        )
        for end, other in (ends, ends[::-1]):
            assert can_splice(end.transport)
            end.relay = self
            end.transport.registerProducer(other.transport, True)
            end.transport.resumeProducing()

    def copied(self, end: RelayEnd) -> None:
        """
        Twisted has copied something.
        """
        source = end.index
        if end.copied >= SWITCH_AFTER and source not in self._handing_over:
            sink = self.ends[1 - source].transport
            handing_over = hand_over(reactor, end.transport, sink)
            self._handing_over[source] = handing_over
            handing_over.addCallback(lambda _: self._take(source))
            handing_over.addErrback(lambda _: None)

    def read_ended(self, source: int) -> None:
        """
        Twisted has read FIN.
        """
        if source in self._handing_over:
            self._handing_over[source].cancel()
        sink = self.ends[1 - source].transport
        sink.unregisterProducer()
        sink.loseWriteConnection()

    def write_ended(self, sink: int) -> None:
        """
        FIN was sent, by Twisted or by the splice.
        """
        if 1 - sink not in self._spliced:
            self._splice.skip(1 - sink)

    def lost(self, reason: Failure) -> None:
        """
        A connection is closed.
        """
        self._splice.stop()
        if not reason.check(ConnectionDone):
            for end in self.ends:
                end.transport.abortConnection()
        if all(end.reasons for end in self.ends):
            self.over.callback(None)

    def _take(self, source: int) -> None:
        self._spliced.add(source)
        self._splice.start(source)

    def _over(self, failure: Failure | None) -> None:
        for end in self.ends:
            if failure is None:
                end.transport.loseConnection()
            else:
                end.transport.abortConnection()

    @staticmethod
    def _count(counts: list[int], end: int) -> Callable[[int], None]:
        def count(size: int) -> None:
            counts[end] += size

        return count


class TransferTests(TestCase):
    """
    One connection through one relay.
    """

    timeout = 60

    def setUp(self) -> None:
        self.pipes = Pipes()

    async def joined(
        self, visitors: str, targets: str
    ) -> tuple[Program, Program, Relay]:
        """
        Connect a visitor to a target, by way of a relay.

        @param visitors: C{tcp} or C{unix}: how the visitor comes.
        @param targets: the same for the target.
        """
        target = Program()
        to_target = await self.listening(targets, lambda: target)
        relaying: Deferred[Relay] = Deferred()

        def dial(first: RelayEnd) -> None:
            def dialled(second: RelayEnd) -> None:
                relaying.callback(Relay((first, second), self.pipes))

            building = Builder(lambda: RelayEnd(1, dialled))
            to_target.connect(building).addErrback(relaying.errback)

        to_relay = await self.listening(visitors, lambda: RelayEnd(0, dial))
        visitor = Program()
        await to_relay.connect(Builder(lambda: visitor))
        relay = await relaying
        await target.is_connected
        self.addCleanup(self.closed, visitor, target, relay)
        return visitor, target, relay

    async def listening(
        self, kind: str, build: Callable[[], Protocol]
    ) -> TCP4ClientEndpoint | UNIXClientEndpoint:
        """
        Listen.

        @return: where to connect to.
        """
        if kind == "unix":
            path = f"/tmp/{uuid4()}"
            port = await UNIXServerEndpoint(reactor, path).listen(Builder(build))
            self.addCleanup(port.stopListening)
            return UNIXClientEndpoint(reactor, path)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(Builder(build))
        self.addCleanup(port.stopListening)
        address = cast(IPv4Address, port.getHost())
        return TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)

    async def closed(self, visitor: Program, target: Program, relay: Relay) -> None:
        """
        Close what is left of connections, and wait until it is closed.
        """
        for program in (visitor, target):
            program.transport.abortConnection()
        for end in relay.ends:
            end.transport.abortConnection()
        await relay.over
        await visitor.lost
        await target.lost
        self.pipes.clear()

    def assert_whole(self, relay: Relay, sent: Sequence[int]) -> None:
        """
        Both ends closed in order, and every byte is counted.
        """
        for end, other in (relay.ends, relay.ends[::-1]):
            self.assertEqual([ConnectionDone], end.reasons)
            self.assertEqual(sent[end.index], end.copied + relay.read[end.index])
            self.assertEqual(relay.read[end.index], relay.written[other.index])

    async def transfer(self, visitors: str, targets: str, *sent: int) -> None:
        """
        Send so much from the visitor and from the target, both at once.
        """
        visitor, target, relay = await self.joined(visitors, targets)
        for program, total in zip((visitor, target), sent, strict=True):
            program.send(total)
        await gatherResults([visitor.ended, target.ended, relay.over])
        self.assertTrue(target.received == pattern(0, sent[0]))
        self.assertTrue(visitor.received == pattern(0, sent[1]))
        self.assert_whole(relay, sent)
        for end in relay.ends:
            if sent[end.index] > 8 * SWITCH_AFTER:
                self.assertGreater(relay.read[end.index], 0)

    @inlined
    async def test_both_ways(self) -> None:
        for visitors in ("tcp", "unix"):
            for targets in ("tcp", "unix"):
                await self.transfer(visitors, targets, 8 << 20, 8 << 20)

    @inlined
    async def test_one_way(self) -> None:
        """
        The other direction ends at once, and is never spliced.
        """
        for kind in ("tcp", "unix"):
            await self.transfer(kind, kind, 8 << 20, 0)
            await self.transfer(kind, kind, 0, 8 << 20)

    @inlined
    async def test_little(self) -> None:
        """
        Nothing is spliced.
        """
        for kind in ("tcp", "unix"):
            await self.transfer(kind, kind, 10, 10)

    @inlined
    async def test_around_the_switch(self) -> None:
        """
        The end comes when the direction is taken, or nearly so.
        """
        for more in (-1, 0, 1, 50_000, 200_000):
            await self.transfer("tcp", "tcp", SWITCH_AFTER + more, 1 << 20)

    @inlined
    async def test_half_close(self) -> None:
        """
        The answer comes after the end of the question.
        """
        for kind in ("tcp", "unix"):
            visitor, target, relay = await self.joined(kind, kind)
            visitor.send(1 << 20)
            await target.ended
            self.assertTrue(target.received == pattern(0, 1 << 20))
            self.assertFalse(visitor.ended.called)
            target.send(1 << 20)
            await gatherResults([visitor.ended, relay.over])
            self.assertTrue(visitor.received == pattern(0, 1 << 20))
            self.assert_whole(relay, (1 << 20, 1 << 20))

    @inlined
    async def test_abort(self) -> None:
        """
        RST of one side becomes RST of the other, whatever is under way.
        """
        for at in (0, 1 << 16, 1 << 20):
            for aborter, other in ((0, 1), (1, 0)):
                visitor, target, relay = await self.joined("tcp", "tcp")
                programs = (visitor, target)
                visitor.send(64 << 20)
                await target.has_received(at)
                programs[aborter].transport.abortConnection()
                lost = await programs[other].lost
                self.assertIs(ConnectionLost, lost)
                await relay.over
                for end in relay.ends:
                    self.assertEqual(1, len(end.reasons))

    @inlined
    async def test_a_sink_that_does_not_read(self) -> None:
        """
        The processor rests, and everything is there in the end.
        """
        for kind in ("tcp", "unix"):
            visitor, target, relay = await self.joined(kind, kind)
            visitor.send(32 << 20)
            await target.has_received(1 << 20)
            target.transport.pauseProducing()
            read = -1
            while read != relay.read[0]:
                read = relay.read[0]
                await deferLater(reactor, 0.2)
            self.assertLess(relay.written[1], 32 << 20)
            before = time.process_time()
            await deferLater(reactor, 0.5)
            self.assertLess(time.process_time() - before, 0.25)
            self.assertEqual(read, relay.read[0])
            target.transport.resumeProducing()
            await target.ended
            self.assertTrue(target.received == pattern(0, 32 << 20))


class ReactorTests(TestCase):
    """
    The same under the other reactors.
    """

    timeout = 300

    @inlined
    async def test_other_reactors(self) -> None:
        name = f"{TransferTests.__module__}.{TransferTests.__qualname__}"
        for kind in REACTORS:
            if type(reactor).__module__.endswith(f".{kind}reactor"):
                continue
            out, err, code = await getProcessOutputAndValue(
                sys.executable,
                [
                    *("-m", "twisted.trial", f"--reactor={kind}"),
                    *("--temp-directory", self.mktemp(), name),
                ],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            self.assertEqual(0, code, (out + err).decode())
            self.assertIn(b"PASSED", out)
