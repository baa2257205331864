"""
What a server does when there is no more: it refuses with a code, and others do not
notice.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.config.settings import ClientLimits, Limits, TunnelSettings
from reitunnel.testing.ports import cannot_listen
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import TunnelEnded, TunnelOpened, known_code
from tests.memory import MemoryReactor, Peer
from tests.pair import LINK_PORT, TARGET_PORT, Pair, client_config, server_config
from tests.server.raw import raw_client

_TARGET = f"127.0.0.1:{TARGET_PORT}"
MEBIBYTE = 1 << 20
MOST_BUFFERED = MEBIBYTE + 40 * (16384 + 2 * 65536 + 2 * 65536)
"""
What was promised to a session, and at least to each of its 40 streams; what waits for
that, a chunk and a read; and what is on its way to each sink, a transport's worth and a
socket's.
"""


class ScarceReactor(MemoryReactor):
    """
    Of a machine that has no more sockets, or has.

    @ivar number: why there are none; 0 if there are.
    """

    number = 0

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen, or not.
        """
        if self.number:
            raise cannot_listen(interface, port, self.number)
        return super().listenTCP(port, factory, backlog, interface)


class ScarcityTests(SynchronousTestCase):
    def test_no_socket_for_a_public_port(self) -> None:
        """
        The tunnel is refused as over a limit, because there may be one later, and
        then it is opened.
        """
        reactor = ScarceReactor()
        pair = Pair(reactor=reactor).start_server()
        client = raw_client(reactor)
        client.log_in()
        client.ask(1, 6001)
        client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        for tunnel, number in enumerate(
            (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM), 2
        ):
            reactor.number = number
            for port in (6002, 0):
                client.ask(tunnel * 10 + bool(port), port)
                refused = client.take(FrameKind.TUNNEL_REFUSED, TunnelEnded)
                self.assertEqual(Code.LIMIT, known_code(refused.code))
        reactor.number = 0
        client.ask(99, 6002)
        client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        self.assertEqual([6001, 6002], pair.public_ports)
        self.assertEqual([], pair.stop())


class VisitorLimitTests(SynchronousTestCase):
    """
    Each limit of visitors at its edge and over it.
    """

    def check(self, limits: Limits) -> None:
        """
        Three have room: the fourth is reset, the three do not notice, and when one
        leaves there is room for one.
        """
        pair = Pair(server=server_config(limits=limits)).start()
        streams = [pair.open_stream() for _ in range(3)]
        for _ in range(3):
            self.assertTrue(pair.visit().reset)
        self.assertEqual(3, len(pair.targets.all))
        for visitor, target in streams:
            visitor.say(b"up")
            target.say(b"down")
            pair.reactor.settle()
            self.assertEqual((b"down", b"up"), (visitor.received, target.received))
        streams[1][0].hang_up()
        pair.reactor.settle()
        self.assertIs(None, pair.visit().lost)
        self.assertTrue(pair.visit().reset)
        self.assertEqual([], pair.stop())

    def test_of_the_server(self) -> None:
        self.check(Limits(max_conns=3))

    def test_of_the_client(self) -> None:
        self.check(Limits(max_streams_per_client=3))

    def test_of_the_tunnel(self) -> None:
        self.check(Limits(max_streams_per_tunnel=3))


class BufferLimitTests(SynchronousTestCase):
    """
    What is buffered for a session has a bound, and those who send wait; the streams of
    another session go on.
    """

    def setUp(self) -> None:
        self.pair = Pair(
            server=server_config(limits=Limits(max_session_bytes=MEBIBYTE)),
            client=client_config(
                limits=ClientLimits(max_session_bytes=MEBIBYTE), carrier="mux"
            ),
        ).start()
        other = client_config(
            client_id="other", tunnels=(TunnelSettings(port=6001, target=_TARGET),)
        )
        self.pair.start_another(other)
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.visitors = [self.pair.visit() for _ in range(40)]
        self.targets = self.pair.targets.all[:40]

    def fill(self, sources: list[Peer], sinks: list[Peer]) -> None:
        """
        Let each source send much, and no sink read.
        """
        for sink in sinks:
            sink.transport.pauseProducing()
        for _ in range(64):
            for source in sources:
                source.say(bytes(MEBIBYTE // 64))
            self.pair.reactor.settle()

    def check_others(self) -> None:
        """
        See that a stream of the other session goes on, both ways.
        """
        unharmed = self.pair.visit(6001)
        unharmed.say(b"up")
        self.pair.targets.newest.say(b"down")
        self.pair.reactor.settle()
        self.assertEqual(b"up", self.pair.targets.newest.received)
        self.assertEqual(b"down", unharmed.received)

    def check_all_comes(self, sinks: list[Peer]) -> None:
        for sink in sinks:
            sink.transport.resumeProducing()
        self.pair.reactor.settle()
        self.assertEqual({MEBIBYTE}, {len(sink.received) for sink in sinks})

    def test_targets_that_do_not_read(self) -> None:
        self.fill(self.visitors, self.targets)
        tunnel = next(it for it in self.pair.server.tunnels if it.port == 6000)
        self.assertLess(tunnel.bytes_received, MOST_BUFFERED)
        self.check_others()
        self.check_all_comes(self.targets)

    def test_visitors_that_do_not_read(self) -> None:
        self.fill(self.targets, self.visitors)
        [tunnel] = self.pair.client.tunnels
        self.assertLess(tunnel.bytes_sent, MOST_BUFFERED)
        self.check_others()
        self.check_all_comes(self.visitors)


class SlowHandshakeTests(SynchronousTestCase):
    """
    A client that says its words a byte a second.
    """

    def test_byte_a_second(self) -> None:
        """
        It has as long as everybody, and who comes meanwhile is let in.
        """
        pair = Pair().start_server()
        slow = raw_client(pair.reactor)
        words = b"\x01" + bytes(9)
        for count in range(10):
            self.assertIs(None, slow.lost, count)
            slow.write(words[count : count + 1])
            pair.reactor.advance(0.99)
        raw_client(pair.reactor).log_in("quick")
        self.assertEqual("quick", pair.session.instance)
        pair.reactor.advance(1)
        self.assertIsNot(None, slow.lost)
        self.assertEqual(
            1,
            sum(
                connection.server.connected
                for connection in pair.reactor.connections
                if getattr(connection.server.getHost(), "port", 0) == LINK_PORT
            ),
        )
        self.assertEqual([], pair.stop())
