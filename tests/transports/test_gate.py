"""
Tests of L{reitunnel.transports.gate}.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocolFactory,
    ITransport,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import TransportError
from reitunnel.transports import TCPOptions
from reitunnel.transports.contexts import new_context
from reitunnel.transports.gate import (
    Gate,
    GateFactory,
    GateRules,
    ServerGateFactory,
)
from tests.transports.support import (
    Admission,
    BrokenFactory,
    NothingFactory,
    RecorderFactory,
)

RULES = GateRules(tcp=TCPOptions(), timeout=10)


class TLSTransport(StringTransport):
    """
    A transport that pretends to speak TLS.
    """

    def __init__(self) -> None:
        super().__init__()
        self.connection = SSL.Connection(new_context(SSL.TLS_CLIENT_METHOD, "1.3"))

    def getHandle(self) -> SSL.Connection:
        return self.connection


class GateTestCase(SynchronousTestCase):
    """
    A test of a gate.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = RecorderFactory()

    def gate(
        self,
        transport: StringTransport,
        factory: IProtocolFactory | None = None,
        **rules: Any,
    ) -> Gate:
        """
        Make a gate and connect it.
        """
        gate = Gate(factory or self.factory, replace(RULES, **rules), self.clock)
        gate.makeConnection(transport)
        return gate


class WithoutTLSTests(GateTestCase):
    def test_open_at_once(self) -> None:
        transport = StringTransport()
        gate = self.gate(transport)
        [protocol] = self.factory.built
        self.assertIs(protocol, self.successResultOf(gate.ready))
        self.assertEqual(1, protocol.made)
        self.assertIs(transport, protocol.transport)
        self.assertEqual([transport.getPeer()], self.factory.addresses)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_data_and_end(self) -> None:
        gate = self.gate(StringTransport())
        gate.dataReceived(b"ab")
        gate.dataReceived(b"c")
        [protocol] = self.factory.built
        self.assertEqual([b"ab", b"c"], protocol.pieces)
        reason = Failure(ConnectionDone())
        gate.connectionLost(reason)
        self.assertEqual([reason], protocol.lost)

    def test_unwanted(self) -> None:
        transport = StringTransport()
        gate = self.gate(transport, NothingFactory())
        self.failureResultOf(gate.ready, TransportError)
        self.assertTrue(transport.disconnected)

    def test_broken_factory(self) -> None:
        transport = StringTransport()
        gate = self.gate(transport, BrokenFactory())
        self.failureResultOf(gate.ready, ZeroDivisionError)
        self.assertTrue(transport.disconnected)
        gate.connectionLost(Failure(ConnectionLost()))


class TLSTests(GateTestCase):
    def test_interface(self) -> None:
        verifyObject(IHandshakeListener, self.gate(StringTransport()))

    def test_open_after_the_handshake(self) -> None:
        gate = self.gate(TLSTransport())
        self.assertNoResult(gate.ready)
        self.assertEqual([], self.factory.built)
        gate.handshakeCompleted()
        [protocol] = self.factory.built
        self.assertIs(protocol, self.successResultOf(gate.ready))
        self.assertEqual([], self.clock.getDelayedCalls())
        gate.handshakeCompleted()
        self.assertEqual(1, protocol.made)

    def test_handshake_that_is_over(self) -> None:
        gate = self.gate(TLSTransport(), shaken=True)
        self.successResultOf(gate.ready)

    def test_refused(self) -> None:
        def check(transport: ITransport) -> None:
            raise TransportError("no good")

        transport = TLSTransport()
        gate = self.gate(transport, check=check)
        gate.handshakeCompleted()
        self.failureResultOf(gate.ready, TransportError)
        self.assertTrue(transport.disconnected)
        self.assertEqual([], self.factory.built)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_late(self) -> None:
        transport = TLSTransport()
        gate = self.gate(transport)
        self.clock.advance(9.9)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(transport.disconnected)
        failure = self.failureResultOf(gate.ready, TransportError)
        self.assertEqual("no TLS handshake within 10 s", str(failure.value))
        gate.handshakeCompleted()
        self.assertEqual([], self.factory.built)

    def test_lost(self) -> None:
        gate = self.gate(TLSTransport())
        gate.connectionLost(Failure(ConnectionLost()))
        failure = self.failureResultOf(gate.ready, TransportError)
        self.assertIn("closed before the link was ready", str(failure.value))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_lost_with_an_explanation(self) -> None:
        error = TransportError("because")
        gate = self.gate(TLSTransport(), explain=lambda reason: error)
        gate.connectionLost(Failure(ConnectionLost()))
        self.assertIs(error, self.failureResultOf(gate.ready).value)

    def test_cancelled(self) -> None:
        transport = TLSTransport()
        gate = self.gate(transport)
        gate.ready.cancel()
        self.failureResultOf(gate.ready, CancelledError)
        self.assertTrue(transport.disconnected)
        self.assertEqual([], self.clock.getDelayedCalls())
        gate.connectionLost(Failure(ConnectionLost()))

    def test_end_without_openssl(self) -> None:
        gate = self.gate(TLSTransport())
        gate.handshakeCompleted()
        gate.connectionLost(Failure(SSL.Error([("", "", "alert unknown ca")])))
        [protocol] = self.factory.built
        protocol.lost[0].trap(ConnectionLost)
        self.assertIn("does not trust the certificate", str(protocol.lost[0].value))

    def test_hooks(self) -> None:
        seen: list[tuple[str, ITransport]] = []
        transport = TLSTransport()
        gate = self.gate(
            transport,
            first_data=lambda t: seen.append(("data", t)),
            closed=lambda t: seen.append(("closed", t)),
        )
        gate.handshakeCompleted()
        gate.dataReceived(b"a")
        gate.dataReceived(b"b")
        self.assertEqual([("data", transport)], seen)
        gate.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([("data", transport), ("closed", transport)], seen)


class AdmissionTests(GateTestCase):
    def test_admitted(self) -> None:
        admission = Admission()
        transport = StringTransport()
        gate = self.gate(transport, admission=admission)
        self.successResultOf(gate.ready)
        self.assertEqual([transport], admission.asked)
        self.assertEqual([], admission.left)
        gate.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([transport], admission.left)

    def test_admitted_but_never_ready(self) -> None:
        admission = Admission()
        transport = TLSTransport()
        gate = self.gate(transport, admission=admission)
        gate.ready.addErrback(lambda _: None)
        self.assertEqual([transport], admission.asked)
        gate.connectionLost(Failure(ConnectionLost()))
        self.assertEqual([transport], admission.left)

    def test_not_admitted(self) -> None:
        for transport in (StringTransport(), TLSTransport()):
            admission = Admission(False)
            gate = self.gate(transport, admission=admission)
            self.failureResultOf(gate.ready, TransportError)
            self.assertTrue(transport.disconnected)
            gate.connectionLost(Failure(ConnectionLost()))
            self.assertEqual([], admission.left)
        self.assertEqual([], self.factory.built)
        self.assertEqual([], self.clock.getDelayedCalls())


class FactoryTests(GateTestCase):
    def test_interface(self) -> None:
        verifyObject(IProtocolFactory, GateFactory(self.factory, RULES, self.clock))

    def test_start_and_stop(self) -> None:
        gates = GateFactory(self.factory, RULES, self.clock)
        gates.doStart()
        self.assertEqual(1, self.factory.started)
        gates.doStop()
        self.assertEqual(0, self.factory.started)

    def server_gate(self, factory: IProtocolFactory | None = None) -> Gate:
        gates = ServerGateFactory(factory or self.factory, RULES, self.clock)
        return gates.buildProtocol(StringTransport().getPeer())

    def test_refusal_is_logged(self) -> None:
        gate = self.server_gate()
        gate.makeConnection(TLSTransport())
        with capturedLogs() as events:
            self.clock.advance(10)
            gate.connectionLost(Failure(ConnectionLost()))
        [event] = events
        self.assertEqual(LogLevel.info, event["log_level"])
        message = str(formatEvent(event))
        self.assertIn("192.168.1.1", message)
        self.assertIn("no TLS handshake within 10 s", message)

    def test_lack_of_admission_is_hardly_worth_a_word(self) -> None:
        rules = replace(RULES, admission=Admission(False))
        gates = ServerGateFactory(self.factory, rules, self.clock)
        gate = gates.buildProtocol(StringTransport().getPeer())
        with capturedLogs() as events:
            gate.makeConnection(StringTransport())
        self.assertEqual([LogLevel.debug], [event["log_level"] for event in events])

    def test_success_is_not_logged(self) -> None:
        gate = self.server_gate()
        with capturedLogs() as events:
            gate.makeConnection(StringTransport())
            gate.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], events)

    def test_broken_factory_is_logged(self) -> None:
        self.server_gate(BrokenFactory()).makeConnection(StringTransport())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
