"""
Tests of how WebSocket channels open: L{reitunnel.transports.websocket_server} and
L{reitunnel.transports.websocket_client}.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import TransportError
from reitunnel.transports import LinkURL
from reitunnel.transports.websocket_channel import MAX_HEAD
from reitunnel.transports.websocket_client import LinkClientChannel, LinkClientFactory
from reitunnel.transports.websocket_server import LinkServerChannel, LinkServerFactory
from tests.captured import captured_logs
from tests.transports.support import (
    BrokenFactory,
    NothingFactory,
    Recorder,
    RecorderFactory,
)
from tests.transports.websocket_support import REQUEST, URL, PairTestCase


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

    def test_address_with_a_zone(self) -> None:
        url = LinkURL.parse("ws://[fe80::1%eth0]:8080")
        client = LinkClientFactory(self.client_factory, self.clock, 10, url)
        channel = client.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        self.assertIn(b"\r\nHost: [fe80::1]:8080\r\n", transport.value())

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
        with captured_logs() as events:
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
        with captured_logs() as events:
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
