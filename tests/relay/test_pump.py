"""
Tests of L{reitunnel.relay.pump} and L{reitunnel.relay.closing}.
"""

from __future__ import annotations

import gc
from errno import ECONNRESET, ETIMEDOUT
from socket import SO_ERROR, SOL_SOCKET
from socket import socket as Socket
from weakref import ref

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IProcessTransport,
    IProtocolFactory,
    IPushProducer,
)
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides
from zope.interface.verify import verifyObject

from reitunnel.errors import Code
from reitunnel.relay import SocketEnd, SocketFactory, StreamTransport, join
from tests.relay.memory import ROOM, MemorySocket, MemoryTransport, Remote
from tests.relay.programs import HalfCloseable
from tests.relay.rig import Rig

LOTS = 4 << 20


class PumpTests(SynchronousTestCase):
    """
    A visitor and a target with a pump at each end of their stream.
    """

    rig_type: type[Rig] = Rig

    def setUp(self) -> None:
        self.rig = self.rig_type()
        self.visitor, self.target = self.rig.pumped()
        self.ends: list[tuple[Code, str]] = []
        for transport in (self.rig.visitors[0], self.rig.targets[0]):
            transport.on_over = lambda code, reason: self.ends.append((code, reason))

    @property
    def sockets(self) -> tuple[MemoryTransport, MemoryTransport]:
        """
        Our ends of the two connections.
        """
        return self.visitor.transport.far, self.target.transport.far

    def check_over(self, code: Code) -> None:
        """
        Everything is closed, and both ends agree.
        """
        self.rig.settle()
        self.assertEqual([code, code], [code for code, _ in self.ends])
        for socket in self.sockets:
            self.assertTrue(socket.lost)
        self.assertEqual([], self.rig.leftovers())

    def both(self) -> list[tuple[Remote, Remote]]:
        """
        Both directions.
        """
        return [(self.visitor, self.target), (self.target, self.visitor)]


class BytesTests(PumpTests):
    def test_both_ways(self) -> None:
        self.visitor.transport.write(b"question")
        self.target.transport.write(b"answer")
        self.rig.settle()
        self.assertEqual(b"question", self.target.received)
        self.assertEqual(b"answer", self.visitor.received)

    def test_a_lot(self) -> None:
        data = bytes(range(256)) * (LOTS // 256)
        for sender, receiver in self.both():
            sender.transport.write(data)
            self.rig.settle()
            self.assertEqual(data, receiver.received)

    def test_slow_reader(self) -> None:
        """
        Who does not read stops the other side, and little is kept in between.
        """
        for sender, receiver in self.both():
            receiver.transport.pauseProducing()
            sender.transport.write(bytes(LOTS))
            self.rig.settle()
            self.assertFalse(sender.transport.far.reading)
            in_between = LOTS - len(sender.transport.outgoing)
            self.assertLess(in_between, 1 << 20)
            receiver.transport.resumeProducing()
            self.rig.settle()
            self.assertEqual(LOTS, len(receiver.received))
            self.assertTrue(sender.transport.far.reading)

    def test_slow_reader_does_not_stop_the_others(self) -> None:
        self.target.transport.pauseProducing()
        self.visitor.transport.write(bytes(LOTS))
        self.rig.settle()
        second, other = self.rig.pumped()
        second.transport.write(bytes(LOTS))
        other.transport.write(bytes(LOTS))
        self.rig.settle()
        self.assertEqual(LOTS, len(other.received))
        self.assertEqual(LOTS, len(second.received))

    def test_slow_in_one_direction(self) -> None:
        """
        The other direction of the same stream goes on.
        """
        self.target.transport.pauseProducing()
        self.visitor.transport.write(bytes(LOTS))
        self.rig.settle()
        self.target.transport.write(bytes(LOTS))
        self.rig.settle()
        self.assertEqual(LOTS, len(self.visitor.received))

    def test_early_data_and_end(self) -> None:
        """
        What a visitor has sent before the target was there, its FIN included, is
        for the target.
        """
        visitor, target = Remote(), Remote()
        near = self.rig.offer_stream()
        join(self.rig.socket(visitor), near)
        visitor.transport.write(b"early")
        visitor.transport.loseWriteConnection()
        self.rig.settle()
        far = self.rig.targets[-1]
        far.accept()
        join(self.rig.socket(target), far)
        self.rig.settle()
        self.assertEqual(b"early", target.received)
        self.assertTrue(target.finished)
        target.transport.write(b"answer")
        target.transport.loseConnection()
        self.rig.settle()
        self.assertEqual(b"answer", visitor.received)
        self.assertTrue(visitor.finished)


class _EitherWay(PumpTests):
    """
    What holds for a visitor and a target alike.

    @ivar one: one of them.
    @ivar other: the one at the far end.
    """

    one: Remote
    other: Remote

    def test_half_close_one_after_the_other(self) -> None:
        """
        Whoever ends first, the other direction goes on until it ends too.
        """
        self.one.transport.write(b"last words")
        self.one.transport.loseWriteConnection()
        self.rig.settle()
        self.assertEqual(b"last words", self.other.received)
        self.assertTrue(self.other.finished)
        self.assertEqual([], self.ends)
        self.other.transport.write(bytes(LOTS))
        self.rig.settle()
        self.assertEqual(LOTS, len(self.one.received))
        self.assertFalse(self.one.finished)
        self.other.transport.loseWriteConnection()
        self.rig.settle()
        self.assertTrue(self.one.finished)
        self.check_over(Code.NONE)

    def test_half_close_with_bytes_that_wait(self) -> None:
        """
        The end comes last, however long the reader takes.
        """
        self.other.transport.pauseProducing()
        self.one.transport.write(bytes(LOTS))
        self.one.transport.loseWriteConnection()
        self.rig.settle()
        self.assertFalse(self.other.finished)
        self.other.transport.resumeProducing()
        self.rig.settle()
        self.assertEqual(LOTS, len(self.other.received))
        self.assertTrue(self.other.finished)
        self.other.transport.loseWriteConnection()
        self.check_over(Code.NONE)

    def test_half_close_while_the_other_direction_waits(self) -> None:
        """
        The producers are unregistered: a paused one would keep the socket open.
        """
        self.one.transport.pauseProducing()
        self.other.transport.write(bytes(LOTS))
        self.rig.settle()
        self.one.transport.loseWriteConnection()
        self.rig.settle()
        self.assertTrue(self.other.finished)
        self.other.transport.loseWriteConnection()
        self.rig.settle()
        self.assertEqual([], self.ends)
        self.one.transport.resumeProducing()
        self.rig.settle()
        self.assertEqual(LOTS, len(self.one.received))
        self.check_over(Code.NONE)

    def test_reset(self) -> None:
        """
        A reset travels as a reset.
        """
        self.one.transport.abortConnection()
        self.rig.settle()
        self.assertTrue(self.other.was_reset)
        self.check_over(Code.ABORTED)

    def test_reset_after_the_half_close(self) -> None:
        self.other.transport.loseWriteConnection()
        self.rig.settle()
        self.one.transport.abortConnection()
        self.rig.settle()
        self.assertTrue(self.other.was_reset)
        self.check_over(Code.ABORTED)

    def test_reset_while_bytes_wait(self) -> None:
        """
        What waits to be sent to the other side is dropped.
        """
        self.other.transport.pauseProducing()
        self.one.transport.write(bytes(100_000))
        self.rig.settle()
        self.one.transport.abortConnection()
        self.rig.settle()
        self.other.transport.resumeProducing()
        self.rig.settle()
        self.assertTrue(self.other.was_reset)
        self.check_over(Code.ABORTED)

    def test_reset_by_one_who_does_not_read(self) -> None:
        self.one.transport.pauseProducing()
        self.other.transport.write(bytes(LOTS))
        self.rig.settle()
        self.one.transport.abortConnection()
        self.rig.settle()
        self.assertTrue(self.other.was_reset)
        self.check_over(Code.ABORTED)

    def test_closed_while_the_other_side_sends(self) -> None:
        """
        A program that closes its connection altogether, although more comes, is
        seen as its kernel shows it: as a reset.
        """
        self.one.transport.loseConnection()
        self.rig.settle()
        self.assertTrue(self.other.finished)
        for _ in range(4):
            self.other.transport.write(b"too late")
            self.rig.settle()
        self.assertTrue(self.other.was_reset)
        self.check_over(Code.ABORTED)


class VisitorTests(_EitherWay):
    """
    The visitor acts, the target sees.
    """

    def setUp(self) -> None:
        super().setUp()
        self.one, self.other = self.visitor, self.target


class TargetTests(_EitherWay):
    """
    The target acts, the visitor sees.
    """

    def setUp(self) -> None:
        super().setUp()
        self.one, self.other = self.target, self.visitor


del _EitherWay


class BothTests(PumpTests):
    def test_half_close(self) -> None:
        self.visitor.transport.write(b"question")
        self.target.transport.write(b"answer")
        for remote in (self.visitor, self.target):
            remote.transport.loseWriteConnection()
        self.rig.settle()
        self.assertEqual(b"question", self.target.received)
        self.assertEqual(b"answer", self.visitor.received)
        self.assertTrue(self.target.finished)
        self.assertTrue(self.visitor.finished)
        self.check_over(Code.NONE)

    def test_reset(self) -> None:
        self.visitor.transport.abortConnection()
        self.target.transport.abortConnection()
        self.check_over(Code.ABORTED)

    def test_stream_reset(self) -> None:
        """
        Both sockets are reset, once, when the stream is, for whatever reason.
        """
        self.rig.visitors[0].abort(Code.POLICY)
        self.rig.settle()
        self.assertTrue(self.visitor.was_reset)
        self.assertTrue(self.target.was_reset)
        self.assertEqual([1, 1], [socket.aborted for socket in self.sockets])
        self.check_over(Code.POLICY)

    def test_session_lost(self) -> None:
        self.rig.server.mux.abort(Code.TIMEOUT, "silent")
        self.rig.settle()
        self.assertTrue(self.visitor.was_reset)
        self.assertTrue(self.target.was_reset)
        self.assertEqual([], self.rig.clock.getDelayedCalls())


class JoinTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.remote = Remote()

    def test_interfaces(self) -> None:
        end = SocketEnd(lambda _: None, lambda: None)
        verifyObject(IHalfCloseableProtocol, end)
        verifyObject(IPushProducer, end)
        verifyObject(IProtocolFactory, SocketFactory(lambda _: end))

    def test_factory(self) -> None:
        """
        It builds the end for the address.
        """
        addresses: list[object] = []

        def build(address: object) -> SocketEnd:
            addresses.append(address)
            return end

        end = SocketEnd(lambda _: None, lambda: None)
        address = IPv4Address("TCP", "192.0.2.1", 1)
        self.assertIs(end, SocketFactory(build).buildProtocol(address))
        self.assertEqual([address], addresses)

    def test_reads_nothing_before(self) -> None:
        """
        Nobody wants it yet, and the kernel holds it.
        """
        connected: list[SocketEnd] = []
        end = SocketEnd(connected.append, self.fail)
        near, _ = self.rig.connect(end, self.remote)
        self.remote.transport.write(b"early")
        self.remote.transport.loseWriteConnection()
        self.rig.settle()
        self.assertEqual([end], connected)
        self.assertFalse(near.reading)
        self.assertEqual(b"early", self.remote.transport.outgoing)

    def test_lost_before(self) -> None:
        lost: list[str] = []
        end = SocketEnd(lambda _: None, lambda: lost.append("lost"))
        self.rig.connect(end, self.remote)
        end.abort()
        self.rig.settle()
        self.assertEqual(["lost"], lost)
        self.assertTrue(self.remote.was_reset)
        end.abort()
        self.rig.settle()
        self.assertEqual(["lost"], lost)

    def test_socket_lost_before(self) -> None:
        """
        Nobody else would tell the stream.
        """
        end = self.rig.socket(self.remote)
        end.abort()
        self.rig.settle()
        near, far = self.rig.open_stream()
        program = HalfCloseable()
        far.connect(program)
        join(end, near)
        self.rig.settle()
        self.assertEqual([Code.ABORTED], program.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_stream_lost_before(self) -> None:
        """
        Nobody else would tell the socket.
        """
        end = self.rig.socket(self.remote)
        near, far = self.rig.open_stream()
        far.abortConnection()
        self.rig.settle()
        join(end, near)
        self.rig.settle()
        self.assertTrue(self.remote.was_reset)
        self.assertEqual([], self.rig.leftovers())

    def test_held_bytes_fill_the_socket(self) -> None:
        """
        What was held goes to the socket only as fast as that takes it.
        """
        end = self.rig.socket(self.remote)
        self.remote.transport.pauseProducing()
        near, far = self.rig.open_stream()
        pieces = [bytes(1000) for _ in range(LOTS // 1000)]
        for piece in pieces:
            far.write(piece)
        self.rig.settle()
        join(end, near)
        self.rig.settle()
        self.assertLess(len(self.remote.transport.far.outgoing), 2 * ROOM)
        self.remote.transport.resumeProducing()
        self.rig.settle()
        self.assertEqual(b"".join(pieces), self.remote.received)

    def test_no_references_after_the_end(self) -> None:
        """
        When both ends are lost, they let go of each other.
        """
        visitor, target = self.rig.pumped()
        visitor.transport.loseWriteConnection()
        target.transport.loseWriteConnection()
        self.check_no_references(visitor)

    def test_no_references_after_a_reset(self) -> None:
        """
        Whichever end is lost first.
        """
        for index in range(2):
            pair = self.rig.pumped()
            pair[index].transport.abortConnection()
            self.check_no_references(pair[0])

    def check_no_references(self, visitor: Remote) -> None:
        """
        Nothing keeps our end of a visitor's connection alive.
        """
        self.rig.settle()
        end = visitor.transport.far.protocol
        watch = ref(end)
        gc.disable()
        try:
            del visitor.transport.far.protocol, end
            self.assertIsNone(watch())
        finally:
            gc.enable()


class Handle(Socket):
    """
    A socket with an error that nobody has noticed.
    """

    error = 0

    def getsockopt(self, *option: int) -> int:  # type: ignore[override]  # one of its forms
        assert option == (SOL_SOCKET, SO_ERROR)
        error, self.error = self.error, 0
        return error


class HandleTransport(MemorySocket):
    """
    A connection with a socket.
    """

    handle: Handle

    def getHandle(self) -> Handle:
        return self.handle


class LookTests(SynchronousTestCase):
    """
    Resets that come while a connection is not read from.
    """

    def setUp(self) -> None:
        self.rig = Rig()
        self.visitor, self.target = Remote(), Remote()
        end = SocketEnd(lambda _: None, lambda: None)
        near, _ = self.rig.connect(end, self.visitor, HandleTransport)
        assert isinstance(near, HandleTransport)
        near.handle = self.handle = Handle()
        self.addCleanup(self.handle.close)
        stream, far = self.rig.open_stream()
        join(end, stream)
        join(self.rig.socket(self.target), far)
        self.rig.settle()

    def beat(self) -> None:
        """
        Let a heartbeat pass.
        """
        self.rig.clock.advance(10)
        self.rig.settle()

    def test_while_paused(self) -> None:
        self.target.transport.pauseProducing()
        self.visitor.transport.write(bytes(LOTS))
        self.rig.settle()
        self.beat()
        self.handle.error = ECONNRESET
        self.beat()
        self.target.transport.resumeProducing()
        self.rig.settle()
        self.assertTrue(self.target.was_reset)
        self.assertEqual([], self.rig.leftovers())

    def test_after_the_half_close(self) -> None:
        self.visitor.transport.loseWriteConnection()
        self.rig.settle()
        self.beat()
        self.assertEqual(0, self.target.transport.far.aborted)
        self.handle.error = ETIMEDOUT
        self.beat()
        self.assertEqual(1, self.target.transport.far.aborted)
        self.assertEqual([], self.rig.leftovers())

    def test_while_it_is_read(self) -> None:
        """
        The reactor finds out by itself, and must: the kernel tells it once.
        """
        self.handle.error = ECONNRESET
        self.beat()
        self.assertEqual(ECONNRESET, self.handle.error)
        self.assertFalse(self.target.was_reset)

    def test_no_socket(self) -> None:
        """
        There are connections without one.
        """
        self.target.transport.loseWriteConnection()
        self.rig.settle()
        self.beat()
        self.assertEqual([None, None], [self.visitor.lost, self.target.lost])


class Pipes(StringTransport):
    """
    The pipes to a process, which cannot be reset.

    @ivar closed_inputs: how often its standard input was closed.
    """

    abortConnection = property()
    closed_inputs = 0

    def closeStdin(self) -> None:
        self.closed_inputs += 1


class TransportsTests(SynchronousTestCase):
    """
    Targets whose connections cannot be half-closed, or not even aborted.
    """

    def setUp(self) -> None:
        self.rig = Rig()
        self.visitor, self.target = Remote(), Remote()

    def pump(self, socket: SocketEnd) -> StreamTransport:
        """
        Join the visitor to a socket.

        @return: the stream's transport at the socket's side.
        """
        near, far = self.rig.open_stream()
        join(self.rig.socket(self.visitor), near)
        join(socket, far)
        self.rig.settle()
        return far

    def pump_without_half_close(self) -> MemoryTransport:
        """
        Join the visitor to a connection that cannot be half-closed.

        @return: our end of it.
        """
        end = SocketEnd(lambda _: None, lambda: None)
        near, _ = self.rig.connect(end, self.target, MemoryTransport)
        self.pump(end)
        return near

    def test_target_closes(self) -> None:
        """
        What it has sent arrives, and then the end: not a reset.
        """
        self.pump_without_half_close()
        self.target.transport.write(b"answer")
        self.target.transport.loseConnection()
        self.rig.settle()
        self.assertEqual(b"answer", self.visitor.received)
        self.assertTrue(self.visitor.finished)
        self.visitor.transport.loseWriteConnection()
        self.rig.settle()
        self.assertFalse(self.visitor.was_reset)
        self.assertEqual([], self.rig.leftovers())

    def test_target_closes_with_much_to_send(self) -> None:
        self.pump_without_half_close()
        self.visitor.transport.pauseProducing()
        self.target.transport.write(bytes(LOTS))
        self.target.transport.loseConnection()
        self.rig.settle()
        self.visitor.transport.resumeProducing()
        self.rig.settle()
        self.assertEqual(LOTS, len(self.visitor.received))
        self.assertTrue(self.visitor.finished)

    def test_target_closed_and_the_visitor_sends(self) -> None:
        self.pump_without_half_close()
        self.target.transport.loseConnection()
        self.rig.settle()
        for _ in range(2):
            self.visitor.transport.write(b"too late")
            self.rig.settle()
        self.assertTrue(self.visitor.was_reset)
        self.assertEqual([], self.rig.leftovers())

    def test_visitor_closes(self) -> None:
        """
        There is nothing between sending no more and closing.
        """
        near = self.pump_without_half_close()
        self.visitor.transport.write(b"last words")
        self.visitor.transport.loseWriteConnection()
        self.rig.settle()
        self.assertEqual(b"last words", self.target.received)
        self.assertTrue(near.lost)
        self.assertIsNotNone(self.target.lost)
        self.assertFalse(self.target.was_reset)
        self.assertEqual([], self.rig.leftovers())

    def test_no_abort(self) -> None:
        """
        Where there is no way to abort, as with a process, closing must do.
        """

        end = SocketEnd(lambda _: None, lambda: None)
        pipes = Pipes()
        end.makeConnection(pipes)
        self.pump(end)
        self.visitor.transport.abortConnection()
        self.rig.settle()
        self.assertTrue(pipes.disconnecting)
        self.assertFalse(self.rig.client.mux.lost)
        end.connectionLost()
        self.rig.settle()
        self.assertEqual([], self.rig.leftovers())

    def test_process(self) -> None:
        """
        The half-close of a process is the end of its standard input.
        """
        pipes = Pipes()
        alsoProvides(pipes, IProcessTransport)
        end = SocketEnd(lambda _: None, lambda: None)
        end.makeConnection(pipes)
        self.pump(end)
        self.visitor.transport.write(b"last words")
        self.visitor.transport.loseWriteConnection()
        self.rig.settle()
        self.assertEqual(b"last words", pipes.value())
        self.assertEqual(1, pipes.closed_inputs)
        self.assertFalse(pipes.disconnecting)
        end.dataReceived(b"answer")
        end.connectionLost()
        self.rig.settle()
        self.assertEqual(b"answer", self.visitor.received)
        self.assertTrue(self.visitor.finished)
        self.assertEqual([], self.rig.leftovers())

    def test_target_closes_while_it_is_paused(self) -> None:
        """
        TLS hands on what it has decrypted, and then its end, although it is paused.
        All of it arrives.
        """
        end = SocketEnd(lambda _: None, lambda: None)
        end.makeConnection(Pipes())
        far = self.pump(end)
        self.visitor.transport.pauseProducing()
        end.dataReceived(bytes(LOTS))
        self.assertFalse(end.reading)
        end.connectionLost()
        self.rig.settle()
        self.assertGreater(far.stream.queued, 0)
        self.visitor.transport.resumeProducing()
        self.rig.settle()
        self.assertEqual(LOTS, len(self.visitor.received))
        self.assertTrue(self.visitor.finished)

    def test_half_close_is_not_passed_below(self) -> None:
        """
        A transport that hands on to the one below whatever it does not do itself,
        as Twisted's TLS does, cannot be half-closed: that would cut it off.
        """

        class Layer(MemoryTransport):
            def __getattr__(self, name: str) -> object:
                return getattr(below, name)

        below = HalfCloses()
        end = SocketEnd(lambda _: None, lambda: None)
        near, _ = self.rig.connect(end, self.target, Layer)
        alsoProvides(near, IHalfCloseableDescriptor)
        self.pump(end)
        self.visitor.transport.loseWriteConnection()
        self.rig.settle()
        self.assertTrue(near.lost)
        self.assertEqual(0, below.half_closes)


class HalfCloses:
    """
    Counts how often it is half-closed.
    """

    half_closes = 0

    def loseWriteConnection(self) -> None:
        self.half_closes += 1
