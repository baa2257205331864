"""
Descriptors that run out: when nothing is accepted, and when it is again.
"""

from __future__ import annotations

import os
import resource
from contextlib import closing
from socket import socket

from twisted.internet.interfaces import (
    IAddress,
    IFileDescriptor,
    IListeningPort,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.server.descriptors import (
    Descriptors,
    most_descriptors,
    open_descriptors,
)
from tests.memory import MemoryReactor


@implementer(IListeningPort, IPushProducer)
class FakePort:
    """
    A port that knows whether it is read.
    """

    reading = True

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def stopProducing(self) -> None:
        raise AssertionError("nobody may stop it")

    def startListening(self) -> None:
        pass

    def stopListening(self) -> None:
        pass

    def getHost(self) -> IAddress:
        raise AssertionError("nobody asks")


@implementer(IFileDescriptor)
class FakeConnection(StringTransport):
    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def fileno(self) -> int:
        return self._number

    def logPrefix(self) -> str:
        return "-"

    def connectionLost(self, reason: Failure) -> None:
        pass


class DescriptorsTests(SynchronousTestCase):
    """
    There may be 1000, of which 62 are kept, and 31 of them for other things than links.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.used = 1000
        self.descriptors = Descriptors(self.clock, lambda: 1000, lambda: self.used)
        self.ports = [FakePort(), FakePort()]
        for port in self.ports:
            self.descriptors.watch(port)
        self.link_port = FakePort()
        self.descriptors.watch(self.link_port, links=True)
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))
        self.addCleanup(self.descriptors.stop)

    def accept(self, number: int) -> None:
        connection: ITransport = FakeConnection(number)
        self.descriptors.accepted(connection)

    @property
    def reading(self) -> list[bool]:
        return [port.reading for port in self.ports]

    def test_edge(self) -> None:
        self.accept(937)
        self.assertEqual([True, True], self.reading)
        with capturedLogs() as logs:
            self.accept(938)
        self.assertEqual([False, False], self.reading)
        self.assertEqual(
            [(LogLevel.warn, 1000)], [(e["log_level"], e["most"]) for e in logs]
        )

    def test_links(self) -> None:
        """
        Links come in when visitors do not, until hardly any descriptors are left.
        """
        with capturedLogs() as logs:
            self.accept(938)
            self.accept(968)
            self.assertTrue(self.link_port.reading)
            self.accept(969)
            self.accept(970)
        self.assertEqual([False, False], self.reading)
        self.assertFalse(self.link_port.reading)
        self.assertEqual(2, len(logs))
        self.used = 955
        self.clock.advance(0.5)
        self.assertFalse(self.link_port.reading)
        self.used = 954
        self.clock.advance(0.5)
        self.assertTrue(self.link_port.reading)
        self.assertEqual([False, False], self.reading)
        self.accept(980)
        self.assertFalse(self.link_port.reading)
        self.used = 900
        self.clock.advance(0.5)
        self.assertTrue(self.link_port.reading)
        self.assertEqual([True, True], self.reading)

    def test_link_port_that_is_closed_meanwhile(self) -> None:
        self.accept(990)
        self.descriptors.forget(self.link_port)
        self.used = 0
        self.clock.advance(0.5)
        self.assertFalse(self.link_port.reading)

    def test_goes_on(self) -> None:
        """
        When half as many again as are kept are free.
        """
        self.accept(950)
        self.clock.advance(0.5)
        self.assertEqual([False, False], self.reading)
        self.used = 908
        self.clock.advance(0.5)
        self.assertEqual([False, False], self.reading)
        self.used = 907
        self.clock.advance(0.5)
        self.assertEqual([True, True], self.reading)

    def test_says_so_once(self) -> None:
        """
        However often it happens, until all was well for a minute.
        """
        self.used = 900
        with capturedLogs() as logs:
            for _ in range(100):
                self.accept(960)
                self.accept(961)
                self.clock.advance(0.5)
                self.assertEqual([True, True], self.reading)
            self.assertEqual(1, len(logs))
            self.clock.advance(59)
            self.assertEqual(1, len(logs))
            self.clock.advance(1)
            self.assertEqual(LogLevel.info, logs[-1]["log_level"])
            self.accept(960)
        self.assertEqual(3, len(logs))

    def test_port_that_comes_meanwhile(self) -> None:
        self.accept(990)
        late = FakePort()
        self.descriptors.watch(late)
        self.assertFalse(late.reading)
        self.used = 0
        self.clock.advance(0.5)
        self.assertTrue(late.reading)

    def test_port_that_is_closed_meanwhile(self) -> None:
        self.accept(990)
        self.descriptors.forget(self.ports[0])
        self.descriptors.forget(self.ports[0])
        self.used = 0
        self.clock.advance(0.5)
        self.assertEqual([False, True], self.reading)

    def test_nothing_of_the_kernel(self) -> None:
        """
        Connections and ports in memory have no descriptors.
        """
        reactor = MemoryReactor()
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        self.descriptors.watch(port)
        in_memory: ITransport = StringTransport()
        self.descriptors.accepted(in_memory)
        self.assertEqual([True, True], self.reading)
        self.accept(990)

    def test_few_in_a_turn(self) -> None:
        """
        A port of Twisted's accepts few connections in a turn, which it does not
        interrupt.
        """
        port = FakePort()
        port.numberAccepts = 100  # type: ignore[attr-defined]  # as Twisted's ports have
        self.descriptors.watch(port)
        self.assertEqual(1, port.numberAccepts)  # type: ignore[attr-defined]
        port.numberAccepts = 100  # type: ignore[attr-defined]
        connection = FakeConnection(50)
        connection.server = port  # type: ignore[attr-defined]
        self.descriptors.accepted(connection)
        self.assertEqual(1, port.numberAccepts)  # type: ignore[attr-defined]

    def test_few_to_begin_with(self) -> None:
        """
        At least 40 are kept, and 256 at most.
        """
        for most, edge in ((64, 24), (100_000, 100_000 - 256)):
            descriptors = Descriptors(self.clock, lambda most=most: most, lambda: 0)  # type: ignore[misc]
            port = FakePort()
            descriptors.watch(port)
            below: ITransport = FakeConnection(edge - 1)
            descriptors.accepted(below)
            self.assertTrue(port.reading)
            there: ITransport = FakeConnection(edge)
            descriptors.accepted(there)
            self.assertFalse(port.reading)
            descriptors.stop()

    def test_stop(self) -> None:
        self.accept(990)
        self.descriptors.stop()
        self.descriptors.stop()
        self.assertEqual([], self.clock.getDelayedCalls())


class SystemTests(SynchronousTestCase):
    def test_open(self) -> None:
        before = open_descriptors()
        with closing(socket()):
            self.assertEqual(before + 1, open_descriptors())
        self.assertEqual(before, open_descriptors())

    def test_none_left(self) -> None:
        """
        Then there is none to look with.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            used = open_descriptors()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(lowest, used)

    def test_most(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        expected = 1 << 30 if soft == resource.RLIM_INFINITY else soft
        self.assertEqual(expected, most_descriptors())
