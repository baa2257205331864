"""
Streams on every carrier, over real sockets: bytes, ends and aborts; and data links that
are cut off at each point of a switch.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from reitunnel import BaseHook, Code
from reitunnel.config.values import Carrier
from reitunnel.interfaces import IStream, ITunnel
from tests.integration.cutting import Connection, CuttingRelay
from tests.integration.streaming import (
    Echo,
    Program,
    Programs,
    StreamTestCase,
    pause,
    stopped_growing,
    until,
)

MIB = 1 << 20
SMALL = {"send_buffer": 64 << 10, "receive_buffer": 64 << 10}
"""The kernel's buffers, so that little is on the way."""


class Counts(BaseHook):
    """
    Counts bytes as data hooks are told them, and keeps what streams say in the end.
    """

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.ends: list[tuple[Code, int, int]] = []

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        self.received += count

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.sent += count

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        self.ends.append((code, stream.bytes_received, stream.bytes_sent))


class DirectCase(StreamTestCase):
    """
    A server and a client whose hooks count.
    """

    async def begin(self, **options: Any) -> None:
        """
        Start them, and wait until data links are ready.
        """
        self.here, self.there = Counts(), Counts()
        await self.start(hooks=[self.here], **options)
        self.server.hooks.register(self.there)
        await self.client.when_connected()
        await self.pool_is_full()

    async def pool_is_full(self) -> None:
        """
        Wait for the data links.
        """
        if self.carrier != "mux":
            await until(lambda: self.idle() == self.pool_size)

    def idle(self) -> int:
        """
        How many data links the server has ready.
        """
        sessions: list[Any] = list(self.server.sessions)
        return sum(len(session.links) for session in sessions)

    async def check_counts(self, received: int, sent: int) -> None:
        """
        Everybody has counted the same, once the streams are over.
        """
        await self.over()
        for counts in (self.here, self.there):
            self.assertEqual((received, sent), (counts.received, counts.sent))
            self.assertEqual([(Code.NONE, received, sent)], counts.ends)
        for tunnel in (*self.server.tunnels, *self.client.tunnels):
            self.assertEqual(
                (received, sent), (tunnel.bytes_received, tunnel.bytes_sent)
            )


class CarrierTests(DirectCase):
    """
    What streams do on any carrier, here C{auto} over plain TCP.
    """

    size = 12 * MIB

    async def test_both_ways(self) -> None:
        await self.begin()
        visitor, target = await self.bulk_pair()
        there, back = visitor.send(self.size), target.send(self.size)
        await gatherResults([visitor.finished, target.finished])
        self.assertEqual(there.digest.digest(), target.digest.digest())
        self.assertEqual(back.digest.digest(), visitor.digest.digest())
        await self.check_counts(self.size, self.size)

    async def test_visitor_half_closes(self) -> None:
        """
        One way ends, then much goes the other way.
        """
        await self.begin()
        visitor, target = await self.bulk_pair()
        there = visitor.send(self.size)
        await target.finished
        self.assertEqual(there.digest.digest(), target.digest.digest())
        self.assertFalse(visitor.finished.called)
        back = target.send(self.size)
        await visitor.finished
        self.assertEqual(back.digest.digest(), visitor.digest.digest())
        await self.check_counts(self.size, self.size)

    async def test_target_half_closes(self) -> None:
        await self.begin()
        visitor, target = await self.bulk_pair()
        back = target.send(self.size)
        await visitor.finished
        self.assertEqual(back.digest.digest(), visitor.digest.digest())
        self.assertFalse(target.finished.called)
        there = visitor.send(self.size)
        await target.finished
        self.assertEqual(there.digest.digest(), target.digest.digest())
        await self.check_counts(self.size, self.size)

    async def test_question_and_long_answer(self) -> None:
        """
        The visitor has finished before anything could be switched.
        """
        await self.begin()
        visitor, target = await self.bulk_pair()
        visitor.transport.write(b"question")
        visitor.transport.loseWriteConnection()
        await target.finished
        back = target.send(self.size)
        await visitor.finished
        self.assertEqual(back.digest.digest(), visitor.digest.digest())
        await self.check_counts(8, self.size)

    async def test_visitor_aborts(self) -> None:
        await self.check_abort(by_visitor=True)

    async def test_target_aborts(self) -> None:
        await self.check_abort(by_visitor=False)

    async def check_abort(self, *, by_visitor: bool) -> None:
        """
        In the middle of it: a RST comes out as a RST, and with the same reason on
        both sides.
        """
        await self.begin()
        visitor, target = await self.bulk_pair()
        visitor.send(1024 * MIB)
        target.send(1024 * MIB)
        await gatherResults([visitor.got(4 * MIB), target.got(4 * MIB)])
        one, other = (visitor, target) if by_visitor else (target, visitor)
        one.transport.abortConnection()
        await other.lost
        self.assertTrue(other.was_reset)
        await self.over()
        for counts in (self.here, self.there):
            [(code, received, sent)] = counts.ends
            self.assertEqual(Code.ABORTED, code)
            self.assertEqual((received, sent), (counts.received, counts.sent))
        self.assertEqual(1, len(list(self.server.sessions)))

    async def test_slow_readers(self) -> None:
        """
        They stop their senders, again and again, and lose nothing.
        """
        await self.begin(tuning=SMALL)
        visitor, target = await self.bulk_pair()
        there, back = visitor.send(self.size), target.send(self.size)
        ends = (visitor, target)
        for turn in range(20):
            ends[turn % 2].transport.pauseProducing()
            await pause(0.02)
            for end in ends:
                if not end.finished.called:
                    end.transport.resumeProducing()
        await gatherResults([visitor.finished, target.finished])
        self.assertEqual(there.digest.digest(), target.digest.digest())
        self.assertEqual(back.digest.digest(), visitor.digest.digest())
        await self.check_counts(self.size, self.size)

    async def test_reader_that_never_reads(self) -> None:
        """
        It stops the sender before much is on the way.
        """
        await self.check_never_reads(target_reads=False)

    async def test_visitor_that_never_reads(self) -> None:
        await self.check_never_reads(target_reads=True)

    async def check_never_reads(self, *, target_reads: bool) -> None:
        """
        The sender stops, and other streams go on.
        """
        await self.begin(tuning=SMALL)
        visitor, target = await self.bulk_pair()
        deaf, talks = (visitor, target) if target_reads else (target, visitor)
        deaf.transport.pauseProducing()
        sender = talks.send(64 * MIB)
        self.assertLess(await stopped_growing(lambda: sender.sent), 8 * MIB)
        other, _ = await self.pair(Echo)
        other.transport.write(b"hello")
        await other.got(5)


class TCPMuxTests(CarrierTests):
    scheme = "tcp"
    carrier: Carrier = "mux"


class TCPDirectTests(CarrierTests):
    scheme = "tcp"
    carrier: Carrier = "direct"


class TLSAutoTests(CarrierTests):
    scheme = "tls"
    carrier: Carrier = "auto"
    size = 6 * MIB


class TLSMuxTests(CarrierTests):
    scheme = "tls"
    carrier: Carrier = "mux"
    size = 6 * MIB


class TLSDirectTests(CarrierTests):
    scheme = "tls"
    carrier: Carrier = "direct"
    size = 6 * MIB


class WSAutoTests(CarrierTests):
    scheme = "ws"
    carrier: Carrier = "auto"
    size = 6 * MIB


class WSMuxTests(CarrierTests):
    scheme = "ws"
    carrier: Carrier = "mux"
    size = 6 * MIB


class WSDirectTests(CarrierTests):
    scheme = "ws"
    carrier: Carrier = "direct"
    size = 6 * MIB


class WSSAutoTests(CarrierTests):
    scheme = "wss"
    carrier: Carrier = "auto"
    size = 6 * MIB


class WSSMuxTests(CarrierTests):
    scheme = "wss"
    carrier: Carrier = "mux"
    size = 6 * MIB


class WSSDirectTests(CarrierTests):
    scheme = "wss"
    carrier: Carrier = "direct"
    size = 6 * MIB


class PoolTests(DirectCase):
    """
    How many data links there are.
    """

    async def test_none(self) -> None:
        self.pool_size = 0
        await self.begin()
        visitor, target = await self.bulk_pair()
        there = visitor.send(8 * MIB)
        await target.finished
        self.assertEqual(there.digest.digest(), target.digest.digest())
        target.transport.loseConnection()
        await self.check_counts(8 * MIB, 0)

    async def test_one(self) -> None:
        """
        Streams take it one after the other, while others go on on the control link.
        """
        self.pool_size = 1
        self.carrier = "direct"
        await self.begin()
        pairs = [await self.bulk_pair() for _ in range(5)]
        senders = [visitor.send(4 * MIB) for visitor, _ in pairs]
        await gatherResults([target.finished for _, target in pairs])
        for sender, (_, target) in zip(senders, pairs, strict=True):
            self.assertEqual(sender.digest.digest(), target.digest.digest())
        await self.pool_is_full()

    async def test_filled_again(self) -> None:
        self.pool_size = 3
        self.carrier = "direct"
        await self.begin()
        for _ in range(4):
            visitor, _ = await self.pair(Echo)
            await self.pool_is_full()
            visitor.transport.loseConnection()
        await self.over()
        self.assertEqual(3, self.idle())

    async def test_many_switch_at_once(self) -> None:
        """
        A hundred streams under load, more than there are data links at a time: each
        gets back what it has sent.
        """
        await self.begin(switch_after=50_000)
        tunnel = await self.tunnel(await self.listen(Programs(Echo)))
        visitors = [await self.visit(tunnel, Program(keep=False)) for _ in range(100)]
        senders = [visitor.send(300_000) for visitor in visitors]
        await gatherResults([visitor.finished for visitor in visitors])
        for visitor, sender in zip(visitors, senders, strict=True):
            self.assertEqual(sender.digest.digest(), visitor.digest.digest())
        await self.over()
        self.assertEqual(100, len(self.there.ends))
        self.assertEqual({(Code.NONE, 300_000, 300_000)}, {*self.there.ends})
        self.assertEqual({(Code.NONE, 300_000, 300_000)}, {*self.here.ends})
        await self.pool_is_full()


class CutTests(DirectCase):
    """
    Data links that are cut off: their stream is reset, and nothing else. The streams
    take data links at once, in the order in which these were dialled.
    """

    carrier: Carrier = "direct"
    pool_size = 1
    relay: CuttingRelay

    async def reached_at(self, port: int) -> int:
        self.relay = CuttingRelay(port)
        self.addCleanup(self.relay.stop)
        return await self.relay.start()

    @property
    def control(self) -> Connection:
        return self.relay.connections[0]

    def data_link(self, number: int) -> Connection:
        return self.relay.connections[number]

    async def streams(self) -> tuple[Program, Program]:
        """
        Open a stream, on data link 1, and another one beside it, on data link 2.

        @return: the visitor and the target of the first.
        """
        pair = await self.bulk_pair()
        await self.pool_is_full()
        self.beside = await self.bulk_pair()
        await self.pool_is_full()
        return pair

    async def check_reset(self, visitor: Program, target: Program) -> None:
        """
        Both programs were reset, and the other stream was not.
        """
        await until(
            lambda: sum(len(tuple(each.streams)) for each in self.server.tunnels) == 1
        )
        for program in (visitor, target):
            if program.finished.called:
                # After the end it does not look.
                program.transport.write(b"hello?")
        await gatherResults([visitor.lost, target.lost])
        self.assertTrue(visitor.was_reset)
        self.assertTrue(target.was_reset)
        await self.check_beside()
        for counts in (self.here, self.there):
            self.assertEqual([Code.LINK_LOST, Code.NONE], [e[0] for e in counts.ends])

    async def check_beside(self) -> None:
        """
        The other stream, and the session, go on.
        """
        visitor, target = self.beside
        there, back = visitor.send(2 * MIB), target.send(2 * MIB)
        await gatherResults([visitor.finished, target.finished])
        self.assertEqual(there.digest.digest(), target.digest.digest())
        self.assertEqual(back.digest.digest(), visitor.digest.digest())
        await self.over()
        self.assertFalse(self.control.lost)

    async def test_idle(self) -> None:
        """
        Nobody notices, and there is another one soon.
        """
        await self.begin()
        self.data_link(1).cut()
        await until(lambda: self.data_link(1).lost and len(self.relay.connections) > 2)
        await self.pool_is_full()
        visitor, target = await self.bulk_pair()
        there = visitor.send(4 * MIB)
        await target.finished
        self.assertEqual(there.digest.digest(), target.digest.digest())

    async def test_in_the_middle(self) -> None:
        await self.begin()
        visitor, target = await self.streams()
        visitor.send(1024 * MIB)
        target.send(1024 * MIB)
        await gatherResults([visitor.got(4 * MIB), target.got(4 * MIB)])
        self.assertGreater(self.data_link(1).passed, 8 * MIB)
        self.data_link(1).cut()
        await self.check_reset(visitor, target)

    async def test_nothing_moves(self) -> None:
        await self.begin()
        visitor, target = await self.streams()
        self.data_link(1).cut()
        await self.check_reset(visitor, target)

    async def test_closed_in_order(self) -> None:
        """
        That is no end of the stream.
        """
        await self.begin()
        visitor, target = await self.streams()
        visitor.transport.write(b"hello")
        await target.got(5)
        self.data_link(1).client.transport.loseConnection()
        await self.check_reset(visitor, target)

    async def test_visitor_has_finished(self) -> None:
        await self.begin()
        visitor, target = await self.streams()
        visitor.send(MIB)
        await target.finished
        self.data_link(1).cut()
        await self.check_reset(visitor, target)

    async def test_target_has_finished(self) -> None:
        await self.begin()
        visitor, target = await self.streams()
        target.send(MIB)
        await visitor.finished
        self.data_link(1).cut()
        await self.check_reset(visitor, target)

    async def test_last_bytes_are_missing(self) -> None:
        """
        All was sent, and the ends were said on the control link: what was lost on
        the data link is not taken for delivered.
        """
        await self.begin()
        visitor, target = await self.streams()
        self.data_link(1).hold(to_client=True, to_server=True)
        visitor.transport.write(b"last words")
        visitor.transport.loseWriteConnection()
        target.transport.loseWriteConnection()
        await visitor.finished
        await until(lambda: self.data_link(1).waits)
        self.assertFalse(target.finished.called)
        self.data_link(1).cut()
        await target.lost
        self.assertTrue(target.was_reset)
        self.assertEqual(0, target.count)
        visitor.transport.loseConnection()
        await self.check_beside()

    async def test_word_on_the_control_link_is_late(self) -> None:
        """
        The bytes have begun on the data link, and the client does not know of whom.
        """
        await self.begin()
        visitor, target = await self.held(self.control, to_client=True)
        visitor.transport.write(b"early")
        await pause(0.1)
        self.assertEqual(0, target.count)
        self.data_link(1).cut()
        await pause(0.1)
        self.control.release()
        await self.check_both_reset(visitor, target)

    async def test_word_of_the_server_on_the_data_link_is_late(self) -> None:
        await self.begin()
        visitor, target = await self.held(self.data_link(1), to_client=True)
        visitor.transport.write(b"late")
        await pause(0.1)
        self.assertEqual(0, target.count)
        self.data_link(1).cut()
        await self.check_both_reset(visitor, target)

    async def test_word_of_the_client_on_the_data_link_is_late(self) -> None:
        await self.begin()
        visitor, target = await self.held(self.data_link(1), to_server=True)
        target.transport.write(b"late")
        await pause(0.1)
        self.assertEqual(0, visitor.count)
        self.data_link(1).cut()
        await self.check_both_reset(visitor, target)

    async def test_control_link_is_late(self) -> None:
        """
        However late the words are, no byte is lost or doubled.
        """
        await self.begin()
        await self.check_late(self.control)

    async def test_data_link_is_late(self) -> None:
        await self.begin()
        await self.check_late(self.data_link(1))

    async def check_late(self, connection: Connection) -> None:
        visitor, target = await self.held(connection, to_client=True)
        there, back = visitor.send(4 * MIB), target.send(4 * MIB)
        await pause(0.1)
        self.assertFalse(target.finished.called)
        connection.release()
        await gatherResults([visitor.finished, target.finished])
        self.assertEqual(there.digest.digest(), target.digest.digest())
        self.assertEqual(back.digest.digest(), visitor.digest.digest())
        await self.over()

    async def held(
        self,
        connection: Connection,
        *,
        to_client: bool = False,
        to_server: bool = False,
    ) -> tuple[Program, Program]:
        """
        Open a stream. As soon as its target is there, which is before the server
        hears of that, hold a connection, and wait until the words that are to pass
        there are waiting.
        """
        programs = Programs(lambda: Program(keep=False))
        tunnel = await self.tunnel(await self.listen(programs))
        arriving = programs.next()

        def hold(target: Program) -> Program:
            connection.hold(to_client=to_client, to_server=to_server)
            return target

        arriving.addCallback(hold)
        visitor = await self.visit(tunnel, Program(keep=False))
        target = await arriving
        await until(lambda: connection.waits)
        return visitor, target

    async def check_both_reset(self, visitor: Program, target: Program) -> None:
        """
        The programs were reset, and the session goes on with other streams.
        """
        await gatherResults([visitor.lost, target.lost])
        self.assertTrue(visitor.was_reset)
        self.assertTrue(target.was_reset)
        await self.over()
        for counts in (self.here, self.there):
            self.assertEqual([Code.LINK_LOST], [code for code, _, _ in counts.ends])
        self.beside = await self.bulk_pair()
        await self.check_beside()

    async def test_behind_a_full_queue(self) -> None:
        """
        The target does not read, so the switch waits, and the client does not know
        of it.
        """
        self.carrier = "auto"
        await self.begin(tuning={"stream_window": 65536}, switch_after=100_000)
        targets = Programs(Deaf)
        tunnel = await self.client.open_tunnel(targets)
        before = self.data_link(1).passed
        visitor = await self.visit(tunnel, Program(keep=False))
        visitor.send(64 * MIB)
        await until(lambda: self.idle() == 0)
        await pause(0.1)
        # Pings and their answers.
        self.assertLess(self.data_link(1).passed - before, 1000)
        self.data_link(1).cut()
        [target] = targets.built
        await self.check_both_reset(visitor, target)


class Deaf(Program):
    """
    A target in the client's process, that does not read.
    """

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        super().connectionMade()


class SecureCutTests(CutTests):
    """
    The same over WebSockets in TLS.
    """

    scheme = "wss"
