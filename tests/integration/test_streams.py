"""
Streams through a real server and a real client, over real sockets.
"""

from __future__ import annotations

import os
from hashlib import sha256

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    clientFromString,
    connectProtocol,
)
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from reitunnel import BaseHook, Code
from reitunnel.errors import RemoteProtocolError
from reitunnel.interfaces import ISession
from reitunnel.relay import Link, LinkFactory
from reitunnel.wire.frames import Frame, FrameReader
from tests.integration.streaming import (
    Echo,
    Program,
    Programs,
    StreamTestCase,
    close,
    pause,
    port_of,
    stopped_growing,
)

MIB = 1 << 20
SMALL = {"send_buffer": 64 << 10, "receive_buffer": 64 << 10}
"""The kernel's buffers, so that little is on the way."""


class EndsTests(StreamTestCase):
    """
    How one side's end is seen at the other.
    """

    async def test_visitor_half_closes(self) -> None:
        await self.start()
        visitor, target = await self.pair()
        visitor.transport.write(b"question")
        visitor.transport.loseWriteConnection()
        await target.finished
        self.assertEqual(b"question", target.received)
        target.send(MIB)
        await visitor.got(MIB)
        await visitor.finished
        await self.over()
        self.assertFalse(visitor.was_reset)

    async def test_target_half_closes(self) -> None:
        await self.start()
        visitor, target = await self.pair()
        target.transport.write(b"greeting")
        target.transport.loseWriteConnection()
        await visitor.finished
        self.assertEqual(b"greeting", visitor.received)
        visitor.send(MIB)
        await target.got(MIB)
        await target.finished
        await self.over()

    async def test_target_closes(self) -> None:
        """
        As a web server does that says C{Connection: close}.
        """
        await self.start()
        visitor, target = await self.pair()
        visitor.transport.write(b"question")
        await target.got(8)
        target.transport.write(b"answer")
        target.transport.loseConnection()
        await visitor.finished
        self.assertEqual(b"answer", visitor.received)
        visitor.transport.loseConnection()
        await self.over()
        self.assertFalse(visitor.was_reset)

    async def test_visitor_resets(self) -> None:
        await self.start()
        visitor, target = await self.pair()
        visitor.transport.abortConnection()
        await target.lost
        self.assertTrue(target.was_reset)
        await self.over()

    async def test_target_resets(self) -> None:
        await self.start()
        visitor, target = await self.pair()
        target.transport.abortConnection()
        await visitor.lost
        self.assertTrue(visitor.was_reset)
        await self.over()

    async def test_visitor_resets_in_the_middle(self) -> None:
        await self.start()
        visitor, target = await self.pair()
        visitor.send(64 * MIB)
        target.send(64 * MIB)
        await gatherResults([visitor.got(MIB), target.got(MIB)])
        visitor.transport.abortConnection()
        await target.lost
        self.assertTrue(target.was_reset)
        await self.over()

    async def test_target_resets_after_the_half_close(self) -> None:
        await self.start()
        visitor, target = await self.pair()
        visitor.transport.loseWriteConnection()
        await target.finished
        target.transport.abortConnection()
        await visitor.lost
        self.assertTrue(visitor.was_reset)
        await self.over()

    async def test_target_refuses(self) -> None:
        """
        The visitor is reset at once, not after a time-out.
        """
        await self.start()
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(Programs())
        address = f"127.0.0.1:{port_of(port.getHost())}"
        await port.stopListening()
        tunnel = await self.tunnel(address)
        clock = IReactorTime(reactor)
        began = clock.seconds()
        visitors = [await self.visit(tunnel) for _ in range(10)]
        await gatherResults([visitor.lost for visitor in visitors])
        self.assertLess(clock.seconds() - began, 5)
        for visitor in visitors:
            self.assertTrue(visitor.was_reset)
        await self.over()

    async def test_server_closes_the_session(self) -> None:
        """
        Both are reset.
        """
        await self.start()
        visitor, target = await self.pair()
        (session,) = self.server.sessions
        session.close(Code.CLOSED, "enough")
        await gatherResults([visitor.lost, target.lost])
        self.assertTrue(visitor.was_reset)
        self.assertTrue(target.was_reset)
        await self.over()


class UnnoticedTests(StreamTestCase):
    """
    Resets that come while nothing is read from a connection, so that the reactor does
    not look at it. They are found all the same, for a stream that nobody wants any
    more must not stay for ever.
    """

    async def test_visitor_of_a_target_that_never_reads(self) -> None:
        await self.start(SMALL, heartbeat=0.1)
        visitor, target = await self.bulk_pair()
        target.transport.pauseProducing()
        await self.check_found(visitor, target)

    async def test_target_of_a_visitor_that_never_reads(self) -> None:
        await self.start(SMALL, heartbeat=0.1)
        visitor, target = await self.bulk_pair()
        visitor.transport.pauseProducing()
        await self.check_found(target, visitor)

    async def check_found(self, leaving: Program, deaf: Program) -> None:
        """
        A program that has sent until nothing more was taken, and resets its
        connection then, is missed.
        """
        sender = leaving.send(64 * MIB)
        self.assertLess(await stopped_growing(lambda: sender.sent), 64 * MIB)
        leaving.transport.abortConnection()
        await self.over()
        deaf.transport.resumeProducing()
        await deaf.lost
        self.assertTrue(deaf.was_reset)

    async def test_after_the_half_close(self) -> None:
        """
        A visitor that has said that it sends no more, and is gone then.
        """
        await self.start(heartbeat=0.1)
        visitor, target = await self.pair()
        visitor.transport.loseWriteConnection()
        await target.finished
        visitor.transport.abortConnection()
        await self.over()
        # This one does not look either, after the end.
        target.transport.write(b"hello?")
        await target.lost
        self.assertTrue(target.was_reset)


class Reasons(BaseHook):
    """
    Writes down why sessions ended.
    """

    def __init__(self) -> None:
        self.reasons: list[tuple[Code, str]] = []

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        self.reasons.append((code, reason))


class LastWordsTests(StreamTestCase):
    async def test_reason_of_the_close(self) -> None:
        """
        The client learns why the server ended the session, although it was sending
        all the time: the kernel does not reset the link.
        """
        hook = Reasons()
        await self.start(hooks=[hook])
        for count in range(1, 6):
            await self.client.when_connected()
            visitor, target = await self.bulk_pair()
            target.send(1024 * MIB)
            await visitor.got(4 * MIB)
            (session,) = self.server.sessions
            session.close(Code.POLICY, "not at night")
            await gatherResults([visitor.lost, target.lost])
            while len(hook.reasons) < count:
                await pause(0.01)
        self.assertEqual([(Code.POLICY, "not at night")] * 5, hook.reasons)

    async def test_link_that_closes(self) -> None:
        """
        Everything written before arrives, although the peer sends what nobody reads
        any more: a plain close would make the kernel reset the connection.
        """
        link = Link(FrameReader(), Speech(), IReactorTime(reactor))
        address = await self.listen(LinkFactory(lambda: link))
        peer = Program(keep=False)
        endpoint = clientFromString(reactor, f"tcp:{address}")
        await connectProtocol(endpoint, peer)
        self.addCleanup(close, peer)
        peer.transport.pauseProducing()
        peer.transport.write(bytes(MIB))
        await pause(0.2)
        peer.transport.resumeProducing()
        await peer.finished
        self.assertEqual(8 * MIB, peer.count)
        peer.transport.loseConnection()
        await peer.lost
        self.assertFalse(peer.was_reset)
        await link.closed


class Speech:
    """
    Says much and closes, as soon as its link is ready.
    """

    def link_ready(self, link: Link) -> None:
        link.write([bytes(8 * MIB)])
        link.close()

    def frame_received(self, frame: Frame) -> None:
        raise AssertionError

    def batch_received(self) -> None:
        raise AssertionError

    def link_full(self) -> None:
        pass

    def link_writable(self) -> None:
        raise AssertionError

    def link_broken(self, error: RemoteProtocolError) -> None:
        raise error

    def link_lost(self, reason: Failure) -> None:
        pass


class BulkTests(StreamTestCase):
    """
    Much data, over a link of plain TCP.
    """

    size = 64 * MIB

    async def test_both_ways(self) -> None:
        await self.start()
        visitor, target = await self.bulk_pair()
        there, back = visitor.send(self.size), target.send(self.size)
        await gatherResults([visitor.finished, target.finished])
        self.assertEqual(there.digest.digest(), target.digest.digest())
        self.assertEqual(back.digest.digest(), visitor.digest.digest())
        self.assertEqual((self.size, self.size), (target.count, visitor.count))
        await self.over()
        for tunnel in (*self.server.tunnels, *self.client.tunnels):
            self.assertEqual(self.size, tunnel.bytes_received)
            self.assertEqual(self.size, tunnel.bytes_sent)

    async def test_visitor_that_never_reads(self) -> None:
        """
        It stops the target, and no other stream.
        """
        await self.start(SMALL)
        visitor, target = await self.bulk_pair()
        visitor.transport.pauseProducing()
        await self.check_stopped(target, visitor)

    async def test_target_that_never_reads(self) -> None:
        """
        It stops the visitor, and no other stream.
        """
        await self.start(SMALL)
        visitor, target = await self.bulk_pair()
        target.transport.pauseProducing()
        await self.check_stopped(visitor, target)

    async def check_stopped(self, sending: Program, deaf: Program) -> None:
        """
        Who sends to a program that does not read is stopped before much is in
        between; another stream works; and when the program reads, all comes.
        """
        sender = sending.send(self.size)
        sent = await stopped_growing(lambda: sender.sent)
        self.assertLess(sent, 16 * MIB)
        visitor, target = await self.bulk_pair()
        other = visitor.send(self.size)
        await target.finished
        self.assertEqual(other.digest.digest(), target.digest.digest())
        self.assertEqual(sent, sender.sent)
        deaf.transport.resumeProducing()
        await deaf.finished
        self.assertEqual(sender.digest.digest(), deaf.digest.digest())

    async def test_keystrokes_while_bulk_runs(self) -> None:
        """
        They get through.
        """
        await self.start()
        visitor, target = await self.bulk_pair()
        bulk = target.send(1024 * MIB)
        await visitor.got(MIB)
        typing, _ = await self.pair(Echo)
        for stroke in range(50):
            typing.transport.write(b"x")
            await typing.got(stroke + 1)
        self.assertFalse(bulk.done.called)


class TLSBulkTests(BulkTests):
    """
    The same over TLS.
    """

    scheme = "tls"
    size = 24 * MIB
    timeout = 20


class WebSocketBulkTests(BulkTests):
    """
    The same over a WebSocket.
    """

    scheme = "ws"
    size = 24 * MIB
    timeout = 20


class SecureWebSocketBulkTests(BulkTests):
    """
    The same over a WebSocket in TLS.
    """

    scheme = "wss"
    size = 24 * MIB
    timeout = 20


class ManyTests(StreamTestCase):
    async def test_at_once(self) -> None:
        """
        500 visitors, each of whom gets back exactly what it has sent.
        """
        await self.start()
        tunnel = await self.tunnel(await self.listen(Programs(Echo)))
        visitors = [Program() for _ in range(500)]
        await gatherResults(
            [Deferred.fromCoroutine(self.visit(tunnel, each)) for each in visitors]
        )
        data = [os.urandom(20_000) for _ in visitors]
        for visitor, piece in zip(visitors, data, strict=True):
            visitor.transport.write(piece)
        await gatherResults([visitor.got(20_000) for visitor in visitors])
        (seen,) = self.server.tunnels
        self.assertEqual(500, len(tuple(seen.streams)))
        for visitor in visitors:
            visitor.transport.loseWriteConnection()
        await gatherResults([visitor.finished for visitor in visitors])
        for visitor, piece in zip(visitors, data, strict=True):
            self.assertEqual(sha256(piece).digest(), visitor.digest.digest())
        await self.over()
        self.assertEqual(500 * 20_000, seen.bytes_received)
        self.assertEqual(500 * 20_000, seen.bytes_sent)
