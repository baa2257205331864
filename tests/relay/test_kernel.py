"""
Tests of L{reitunnel.relay.kernel}: a visitor's socket and a data link are real sockets,
the control link is in memory.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from socket import socket

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.relay import DataLink, Link, SocketEnd, join
from reitunnel.relay.direct import DirectPath, Receiving
from reitunnel.wire.frames import FrameReader
from tests.relay.level import LevelReactor, Peer, descriptors, pattern, unix_pair
from tests.relay.programs import HalfCloseable, nothing
from tests.relay.rig import NoFrames, Rig
from tests.relay.splicing import CountedPipes

LOTS = 1 << 20
"""More than a connection reads at once and the kernel holds."""


class KernelTests(SynchronousTestCase):
    """
    At the server, where the visitor's socket is; the target is a program.
    """

    def setUp(self) -> None:
        gc.collect()
        self.before = descriptors()
        self.reactor = LevelReactor()
        self.pipes = CountedPipes()
        self.rig = Rig(clock=self.reactor)
        self.rig.server.mux.pipes = self.pipes
        self.ends: list[tuple[Code, str]] = []
        self.stream, target = self.rig.open_stream()
        self.stream.on_over = lambda code, reason: self.ends.append((code, reason))
        own, far = unix_pair()
        self.visitor = Peer(far)
        end = SocketEnd(lambda _: None, lambda: None)
        self.connect(own, end)
        join(end, self.stream)
        self.target = HalfCloseable()
        self.target.on_finished = target.loseConnection
        target.connect(self.target)
        self.links: list[Connection] = []
        self.data_links = self.make_data_links()
        self.settle()

    def connect(self, own: socket, protocol: Protocol) -> Connection:
        """
        Connect a protocol to a socket.
        """
        transport = Connection(own, protocol, self.reactor)
        transport.connected = 1
        protocol.makeConnection(transport)
        transport.startReading()
        return transport

    def make_data_links(self) -> list[DataLink]:
        """
        Make the two ends of a data link, which is idle: the server's first.
        """
        made = []
        for own, peer_gives in zip(unix_pair(), (False, True), strict=True):
            link = Link(FrameReader(), NoFrames(), self.reactor)
            self.links.append(self.connect(own, link))
            made.append(
                DataLink(
                    1,
                    link,
                    self.reactor,
                    heartbeat_interval=10,
                    heartbeat_timeout=30,
                    peer_gives=peer_gives,
                    on_lost=lambda _: None,
                )
            )
            made[-1].start()
        self.rig.idle[1] = made[1]
        return made

    @property
    def path(self) -> DirectPath:
        """
        The stream's, at the server.
        """
        assert self.stream.path is not None
        return self.stream.path

    def settle(self) -> None:
        """
        Let everything happen, on the control link and elsewhere.
        """
        for _ in range(3):
            self.rig.settle()
            self.reactor.settle()

    def until(self, condition: Callable[[], object]) -> None:
        """
        Let things happen until something is so.
        """

        def turned() -> bool:
            self.rig.settle()
            return bool(condition())

        self.reactor.until(turned)

    def switch_at_once(self, answer: int) -> None:
        """
        Have the target answer and end, and the server hear of it on the control link,
        where it hears of the switch, in one turn of the reactor: the bytes of the data
        link have begun already.
        """
        self.stream.attach(self.data_links[0])
        for side in self.rig.sides:
            side.mux.changed()
        self.rig.server.transport.stalled = True
        self.settle()
        self.target.transport.write(pattern(0, answer))
        self.target.transport.loseWriteConnection()
        self.until(lambda: self.path.receiving is Receiving.BEGUN)
        self.settle()
        self.rig.server.transport.stalled = False
        while self.path.total is None:
            moved = [each.turn() for each in self.rig.ends]
            self.assertTrue(any(moved))

    def check_answered(self, answer: int) -> None:
        """
        The visitor gets all of the answer, and the end.
        """
        self.until(lambda: self.visitor.receive() * 0 or self.visitor.at_end)
        self.assertEqual(pattern(0, answer), self.visitor.got)
        self.assertEqual(answer, self.path.received)

    def check_over(self) -> None:
        """
        The visitor ends too, and then nothing is left.
        """
        self.visitor.shut()
        self.until(lambda: self.ends)
        self.assertEqual([(Code.NONE, "")], self.ends)
        self.settle()

    def tearDown(self) -> None:
        self.rig.close()
        self.settle()
        self.visitor.socket.close()
        for link in self.links:
            link.abortConnection()
        self.settle()
        self.pipes.clear()
        self.assertEqual(set(), self.pipes.used)
        self.assertEqual([], self.reactor.getReaders() + self.reactor.getWriters())
        self.assertEqual(self.before, descriptors())

    def test_end_while_handed_over(self) -> None:
        """
        The end is announced while the direction is taken from Twisted, and most of
        the bytes are still in the kernel.
        """
        self.switch_at_once(LOTS)
        self.assertLess(self.path.received, LOTS)
        self.check_answered(LOTS)
        self.check_over()

    def test_all_has_come_while_handed_over(self) -> None:
        """
        The same, but Twisted has read all already: there is nothing to move.
        """
        self.switch_at_once(100)
        self.assertIs(Receiving.ENDED, self.path.receiving)
        self.check_answered(100)
        self.check_over()

    def test_no_descriptors_after_an_end(self) -> None:
        """
        The visitor has ended before the switch: while the answer is on its way, and
        nothing is in between, both ends have the descriptors that they had.
        """
        self.target.on_finished = nothing
        self.visitor.shut()
        self.settle()
        had = descriptors()
        self.stream.attach(self.data_links[0])
        for side in self.rig.sides:
            side.mux.changed()
        self.settle()
        self.assertIs(Receiving.LINK, self.path.receiving)
        self.assertEqual(had, descriptors())
        self.target.transport.write(pattern(0, LOTS))
        self.until(lambda: self.visitor.receive() * 0 or len(self.visitor.got) == LOTS)
        self.settle()
        self.pipes.clear()
        self.assertEqual(had, descriptors())
        self.target.transport.loseConnection()
        self.check_answered(LOTS)
        self.until(lambda: self.ends)
        self.assertEqual([(Code.NONE, "")], self.ends)
