"""
Tests of L{reitunnel.monitoring.MonitoredService}: a server or client together with its
monitor.
"""

from __future__ import annotations

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.config import Monitoring
from reitunnel.errors import TransportError
from reitunnel.monitoring import Monitor, MonitoredService
from tests.memory import MemoryReactor, Peers
from tests.monitoring.asking import LISTEN, MONITOR_PORT
from tests.pair import Pair


class Watching(Service):
    """
    A service that notes whether its monitor is there.

    @ivar seen: what it was told, and whether the port was open then.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        self._reactor = reactor
        self.seen: list[tuple[str, bool]] = []
        self.stopped: Deferred[None] = Deferred()

    @property
    def open(self) -> bool:
        """
        Whether the monitor listens.
        """
        ports = [getattr(port.address, "port", 0) for port in self._reactor.ports]
        return MONITOR_PORT in ports

    def privilegedStartService(self) -> None:
        """
        Note it.
        """
        self.seen.append(("privileged", self.open))

    def startService(self) -> None:
        """
        Note it.
        """
        self.seen.append(("start", self.open))

    def stopService(self) -> Deferred[None]:
        """
        Note it, and take time.
        """
        self.seen.append(("stop", self.open))
        return self.stopped


class MonitoredServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.reactor = self.pair.reactor
        self.service = Watching(self.reactor)
        self.monitored = self.make(LISTEN)
        verifyObject(IService, self.monitored)

    def make(self, settings: Monitoring) -> MonitoredService:
        monitor = Monitor(self.reactor, self.pair.server, settings)
        return MonitoredService(self.service, monitor)

    def test_order(self) -> None:
        """
        The monitor is there before the service begins, and until it has stopped.
        """
        self.monitored.privilegedStartService()
        self.monitored.startService()
        stopping = self.monitored.stopService()
        self.reactor.settle()
        self.assertNoResult(stopping)
        self.assertTrue(self.service.open)
        self.service.stopped.callback(None)
        self.reactor.settle()
        self.successResultOf(stopping)
        self.assertFalse(self.service.open)
        self.assertEqual(
            [("privileged", True), ("start", True), ("stop", True)], self.service.seen
        )
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_started_again(self) -> None:
        for _ in range(2):
            self.monitored.startService()
            self.assertTrue(self.service.open)
            stopping = self.monitored.stopService()
            if not self.service.stopped.called:
                self.service.stopped.callback(None)
            self.reactor.settle()
            self.successResultOf(stopping)
            self.assertFalse(self.service.open)

    def test_service_that_fails_to_stop(self) -> None:
        """
        The monitor stops all the same.
        """
        self.monitored.startService()
        self.service.stopped = fail(ValueError("stuck"))
        stopping = self.monitored.stopService()
        self.reactor.settle()
        self.failureResultOf(stopping, ValueError)
        self.assertFalse(self.service.open)

    def test_trouble_of_the_service(self) -> None:
        self.monitored.privilegedStartService()
        others: Deferred[object] = Deferred()
        trouble = self.monitored.when_trouble(others)
        self.assertNoResult(trouble)
        others.errback(TransportError("the link is gone"))
        self.failureResultOf(trouble, TransportError)
        self.service.stopped.callback(None)
        self.monitored.stopService()

    def test_no_trouble(self) -> None:
        self.monitored.privilegedStartService()
        others: Deferred[object] = Deferred()
        trouble = self.monitored.when_trouble(others)
        others.callback("up")
        self.assertEqual("up", self.successResultOf(trouble))

    def test_trouble_of_the_monitor(self) -> None:
        """
        When the monitor cannot listen that is told, once, whatever comes of the
        service.
        """
        self.reactor.listenTCP(MONITOR_PORT, Peers(), interface="127.0.0.1")
        self.monitored.privilegedStartService()
        others: Deferred[object] = Deferred()
        trouble = self.monitored.when_trouble(others)
        failure = self.failureResultOf(trouble, TransportError)
        self.assertIn("cannot listen for monitoring", str(failure.value))
        others.errback(TransportError("more"))
        self.assertEqual([], self.flushLoggedErrors())
