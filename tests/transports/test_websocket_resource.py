"""
Tests of L{reitunnel.transports.websocket_resource}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from twisted.web.static import Data
from zope.interface.verify import verifyObject

from reitunnel.transports import (
    ServerTransportSettings,
    WebSocketLinkResource,
    link_facts,
)
from tests.producers import Producer
from tests.transports.support import Admission, RecorderFactory
from tests.transports.websocket_support import REQUEST, frame, frames


class ResourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = RecorderFactory()
        self.admission = Admission()
        self.resource = WebSocketLinkResource(
            self.factory, ServerTransportSettings(admission=self.admission)
        )
        root = Resource()
        root.putChild(b"link", self.resource)
        root.putChild(b"page", Data(b"a page", "text/plain"))
        self.site = Site(root, reactor=self.clock)
        self.transport = StringTransport()
        self.http = self.site.buildProtocol(self.transport.getPeer())
        assert self.http is not None
        self.http.makeConnection(self.transport)

    def ask(self, request: bytes) -> bytes:
        """
        Send a request.

        @return: what comes back.
        """
        assert self.http is not None
        self.http.dataReceived(request)
        answer: bytes = self.transport.value()
        self.transport.clear()
        return answer

    def test_interface(self) -> None:
        verifyObject(IResource, self.resource)

    def test_link(self) -> None:
        answer = self.ask(REQUEST)
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "), answer)
        self.assertIn(b"Sec-WebSocket-Protocol: reitunnel.1\r\n", answer)
        [protocol] = self.factory.built
        self.assertEqual(1, protocol.made)
        self.assertEqual([self.transport.getPeer()], self.factory.addresses)
        self.assertEqual("ws", link_facts(protocol.transport).scheme)
        self.assertEqual(b"", self.ask(frame(b"hello")))
        self.assertEqual(b"hello", protocol.received)
        protocol.transport.write(b"hi")
        self.assertEqual([(2, b"hi")], frames(self.transport.value()))

    def test_after_another_request(self) -> None:
        answer = self.ask(b"GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n")
        self.assertIn(b"a page", answer)
        self.assertTrue(self.ask(REQUEST).startswith(b"HTTP/1.1 101 "))

    def test_back_pressure(self) -> None:
        self.ask(REQUEST)
        [protocol] = self.factory.built
        producer = Producer()
        protocol.transport.registerProducer(producer, True)
        lower = self.transport.producer
        assert lower is not None
        lower.pauseProducing()
        lower.resumeProducing()
        self.assertEqual(["pause", "resume"], producer.told)
        protocol.transport.pauseProducing()
        self.assertEqual("paused", self.transport.producerState)

    def test_end(self) -> None:
        self.ask(REQUEST)
        [protocol] = self.factory.built
        assert self.http is not None
        self.http.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(1, len(protocol.lost))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_admission(self) -> None:
        self.ask(REQUEST)
        self.assertEqual([self.transport], self.admission.asked)
        assert self.http is not None
        self.http.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([self.transport], self.admission.left)

    def test_not_admitted(self) -> None:
        self.admission.answer = False
        self.assertEqual(b"", self.ask(REQUEST))
        self.assertTrue(self.transport.disconnected)
        self.assertEqual([], self.factory.built)

    def test_no_upgrade(self) -> None:
        answer = self.ask(b"GET /link HTTP/1.1\r\nHost: example.com\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n"))
        self.assertIn(b"\r\nUpgrade: websocket\r\n", answer)
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual([], self.admission.asked)

    def test_other_method(self) -> None:
        answer = self.ask(REQUEST.replace(b"GET", b"POST"))
        self.assertTrue(answer.startswith(b"HTTP/1.1 426 "))

    def test_bad_handshake(self) -> None:
        answer = self.ask(REQUEST.replace(b"reitunnel.1", b"chat"))
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertTrue(self.transport.disconnecting)

    def test_nothing_below(self) -> None:
        answer = self.ask(REQUEST.replace(b"/link", b"/link/x"))
        # It is a leaf: what is below is the same.
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "))
        self.assertRaises(NotImplementedError, self.resource.putChild, b"x", Resource())
