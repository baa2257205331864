"""
Tests of L{reitunnel.transports.websocket_channel}, once it is open.
"""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports.websocket_frames import MAX_MESSAGE
from reitunnel.transports.websocket_server import LinkServerFactory
from tests.producers import Producer
from tests.transports.support import Recorder, RecorderFactory
from tests.transports.websocket_support import (
    MASK,
    REQUEST,
    PairTestCase,
    frame,
    frames,
)


class DataTests(PairTestCase):
    def test_both_ways(self) -> None:
        server, client = self.open()
        for size in (1, 125, 126, 65535, 65536, 131072, MAX_MESSAGE, MAX_MESSAGE + 1):
            data = bytes(range(251)) * (size // 251 + 1)
            server.transport.write(data[:size])
            client.transport.write(data[:size])
            self.wire.pump()
            self.assertEqual(data[:size], client.received)
            self.assertEqual(data[:size], server.received)
            server.pieces.clear()
            client.pieces.clear()

    def test_one_frame_a_write(self) -> None:
        server, client = self.open()
        for size in (1, 200, 131072):
            server.transport.write(bytes(size))
            client.transport.write(bytes(size))
            for end in self.wire.ends:
                self.assertEqual([(2, bytes(size))], frames(end.value()))
                end.clear()

    def test_masks(self) -> None:
        server, client = self.open()
        server.transport.write(b"hello")
        client.transport.write(b"hello")
        client.transport.write(b"hello")
        plain, masked = self.wire.ends[0].value(), self.wire.ends[1].value()
        self.assertEqual(b"\x82\x05hello", plain)
        self.assertEqual(b"\x82\x85", masked[:2])
        self.assertNotEqual(masked[:11], masked[11:])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.integers(0, 700), max_size=8),
        st.lists(st.integers(1, 300), min_size=1, max_size=20),
    )
    def test_any_chunks(self, sizes: list[int], steps: list[int]) -> None:
        self.setUp()
        server, client = self.open()
        expected = b""
        for number, size in enumerate(sizes):
            expected += bytes([number]) * size
            client.transport.write(bytes([number]) * size)
        data = self.wire.ends[1].value()
        while data:
            step = steps.pop() if len(steps) > 1 else steps[0]
            self.server_channel.dataReceived(data[:step])
            data = data[step:]
        self.assertEqual(expected, server.received)

    def test_not_before_it_is_open(self) -> None:
        self.connect()
        self.client_channel.send(b"x")
        self.assertNotIn(b"\x82", self.wire.ends[1].value())


class PeerTestCase(SynchronousTestCase):
    """
    A test of a server's channel whose peer sends frames made by hand.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        factory = RecorderFactory()
        server = LinkServerFactory(factory, self.clock, 10, "/link")
        self.transport = StringTransport()
        self.channel = server.buildProtocol(self.transport.getPeer())
        self.channel.makeConnection(self.transport)
        self.channel.dataReceived(REQUEST)
        self.transport.clear()
        [self.protocol] = factory.built

    def sent(self) -> list[tuple[int, bytes]]:
        """
        The frames that the channel has sent.
        """
        found = frames(self.transport.value())
        self.transport.clear()
        return found

    def lose(self, error: Exception) -> BaseException:
        """
        Lose the connection.

        @return: the reason that the protocol was told.
        """
        self.channel.connectionLost(Failure(error))
        [reason] = self.protocol.lost
        self.assertEqual([], self.clock.getDelayedCalls())
        assert reason.value is not None
        return reason.value


class DeliveryTests(PeerTestCase):
    def test_one_read_one_delivery(self) -> None:
        data = frame(b"ab") + frame(b"") + frame(b"c" * 70_000) + frame(b"de")
        self.channel.dataReceived(data[:-1])
        self.channel.dataReceived(data[-1:])
        first, second = self.protocol.pieces
        self.assertEqual(b"ab" + b"c" * 70_000 + b"d", first)
        self.assertEqual(b"e", second)

    def test_something_else_in_between(self) -> None:
        self.channel.dataReceived(
            frame(b"ab") + frame(b"?", opcode=9) + frame(b"c") + frame(b"d")
        )
        self.assertEqual([b"ab", b"cd"], self.protocol.pieces)
        self.assertEqual([(10, b"?")], self.sent())

    def test_nothing(self) -> None:
        self.channel.dataReceived(frame(b""))
        self.assertEqual([], self.protocol.pieces)


class FrameTests(PeerTestCase):
    def assert_failed(self, code: int, data: bytes, reason: str) -> None:
        self.channel.dataReceived(data)
        [(opcode, payload)] = self.sent()
        self.assertEqual(8, opcode)
        self.assertEqual(code, int.from_bytes(payload[:2], "big"))
        # Nothing more goes either way.
        received = self.protocol.received
        self.channel.dataReceived(frame(b"more"))
        self.protocol.transport.write(b"more")
        self.assertEqual([], self.sent())
        self.assertEqual(received, self.protocol.received)
        self.clock.advance(10)
        self.assertTrue(self.transport.disconnecting)
        error = self.lose(ConnectionDone())
        self.assertIsInstance(error, ConnectionLost)
        self.assertIn(reason, str(error))

    def test_fragments(self) -> None:
        self.channel.dataReceived(frame(b"ab", fin=False))
        self.assertEqual(b"ab", self.protocol.received)
        self.channel.dataReceived(frame(b"cd", opcode=0, fin=False))
        self.channel.dataReceived(frame(b"?", opcode=9))
        self.channel.dataReceived(frame(b"", opcode=0) + frame(b"ef"))
        self.assertEqual(b"abcdef", self.protocol.received)
        self.assertEqual([(10, b"?")], self.sent())

    def test_control_frames_in_between(self) -> None:
        self.channel.dataReceived(
            frame(b"ab")
            + frame(b"1", opcode=9)
            + frame(b"", opcode=10)
            + frame(b"")
            + frame(b"cd")
            + frame(b"", opcode=9)
        )
        self.assertEqual(b"abcd", self.protocol.received)
        self.assertEqual([(10, b"1"), (10, b"")], self.sent())

    def test_empty_messages(self) -> None:
        self.channel.dataReceived(frame(b"") * 3)
        self.assertEqual([], self.protocol.pieces)

    def test_text(self) -> None:
        self.assert_failed(1003, frame(b"hello", opcode=1), "text messages")

    def test_text_after_binary(self) -> None:
        self.assert_failed(
            1003, frame(b"ab") + frame(b"hello", opcode=1), "text messages"
        )
        self.assertEqual(b"ab", self.protocol.received)

    def test_too_large(self) -> None:
        head = struct.pack("!BBQ", 0x82, 0xFF, MAX_MESSAGE + 1) + MASK
        self.assert_failed(1009, head, f"more than {MAX_MESSAGE}")

    def test_too_large_in_fragments(self) -> None:
        half = frame(bytes(MAX_MESSAGE // 2 + 1), fin=False)
        rest = frame(bytes(MAX_MESSAGE // 2 + 1), opcode=0)
        self.assert_failed(1009, half + rest, f"more than {MAX_MESSAGE}")

    def test_largest(self) -> None:
        self.channel.dataReceived(frame(bytes(MAX_MESSAGE)))
        self.assertEqual(MAX_MESSAGE, len(self.protocol.received))
        self.assertEqual([], self.sent())

    def test_no_mask(self) -> None:
        self.assert_failed(1002, frame(b"ab", mask=None), "unmasked")

    def test_length_in_too_many_bytes(self) -> None:
        head = struct.pack("!BBH", 0x82, 0xFE, 5) + MASK
        self.assert_failed(1002, head + b"12345", "minimal length")

    def test_reserved_bits(self) -> None:
        self.assert_failed(1002, b"\xc2\x80" + MASK, "RSV")

    def test_unknown_opcode(self) -> None:
        self.assert_failed(1002, frame(b"", opcode=5), "opcode 5")

    @given(st.binary(max_size=60))
    def test_whatever_comes(self, junk: bytes) -> None:
        self.setUp()
        self.channel.dataReceived(frame(b"ab") + junk)
        self.assertTrue(self.protocol.received.startswith(b"ab"))
        self.lose(ConnectionLost())


class PingTests(PeerTestCase):
    def test_only_the_last_one_while_there_is_no_room(self) -> None:
        self.channel.pauseProducing()
        for number in range(5):
            self.channel.dataReceived(frame(b"%d" % number, opcode=9))
        self.assertEqual([], self.sent())
        self.channel.resumeProducing()
        self.assertEqual([(10, b"4")], self.sent())
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.assertEqual([], self.sent())


class PauseTests(PeerTestCase):
    def test_kept(self) -> None:
        self.protocol.transport.pauseProducing()
        self.assertEqual("paused", self.transport.producerState)
        self.channel.dataReceived(frame(b"ab"))
        self.channel.dataReceived(frame(b"cd")[:3])
        self.channel.dataReceived(frame(b"cd")[3:])
        self.assertEqual([], self.protocol.pieces)
        self.protocol.transport.resumeProducing()
        self.assertEqual([b"abcd"], self.protocol.pieces)
        self.assertEqual("producing", self.transport.producerState)

    def test_from_inside(self) -> None:
        protocol = self.protocol

        class Picky(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                protocol.transport.pauseProducing()

        picky = Picky()
        protocol.dataReceived = picky.dataReceived  # type: ignore[method-assign]  # to pause
        self.channel.dataReceived(
            frame(b"ab") + frame(b"cd", fin=False) + frame(b"ef", opcode=0)
        )
        for received in ([b"ab"], [b"ab", b"cd"], [b"ab", b"cd", b"ef"]):
            self.assertEqual(received, picky.pieces)
            self.assertEqual("paused", self.transport.producerState)
            protocol.transport.resumeProducing()
        self.assertEqual("producing", self.transport.producerState)

    def test_paused_and_resumed_from_inside(self) -> None:
        protocol = self.protocol

        class Fickle(Recorder):
            def dataReceived(self, data: bytes) -> None:
                protocol.transport.pauseProducing()
                protocol.transport.resumeProducing()
                super().dataReceived(data)

        fickle = Fickle()
        protocol.dataReceived = fickle.dataReceived  # type: ignore[method-assign]  # to pause
        self.channel.dataReceived(
            frame(b"ab") + frame(b"cd", fin=False) + frame(b"ef", opcode=0)
        )
        self.assertEqual([b"ab", b"cd", b"ef"], fickle.pieces)

    def test_kept_until_the_end(self) -> None:
        self.protocol.transport.pauseProducing()
        self.channel.dataReceived(frame(b"ab") + frame(b"\x03\xe8", opcode=8))
        self.assertEqual([], self.protocol.pieces)
        error = self.lose(ConnectionDone())
        self.assertEqual([b"ab"], self.protocol.pieces)
        self.assertIsInstance(error, ConnectionDone)

    def test_not_kept_after_an_abort(self) -> None:
        self.protocol.transport.pauseProducing()
        self.channel.dataReceived(frame(b"ab"))
        self.protocol.transport.abortConnection()
        self.assertIsInstance(self.lose(ConnectionAborted()), ConnectionAborted)
        self.assertEqual([], self.protocol.pieces)

    def test_failure_of_the_protocol(self) -> None:
        class Failing(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                raise ZeroDivisionError("on purpose")

        failing = Failing()
        self.protocol.dataReceived = failing.dataReceived  # type: ignore[method-assign]  # to fail
        both = frame(b"ab") + frame(b"cd", fin=False)
        self.assertRaises(ZeroDivisionError, self.channel.dataReceived, both)
        self.lose(ConnectionLost())
        self.assertEqual([b"ab"], failing.pieces)


class ProducerTests(PeerTestCase):
    def test_told(self) -> None:
        producer = Producer()
        self.protocol.transport.registerProducer(producer, True)
        self.assertIs(self.channel, self.transport.producer)
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.channel.stopProducing()
        self.assertEqual(["pause", "resume", "stop"], producer.told)


class ClosingTests(PairTestCase):
    def assert_closed(self, *protocols: Recorder) -> None:
        for protocol in protocols:
            [reason] = protocol.lost
            reason.trap(ConnectionDone)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_by_the_client(self) -> None:
        server, client = self.open()
        client.transport.write(b"last words")
        client.transport.loseConnection()
        self.wire.pump()
        self.assertEqual(b"last words", server.received)
        self.assert_closed(server, client)

    def test_by_the_server(self) -> None:
        server, client = self.open()
        server.transport.write(b"last words")
        server.transport.loseConnection()
        self.wire.pump()
        self.assertEqual(b"last words", client.received)
        self.assert_closed(server, client)

    def test_by_both(self) -> None:
        server, client = self.open()
        server.transport.loseConnection()
        client.transport.loseConnection()
        self.wire.pump()
        self.assert_closed(server, client)

    def test_in_connection_made(self) -> None:
        class Leaving(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.loseConnection()

        self.client_factory = RecorderFactory(Leaving)
        server, client = self.open()
        self.assert_closed(server, client)

    def test_by_a_paused_protocol(self) -> None:
        server, client = self.open()
        server.transport.pauseProducing()
        client.transport.write(b"unheard")
        self.wire.pump()
        server.transport.loseConnection()
        self.wire.pump()
        self.assertEqual(b"", server.received)
        self.assert_closed(server, client)

    def test_with_data_on_the_way(self) -> None:
        server, client = self.open()
        client.transport.write(b"unheard")
        server.transport.loseConnection()
        self.wire.pump()
        self.assertEqual(b"", server.received)
        self.assert_closed(server, client)

    def test_after_the_producer(self) -> None:
        server, client = self.open()
        client.transport.registerProducer(Producer(), True)
        client.transport.loseConnection()
        self.wire.pump()
        self.assertEqual([], server.lost)
        client.transport.write(b"last words")
        client.transport.unregisterProducer()
        self.wire.pump()
        self.assertEqual(b"last words", server.received)
        self.assert_closed(server, client)

    def test_no_answer(self) -> None:
        for side in (0, 1):
            self.setUp()
            protocol = self.open()[side]
            end = self.wire.ends[side]
            protocol.transport.write(b"last words")
            protocol.transport.loseConnection()
            self.clock.advance(9.9)
            self.assertFalse(end.disconnecting)
            self.clock.advance(0.2)
            self.assertTrue(end.disconnecting)
            # What was written is not thrown away.
            self.assertFalse(end.disconnected)
            self.wire.lose(ConnectionDone())
            [reason] = protocol.lost
            reason.trap(ConnectionDone)

    def test_server_that_does_not_hang_up(self) -> None:
        _, client = self.open()
        self.client_channel.dataReceived(b"\x88\x02\x03\xe8")
        self.assertFalse(self.wire.ends[1].disconnecting)
        self.clock.advance(10)
        self.assertTrue(self.wire.ends[1].disconnecting)
        self.client_channel.connectionLost(Failure(ConnectionDone()))
        self.assertIsInstance(client.lost[0].value, ConnectionDone)

    def test_nothing_is_sent_after_the_peer_has_closed(self) -> None:
        server, _ = self.open()
        self.server_channel.dataReceived(frame(b"\x03\xe8", opcode=8))
        self.wire.ends[0].clear()
        server.transport.write(b"x")
        server.transport.loseConnection()
        self.assertEqual(b"", self.wire.ends[0].value())


class LossTests(PeerTestCase):
    def test_without_closing(self) -> None:
        error = self.lose(ConnectionDone())
        self.assertIsInstance(error, ConnectionLost)
        self.assertIn("without closing the WebSocket", str(error))

    def test_lost(self) -> None:
        original = ConnectionLost("cable")
        self.assertIs(original, self.lose(original))

    def test_aborted(self) -> None:
        self.protocol.transport.abortConnection()
        self.assertTrue(self.transport.disconnected)
        self.assertIsInstance(self.lose(ConnectionAborted()), ConnectionAborted)

    def test_failure_of_the_protocol_on_the_last_data(self) -> None:
        """
        It is told of the end all the same, and why.
        """

        class Failing(Recorder):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError("on purpose")

        self.protocol.transport.pauseProducing()
        self.channel.dataReceived(frame(b"last"))
        self.protocol.__class__ = Failing
        self.assertIsInstance(self.lose(ConnectionDone()), ZeroDivisionError)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_anything_else(self) -> None:
        error = self.lose(ValueError("odd"))
        self.assertIsInstance(error, ConnectionLost)
        self.assertIn("odd", str(error))
