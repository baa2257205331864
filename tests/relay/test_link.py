"""
Tests of L{reitunnel.relay.link}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory, IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import RemoteProtocolError
from reitunnel.relay import Link, LinkFactory
from reitunnel.relay.link import CLOSE_TIMEOUT
from reitunnel.wire.frames import Frame, FrameKind, FrameReader, encode_frame
from tests.relay.memory import MemorySocket, MemoryTransport, Remote, connect

PING = encode_frame(FrameKind.PING, 0, b"12345678")
GOAWAY = encode_frame(FrameKind.GOAWAY, 0, b"x")


class Receiver:
    """
    Writes down what a link tells it.

    @ivar told: what it was told, in order; a frame as its kind.
    @ivar on_frame: called with each frame.
    @ivar on_broken: called when the peer broke the protocol.
    """

    def __init__(self) -> None:
        self.told: list[object] = []
        self.on_frame: Callable[[Frame], None] = lambda _: None
        self.on_broken: Callable[[], None] = lambda: None
        self.reason: Failure | None = None

    def link_ready(self, link: Link) -> None:
        self.told.append("ready")

    def frame_received(self, frame: Frame) -> None:
        self.told.append(frame.kind)
        self.on_frame(frame)

    def batch_received(self) -> None:
        self.told.append("batch")

    def link_full(self) -> None:
        self.told.append("full")

    def link_writable(self) -> None:
        self.told.append("writable")

    def link_broken(self, error: RemoteProtocolError) -> None:
        self.told.append(error.reason)
        self.on_broken()

    def link_lost(self, reason: Failure) -> None:
        self.told.append("lost")
        self.reason = reason

    def take(self) -> list[object]:
        """
        Give what it was told since the last time.
        """
        told, self.told = self.told, []
        return told


class LinkTests(SynchronousTestCase):
    """
    A link on a L{StringTransport}, which does nothing by itself.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.receiver = Receiver()
        self.link = Link(FrameReader(), self.receiver, self.clock)
        self.transport = StringTransport()
        self.link.makeConnection(self.transport)

    def lose(self) -> None:
        """
        The transport is gone.
        """
        self.link.connectionLost(Failure(ConnectionDone()))

    def test_interfaces(self) -> None:
        verifyObject(IPushProducer, self.link)
        verifyObject(IProtocolFactory, LinkFactory(lambda: self.link))

    def test_connected(self) -> None:
        """
        It learns from the transport when that is full.
        """
        self.assertEqual(["ready"], self.receiver.take())
        self.assertIs(self.link, self.transport.producer)
        self.assertTrue(self.transport.streaming)
        self.assertTrue(self.link.writable)

    def test_frames(self) -> None:
        """
        However the bytes come, each frame comes once; a batch is what was read.
        """
        self.receiver.take()
        data = PING + PING + GOAWAY
        self.link.dataReceived(data)
        kinds = [FrameKind.PING, FrameKind.PING, FrameKind.GOAWAY]
        self.assertEqual([*kinds, "batch"], self.receiver.take())
        for index in range(len(data)):
            self.link.dataReceived(data[index : index + 1])
        told = self.receiver.take()
        self.assertEqual(kinds, [each for each in told if each != "batch"])
        self.assertEqual(len(data), told.count("batch"))

    def test_broken_by_the_reader(self) -> None:
        """
        What is no frame is reported; the batch is not.
        """
        self.receiver.on_broken = self.link.close
        self.receiver.take()
        self.link.dataReceived(PING + b"\xff" * 10)
        self.assertEqual(
            [FrameKind.PING, "unknown frame kind 0xff"], self.receiver.take()
        )

    def test_broken_by_the_receiver(self) -> None:
        """
        What the receiver does not take is reported to it.
        """

        def refuse(_: Frame) -> None:
            raise RemoteProtocolError("not now")

        self.receiver.on_frame = refuse
        self.receiver.on_broken = self.link.close
        self.receiver.take()
        self.link.dataReceived(PING + GOAWAY)
        self.assertEqual([FrameKind.PING, "not now"], self.receiver.take())
        self.assertTrue(self.transport.disconnecting)

    def test_nothing_after_it_was_broken(self) -> None:
        self.receiver.on_broken = self.link.close
        self.link.dataReceived(b"\xff" * 10)
        self.receiver.take()
        self.link.dataReceived(PING)
        self.link.dataReceived(b"\xff" * 10)
        self.assertEqual([], self.receiver.take())

    def test_closed_within_a_batch(self) -> None:
        """
        What comes after the frame that led to the close is dropped.
        """
        self.receiver.on_frame = lambda _: self.link.close()
        self.receiver.take()
        self.link.dataReceived(PING + PING)
        self.assertEqual([FrameKind.PING], self.receiver.take())

    def test_aborted_within_a_batch(self) -> None:
        self.receiver.on_frame = lambda _: self.link.abort()
        self.receiver.take()
        self.link.dataReceived(PING + PING)
        self.assertEqual([FrameKind.PING], self.receiver.take())

    def test_another_receiver_within_a_batch(self) -> None:
        """
        The handshake hands over to the session between two frames.
        """
        second = Receiver()

        def hand_over(_: Frame) -> None:
            self.link.receiver = second

        self.receiver.on_frame = hand_over
        self.receiver.take()
        self.link.dataReceived(PING + GOAWAY)
        self.assertEqual([FrameKind.PING], self.receiver.take())
        self.assertEqual([FrameKind.GOAWAY, "batch"], second.take())

    def test_write(self) -> None:
        self.link.write([b"abc", memoryview(b"-def-")[1:4], b""])
        self.assertEqual(b"abcdef", self.transport.value())

    def test_writable(self) -> None:
        self.receiver.take()
        self.link.pauseProducing()
        self.assertFalse(self.link.writable)
        self.assertEqual(["full"], self.receiver.take())
        self.link.resumeProducing()
        self.assertTrue(self.link.writable)
        self.assertEqual(["writable"], self.receiver.take())

    def test_stop_producing(self) -> None:
        self.link.stopProducing()
        self.assertFalse(self.link.writable)

    def test_not_writable_once_closed(self) -> None:
        self.receiver.take()
        self.link.close()
        self.assertFalse(self.link.writable)
        self.link.resumeProducing()
        self.assertFalse(self.link.writable)
        self.assertEqual([], self.receiver.take())

    def test_pause_reading(self) -> None:
        self.link.pause_reading()
        self.assertEqual("paused", self.transport.producerState)
        self.link.resume_reading()
        self.assertEqual("producing", self.transport.producerState)

    def test_pause_reading_once_closed(self) -> None:
        """
        The peer's end is to be read.
        """
        self.link.close()
        self.link.pause_reading()
        self.link.resume_reading()
        self.assertEqual("producing", self.transport.producerState)

    def test_close(self) -> None:
        """
        The producer is unregistered: otherwise the transport would wait for it.
        """
        self.link.close()
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.disconnected)
        self.assertIsNone(self.transport.producer)
        self.link.close()
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_close_while_reading_is_paused(self) -> None:
        self.link.pause_reading()
        self.link.close()
        self.assertEqual("producing", self.transport.producerState)

    def test_closed_in_time(self) -> None:
        self.link.close()
        self.clock.advance(CLOSE_TIMEOUT - 0.1)
        self.lose()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertFalse(self.transport.disconnected)

    def test_not_closed_in_time(self) -> None:
        """
        A peer that does not take what was written is cut off.
        """
        self.link.close()
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertTrue(self.transport.disconnected)
        self.lose()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_abort(self) -> None:
        self.link.abort()
        self.assertTrue(self.transport.disconnected)
        self.assertFalse(self.link.writable)
        self.assertFalse(self.link.lost)

    def test_abort_while_closing(self) -> None:
        self.link.close()
        self.link.abort()
        self.assertTrue(self.transport.disconnected)
        self.lose()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_close_while_aborting(self) -> None:
        self.link.abort()
        self.link.close()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_lost(self) -> None:
        self.receiver.take()
        reason = Failure(ConnectionLost())
        self.link.connectionLost(reason)
        self.assertEqual(["lost"], self.receiver.take())
        self.assertIs(reason, self.receiver.reason)
        self.assertTrue(self.link.lost)
        self.assertFalse(self.link.writable)
        self.assertIsNone(self.successResultOf(self.link.closed))

    def test_abort_and_close_once_lost(self) -> None:
        self.lose()
        self.link.abort()
        self.link.close()
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_factory(self) -> None:
        factory = LinkFactory(lambda: self.link)
        address = IPv4Address("TCP", "192.0.2.1", 1)
        self.assertIs(self.link, factory.buildProtocol(address))


class CloseTests(SynchronousTestCase):
    """
    How a link on a TCP connection closes.
    """

    kind: type[MemoryTransport] = MemorySocket

    def setUp(self) -> None:
        self.clock = Clock()
        self.receiver = Receiver()
        self.link = Link(FrameReader(), self.receiver, self.clock)
        self.remote = Remote()
        self.near, self.far = connect(self.link, self.remote, self.clock, self.kind)

    def settle(self) -> None:
        while self.near.turn() + self.far.turn():
            self.clock.advance(0)

    def test_last_words(self) -> None:
        """
        The peer gets them although it was sending all the time: the connection is
        not reset by the kernel for bytes that were not read.
        """
        self.remote.transport.write(PING * 1000)
        self.link.write([GOAWAY])
        self.link.close()
        self.settle()
        self.assertEqual(GOAWAY, self.remote.received)
        self.assertTrue(self.remote.finished)
        self.remote.transport.loseConnection()
        self.settle()
        assert self.receiver.reason is not None
        self.assertIsInstance(self.receiver.reason.value, ConnectionDone)
        assert self.remote.lost is not None
        self.assertIsInstance(self.remote.lost.value, ConnectionDone)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_what_still_comes_is_dropped(self) -> None:
        self.remote.transport.write(PING)
        self.link.close()
        self.settle()
        self.assertNotIn(FrameKind.PING, self.receiver.take())

    def test_peer_that_does_not_read(self) -> None:
        self.remote.transport.pauseProducing()
        self.link.write([GOAWAY])
        self.link.close()
        self.settle()
        self.assertFalse(self.link.lost)
        self.clock.advance(CLOSE_TIMEOUT)
        self.clock.advance(0)
        self.assertTrue(self.link.lost)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_peer_that_does_not_close(self) -> None:
        self.link.close()
        self.settle()
        self.assertFalse(self.link.lost)
        self.clock.advance(CLOSE_TIMEOUT)
        self.clock.advance(0)
        self.assertTrue(self.link.lost)

    def test_while_full(self) -> None:
        """
        The transport has paused the link, which must not keep it open.
        """
        self.link.write([GOAWAY * 20_000])
        self.assertFalse(self.link.writable)
        self.link.close()
        self.settle()
        self.assertEqual(GOAWAY * 20_000, self.remote.received)
        self.remote.transport.loseConnection()
        self.settle()
        self.assertTrue(self.link.lost)


class CloseWithoutHalfCloseTests(CloseTests):
    """
    How a link closes on a transport that cannot be half-closed.
    """

    kind = MemoryTransport

    def test_last_words(self) -> None:
        """
        Transports such as TLS read on by themselves until the peer has closed.
        """
        self.link.write([GOAWAY])
        self.link.close()
        self.settle()
        self.assertEqual(GOAWAY, self.remote.received)
        self.assertTrue(self.link.lost)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_peer_that_does_not_close(self) -> None:
        """
        That is the transport's affair.
        """
        self.link.close()
        self.settle()
        self.assertTrue(self.link.lost)
