"""
Public ports that are being closed.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.server.closing import ClosingPorts
from reitunnel.testing import MemoryReactor
from reitunnel.testing.ports import MemoryPort


class ClosingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.closing = ClosingPorts()

    def close(self, number: int, interface: str = "127.0.0.1") -> None:
        port = self.reactor.listenTCP(number, Factory(), interface=interface)
        self.closing.close(port, number)

    def freed(self, number: int) -> Deferred[None]:
        return Deferred.fromCoroutine(self.closing.freed(number))

    def test_nothing(self) -> None:
        self.successResultOf(self.freed(6000))
        self.successResultOf(Deferred.fromCoroutine(self.closing.all_freed()))

    def test_one(self) -> None:
        self.close(6000)
        waiting = self.freed(6000)
        self.successResultOf(self.freed(6001))
        self.assertNoResult(waiting)
        self.reactor.settle()
        self.successResultOf(waiting)
        self.assertEqual([], self.reactor.ports)

    def test_two_of_a_number(self) -> None:
        self.close(6000)
        left: list[int] = []
        self.freed(6000).addCallback(lambda _: left.append(len(self.reactor.ports)))
        self.close(6000, "::1")
        everything = Deferred.fromCoroutine(self.closing.all_freed())
        self.reactor.settle()
        self.assertEqual([0], left)
        self.successResultOf(everything)

    def test_given_up(self) -> None:
        """
        Who waits no longer does not keep the port open, nor others waiting.
        """
        self.close(6000)
        first, second = self.freed(6000), self.freed(6000)
        first.cancel()
        self.failureResultOf(first)
        self.reactor.settle()
        self.successResultOf(second)
        self.assertEqual([], self.reactor.ports)

    def test_closed_already(self) -> None:
        """
        The reactor closes ports when it stops, and such a port has no address.
        """

        class Closed(MemoryPort):
            def getHost(self) -> IAddress:
                raise AttributeError("socket")

        address = IPv4Address("TCP", "127.0.0.1", 6000)
        self.closing.close(Closed(self.reactor, address, Factory()), 6000)
        self.successResultOf(self.freed(6000))

    def test_failure(self) -> None:
        """
        A port that fails to close is logged, and holds nobody up.
        """

        class Broken(MemoryPort):
            def stopListening(self) -> Deferred[None]:
                raise OSError("no")

        address = IPv4Address("TCP", "127.0.0.1", 6000)
        self.closing.close(Broken(self.reactor, address, Factory()), 6000)
        self.successResultOf(self.freed(6000))
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
