"""
Tests of L{reitunnel.transports.websocket_channel}.
"""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from hashlib import sha1

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import TransportError
from reitunnel.transports import LinkURL
from reitunnel.transports.masking import new_masker
from reitunnel.transports.websocket import MAX_MESSAGE
from reitunnel.transports.websocket_channel import (
    MAX_HEAD,
    LinkClientChannel,
    LinkServerChannel,
)
from reitunnel.transports.websocket_endpoints import (
    LinkClientFactory,
    LinkServerFactory,
)
from tests.transports.support import (
    BrokenFactory,
    NothingFactory,
    Recorder,
    RecorderFactory,
    Wire,
)
from tests.transports.test_websocket import Pushing

URL = LinkURL.parse("ws://example.com/link")

REQUEST = (
    b"GET /link HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: reitunnel.1\r\n"
    b"\r\n"
)

MASK = b"\x11\x22\x33\x44"


def frame(
    payload: bytes, *, opcode: int = 2, fin: bool = True, mask: bytes | None = MASK
) -> bytes:
    """
    Make a frame by hand.

    @param mask: L{None} leaves it unmasked, as servers do.
    """
    size = len(payload)
    bit = 0 if mask is None else 0x80
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    if mask is None:
        return head + payload
    return head + mask + new_masker(mask, size).process(payload)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """
    Take frames apart by hand: opcode and payload of each.
    """
    found = []
    while data:
        opcode, size, start = data[0] & 0x0F, data[1] & 0x7F, 2
        if size == 126:
            [size], start = struct.unpack_from("!H", data, 2), 4
        elif size == 127:
            [size], start = struct.unpack_from("!Q", data, 2), 10
        mask = b""
        if data[1] & 0x80:
            mask, start = data[start : start + 4], start + 4
        payload = data[start : start + size]
        if mask:
            payload = new_masker(mask, size).process(payload)
        found.append((opcode, payload))
        data = data[start + size :]
    return found


class PairTestCase(SynchronousTestCase):
    """
    A test of two channels that are connected to each other.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.server_factory = RecorderFactory()
        self.client_factory = RecorderFactory()

    def connect(self, path: str | None = "/link") -> None:
        """
        Connect a client's channel and a server's.
        """
        server = LinkServerFactory(self.server_factory, self.clock, 10, path)
        client = LinkClientFactory(self.client_factory, self.clock, 10, URL)
        address = StringTransport().getPeer()
        self.server_channel = server.buildProtocol(address)
        self.client_channel = client.buildProtocol(address)
        self.wire = Wire(self.server_channel, self.client_channel)

    def open(self) -> tuple[Recorder, Recorder]:
        """
        The same, with the handshake done.

        @return: the protocols of the server and of the client.
        """
        self.connect()
        self.wire.pump()
        [server], [client] = self.server_factory.built, self.client_factory.built
        return server, client


class OpeningTests(PairTestCase):
    def test_open(self) -> None:
        server, client = self.open()
        self.assertEqual((1, 1), (server.made, client.made))
        self.assertIs(client, self.successResultOf(self.client_channel.ready))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_request(self) -> None:
        self.connect()
        request = self.wire.ends[1].value()
        self.assertTrue(request.startswith(b"GET /link HTTP/1.1\r\n"))
        self.assertIn(b"\r\nHost: example.com:80\r\n", request)
        self.assertIn(b"\r\nSec-WebSocket-Protocol: reitunnel.1\r\n", request)
        self.assertNotIn(b"Extensions", request)
        self.assertNotIn(b"Origin", request)

    def test_ipv6(self) -> None:
        url = LinkURL.parse("ws://[::1]:8080")
        client = LinkClientFactory(self.client_factory, self.clock, 10, url)
        channel = client.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        self.assertIn(b"\r\nHost: [::1]:8080\r\n", transport.value())

    def test_byte_by_byte(self) -> None:
        self.connect()
        self.wire.pump(step=1)
        self.assertEqual(1, self.client_factory.built[0].made)

    def test_data_that_comes_with_the_answer(self) -> None:
        class Eager(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.write(b"hello")

        self.server_factory = RecorderFactory(Eager)
        _, client = self.open()
        self.assertEqual(b"hello", client.received)

    def test_nobody_speaks_first(self) -> None:
        self.connect()
        self.clock.advance(9.9)
        self.assertFalse(self.wire.ends[1].disconnected)
        with capturedLogs() as events:
            self.clock.advance(0.2)
        self.assertTrue(self.wire.ends[0].disconnected)
        self.assertTrue(self.wire.ends[1].disconnected)
        failure = self.failureResultOf(self.client_channel.ready, TransportError)
        self.assertIn("no WebSocket handshake within 10 s", str(failure.value))
        [event] = events
        self.assertEqual(LogLevel.info, event["log_level"])

    def test_lost(self) -> None:
        self.connect()
        self.wire.lose(ConnectionLost())
        failure = self.failureResultOf(self.client_channel.ready, TransportError)
        self.assertIn("closed before the link was ready", str(failure.value))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_cancelled(self) -> None:
        self.connect()
        self.client_channel.ready.cancel()
        self.failureResultOf(self.client_channel.ready, CancelledError)
        self.wire.pump()
        self.assertEqual([], self.server_factory.built)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_factories_are_started_and_stopped(self) -> None:
        for factory in (
            LinkServerFactory(self.server_factory, self.clock, 10, None),
            LinkClientFactory(self.server_factory, self.clock, 10, URL),
        ):
            factory.doStart()
            self.assertEqual(1, self.server_factory.started)
            factory.doStop()
            self.assertEqual(0, self.server_factory.started)


class RequestTests(SynchronousTestCase):
    """
    What a server makes of requests.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = RecorderFactory()
        self.transport = StringTransport()

    def channel(
        self, factory: IProtocolFactory | None = None, path: str | None = "/link"
    ) -> LinkServerChannel:
        server = LinkServerFactory(factory or self.factory, self.clock, 10, path)
        channel = server.buildProtocol(self.transport.getPeer())
        channel.makeConnection(self.transport)
        return channel

    def ask(self, request: bytes, path: str | None = "/link") -> bytes:
        """
        Send a request.

        @return: the status line.
        """
        with capturedLogs() as events:
            self.channel(path=path).dataReceived(request)
        self.messages = [str(formatEvent(event)) for event in events]
        answer: bytes = self.transport.value()
        return answer.split(b"\r\n")[0]

    def assert_refused(self, status: bytes, request: bytes, reason: str) -> None:
        self.transport = StringTransport()
        self.assertEqual(b"HTTP/1.1 " + status, self.ask(request))
        self.assertIn(b"\r\nConnection: close\r\n", self.transport.value())
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual([], self.factory.built)
        [message] = self.messages
        self.assertIn(reason, message)

    def test_accepted(self) -> None:
        self.assertEqual(b"HTTP/1.1 101 Switching Protocols", self.ask(REQUEST))
        answer = self.transport.value()
        # The example of RFC 6455, section 1.3.
        self.assertIn(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answer)
        self.assertIn(b"Sec-WebSocket-Protocol: reitunnel.1\r\n", answer)
        self.assertNotIn(b"Server:", answer)
        self.assertEqual([], self.messages)
        self.assertEqual(1, len(self.factory.built))

    def test_compression_is_not_negotiated(self) -> None:
        offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        self.ask(REQUEST[:-2] + offer)
        self.assertNotIn(b"Extensions", self.transport.value())

    def test_other_path(self) -> None:
        request = REQUEST.replace(b"/link", b"/other")
        self.assert_refused(b"404 Not Found", request, "no such path")

    def test_other_path_without_upgrade(self) -> None:
        request = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
        self.assert_refused(b"404 Not Found", request, "no such path")

    def test_query_is_no_other_path(self) -> None:
        request = REQUEST.replace(b"/link", b"/link?a=b")
        self.assertEqual(b"HTTP/1.1 101 Switching Protocols", self.ask(request))

    def test_path_that_was_looked_at_before(self) -> None:
        request = REQUEST.replace(b"/link", b"/other")
        self.assertEqual(
            b"HTTP/1.1 101 Switching Protocols", self.ask(request, path=None)
        )

    def test_no_upgrade(self) -> None:
        request = b"GET /link HTTP/1.1\r\nHost: example.com\r\n\r\n"
        self.assert_refused(b"426 Upgrade Required", request, "Upgrade")
        self.assertIn(b"\r\nUpgrade: websocket\r\n", self.transport.value())

    def test_other_method(self) -> None:
        self.assert_refused(
            b"405 Method Not Allowed", REQUEST.replace(b"GET", b"POST"), "POST"
        )

    def test_other_subprotocol(self) -> None:
        request = REQUEST.replace(b"reitunnel.1", b"chat")
        self.assert_refused(b"400 Bad Request", request, "reitunnel.1")

    def test_old_version(self) -> None:
        request = REQUEST.replace(b"Version: 13", b"Version: 8")
        self.assert_refused(b"400 Bad Request", request, "version 8")
        self.assertIn(b"Sec-WebSocket-Version: 13", self.transport.value())

    def test_browser(self) -> None:
        for origin in (b"https://evil.example", b"null"):
            request = REQUEST[:-2] + b"Origin: " + origin + b"\r\n\r\n"
            self.transport = StringTransport()
            self.assertIn(self.ask(request)[9:12], (b"403", b"400"))
            self.assertEqual([], self.factory.built)

    def test_nothing_is_echoed(self) -> None:
        request = REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"<script>")
        self.assert_refused(b"400 Bad Request", request, "Sec-WebSocket-Key")
        self.assertNotIn(b"script", self.transport.value())

    def test_endless_head(self) -> None:
        channel = self.channel()
        channel.dataReceived(b"GET /link HTTP/1.1\r\n")
        channel.dataReceived(b"X: " + b"x" * MAX_HEAD)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(b"", self.transport.value())

    def test_head_that_is_too_long(self) -> None:
        channel = self.channel()
        filler = b"X: " + b"x" * MAX_HEAD + b"\r\n\r\n"
        channel.dataReceived(REQUEST[:-2] + filler)
        self.assertTrue(self.transport.disconnected)

    def test_anything_but_http(self) -> None:
        for junk in (
            b"\x16\x03\x01\r\n\r\n",
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"\xff\r\n\r\n",
        ):
            self.transport = StringTransport()
            self.ask(junk)
            self.assertTrue(self.transport.disconnecting)
            self.assertEqual(1, len(self.messages))

    @given(st.binary(max_size=200))
    def test_whatever_comes(self, junk: bytes) -> None:
        for request in (junk + b"\r\n\r\n", REQUEST[:-2] + junk + b"\r\n\r\n"):
            self.transport = StringTransport()
            self.ask(request)

    def test_refused_client_that_does_not_go_away(self) -> None:
        channel = self.channel()
        channel.dataReceived(REQUEST.replace(b"GET", b"PUT"))
        channel.dataReceived(REQUEST)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(10)
        self.assertTrue(self.transport.disconnected)
        channel.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual([], self.factory.built)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_unwanted(self) -> None:
        self.channel(NothingFactory()).dataReceived(REQUEST)
        self.assertTrue(self.transport.disconnected)

    def test_broken_factory(self) -> None:
        self.channel(BrokenFactory()).dataReceived(REQUEST)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_failure_of_the_protocol_is_not_hidden(self) -> None:
        class Failing(Recorder):
            def connectionMade(self) -> None:
                raise ZeroDivisionError("on purpose")

        channel = self.channel(RecorderFactory(Failing))
        self.assertRaises(ZeroDivisionError, channel.dataReceived, REQUEST)


class AnswerTests(SynchronousTestCase):
    """
    What a client makes of answers.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = RecorderFactory()

    def channel(self) -> LinkClientChannel:
        self.transport = StringTransport()
        client = LinkClientFactory(self.factory, self.clock, 10, URL)
        channel = client.buildProtocol(self.transport.getPeer())
        channel.makeConnection(self.transport)
        return channel

    def assert_refused(self, answer: bytes, reason: str, *, permanent: bool) -> None:
        channel = self.channel()
        channel.dataReceived(answer)
        error = self.failureResultOf(channel.ready, TransportError).value
        self.assertIn(reason, str(error))
        self.assertEqual(permanent, error.permanent)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual([], self.factory.built)
        self.assertEqual([], self.clock.getDelayedCalls())
        channel.connectionLost(Failure(ConnectionAborted()))

    def test_statuses(self) -> None:
        for status, permanent in (
            (b"200 OK", True),
            (b"302 Found", True),
            (b"400 Bad Request", True),
            (b"403 Forbidden", True),
            (b"404 Not Found", True),
            (b"408 Request Timeout", False),
            (b"429 Too Many Requests", False),
            (b"500 Internal Server Error", False),
            (b"502 Bad Gateway", False),
            (b"503 Service Unavailable", False),
        ):
            self.assert_refused(
                b"HTTP/1.1 " + status + b"\r\n\r\n",
                f"answers HTTP {int(status[:3])} ({status[4:].decode()})",
                permanent=permanent,
            )

    def test_unknown_status(self) -> None:
        self.assert_refused(
            b"HTTP/1.1 599 \r\n\r\n", "answers HTTP 599 instead", permanent=False
        )

    def test_wrong_accept(self) -> None:
        self.assert_refused(
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Accept: wrong\r\n\r\n",
            "the server's WebSocket handshake is wrong",
            permanent=True,
        )

    def test_anything_but_http(self) -> None:
        self.assert_refused(
            b"220 mail.example ESMTP\r\n\r\n", "speak HTTP", permanent=True
        )
        self.assert_refused(b"\xff\xfe\r\n\r\n", "speak HTTP", permanent=False)

    def test_endless_head(self) -> None:
        self.assert_refused(
            b"HTTP/1.1 101 X\r\n" + b"x" * MAX_HEAD, "too long", permanent=False
        )

    @given(st.binary(max_size=200))
    def test_whatever_comes(self, junk: bytes) -> None:
        for answer in (junk, b"HTTP/1.1 101 X\r\n" + junk):
            channel = self.channel()
            channel.dataReceived(answer + b"\r\n\r\n")
            self.failureResultOf(channel.ready, TransportError)

    def test_no_subprotocol(self) -> None:
        channel = self.channel()
        [key] = re.findall(rb"Sec-WebSocket-Key: (\S+)", self.transport.value())
        magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = b64encode(sha1(key + magic).digest())
        channel.dataReceived(
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        error = self.failureResultOf(channel.ready, TransportError).value
        self.assertIn("does not speak reitunnel.1", str(error))
        self.assertTrue(error.permanent)


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
        self.assertEqual([b"ab", b"cd"], self.protocol.pieces)
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
        self.channel.dataReceived(frame(b"ab") + frame(b"cd") + frame(b"ef"))
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
        self.assertRaises(
            ZeroDivisionError, self.channel.dataReceived, frame(b"ab") + frame(b"cd")
        )
        self.lose(ConnectionLost())
        self.assertEqual([b"ab"], failing.pieces)


class ProducerTests(PeerTestCase):
    def test_told(self) -> None:
        producer = Pushing()
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
        client.transport.registerProducer(Pushing(), True)
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

    def test_anything_else(self) -> None:
        error = self.lose(ValueError("odd"))
        self.assertIsInstance(error, ConnectionLost)
        self.assertIn("odd", str(error))
