"""
Tests of L{reitunnel.transports.failures}.
"""

from __future__ import annotations

import errno
import socket

from OpenSSL.SSL import Error, SysCallError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
    UnknownHostError,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import TransportError
from reitunnel.transports.failures import (
    connect_problem,
    handshake_problem,
    system_reason,
    tls_problem,
    within,
    without_openssl,
)


def openssl(reason: str) -> Error:
    """
    An error such as OpenSSL makes.
    """
    return Error([("SSL routines", "", "an earlier one"), ("SSL routines", "", reason)])


class TLSTests(SynchronousTestCase):
    def assert_says(self, reason: str, meaning: str, *, permanent: bool = True) -> None:
        problem = tls_problem(openssl(reason))
        self.assertEqual(meaning, str(problem))
        self.assertEqual(permanent, problem.permanent)

    def test_known(self) -> None:
        self.assert_says("wrong version number", "the peer does not speak TLS")
        self.assert_says("http request", "the peer does not speak TLS")
        self.assert_says(
            "tlsv1 alert protocol version",
            "the peer does not speak this version of TLS",
        )
        self.assert_says(
            "tlsv13 alert certificate required", "the peer wants a certificate"
        )

    def test_unknown(self) -> None:
        self.assert_says("bad moon", "TLS failed: bad moon", permanent=False)
        self.assert_says("tlsv1 alert bad moon", "TLS failed: tlsv1 alert bad moon")
        self.assert_says(
            "tlsv1 alert internal error",
            "TLS failed: tlsv1 alert internal error",
            permanent=False,
        )

    def test_without_a_reason(self) -> None:
        for error in (Error(), Error([]), SysCallError(-1, "Unexpected EOF")):
            problem = tls_problem(error)
            self.assertEqual("the TLS connection broke off", str(problem))
            self.assertFalse(problem.permanent)


class HandshakeTests(SynchronousTestCase):
    def test_ours(self) -> None:
        error = TransportError("x", permanent=True)
        self.assertIs(error, handshake_problem(Failure(error)))

    def test_openssl(self) -> None:
        problem = handshake_problem(Failure(openssl("http request")))
        self.assertEqual("the peer does not speak TLS", str(problem))

    def test_lost(self) -> None:
        problem = handshake_problem(Failure(ConnectionLost()))
        self.assertEqual(
            "the connection was closed before the link was ready", str(problem)
        )
        self.assertFalse(problem.permanent)


class WithoutOpenSSLTests(SynchronousTestCase):
    def test_usual(self) -> None:
        for error in (ConnectionDone(), ConnectionLost(), ConnectionAborted()):
            reason = Failure(error)
            self.assertIs(reason, without_openssl(reason))

    def test_openssl(self) -> None:
        reason = without_openssl(Failure(openssl("alert certificate required")))
        reason.trap(ConnectionLost)
        self.assertIn("the peer wants a certificate", str(reason.value))

    def test_meaning_is_kept(self) -> None:
        """
        What OpenSSL said is known to whoever asks why there is no link. In TLS 1.3
        a client has its handshake behind it when it hears that the server does not
        accept its certificate.
        """
        reason = without_openssl(Failure(openssl("alert certificate required")))
        problem = handshake_problem(reason)
        self.assertEqual("the peer wants a certificate", str(problem))
        self.assertTrue(problem.permanent)

    def test_anything_else(self) -> None:
        reason = without_openssl(Failure(ValueError("odd")))
        reason.trap(ConnectionLost)
        self.assertIn("odd", str(reason.value))


class ConnectTests(SynchronousTestCase):
    def assert_says(
        self, error: Exception, meaning: str, *, permanent: bool = False
    ) -> None:
        problem = connect_problem(error, "h")
        self.assertEqual(meaning, str(problem))
        self.assertEqual(permanent, problem.permanent)

    def test_names(self) -> None:
        meaning = "the name 'h' cannot be resolved"
        self.assert_says(DNSLookupError("x"), meaning, permanent=True)
        self.assert_says(UnknownHostError(string="x"), meaning, permanent=True)

    def test_refused(self) -> None:
        self.assert_says(ConnectionRefusedError(), "the connection was refused")

    def test_time(self) -> None:
        self.assert_says(TimeoutError(), "no answer in time")

    def test_others(self) -> None:
        self.assert_says(
            ConnectBindError(errno.EADDRNOTAVAIL, "x"),
            "cannot connect: Cannot assign requested address",
        )


class SystemReasonTests(SynchronousTestCase):
    def test_reasons(self) -> None:
        for error, reason in (
            (ConnectError(errno.ENETUNREACH, "x"), "Network is unreachable"),
            (ConnectError(OSError(errno.EACCES, "No way"), "x"), "No way"),
            (OSError(errno.EADDRINUSE, "Taken"), "Taken"),
            (
                socket.gaierror(-2, "Name or service not known"),
                "Name or service not known",
            ),
            (ValueError("odd."), "odd"),
            (ValueError(), "ValueError"),
        ):
            self.assertEqual(reason, system_reason(error))


class WithinTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cancelled = 0

        def cancel(_: Deferred[int]) -> None:
            self.cancelled += 1

        self.waiting: Deferred[int] = Deferred(cancel)
        self.result = within(
            self.clock, 10, self.waiting, lambda: TransportError("late")
        )

    def test_in_time(self) -> None:
        self.waiting.callback(7)
        self.assertEqual(7, self.successResultOf(self.result))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_failed(self) -> None:
        self.waiting.errback(ValueError())
        self.failureResultOf(self.result, ValueError)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_late(self) -> None:
        self.clock.advance(9.9)
        self.assertNoResult(self.result)
        self.clock.advance(0.2)
        self.failureResultOf(self.result, TransportError)
        self.assertEqual(1, self.cancelled)

    def test_cancelled(self) -> None:
        self.result.cancel()
        self.failureResultOf(self.result, CancelledError)
        self.assertEqual(1, self.cancelled)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_whatever_comes_of_it_then(self) -> None:
        def cancel(deferred: Deferred[int]) -> None:
            deferred.errback(DNSLookupError())

        waiting: Deferred[int] = Deferred(cancel)
        result = within(self.clock, 10, waiting, ValueError)
        result.cancel()
        self.failureResultOf(result, CancelledError)
