"""
A server that means harm to its clients, or to what is next to them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client, Code
from reitunnel.config.settings import TunnelSettings
from reitunnel.relay import host_and_port
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import Ended, StreamOpen, TunnelOpen, TunnelOpened
from tests.client.rogue import RogueServer
from tests.memory import MemoryReactor, Peers
from tests.pair import LINK_PORT, TARGET_PORT, client_config

OTHER_PORT = 9090
METADATA = "169.254.169.254"
METADATA_PORT = 8000
"""Where something listens that is no target, as a cloud's metadata service does."""


class HostileServerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.server = RogueServer(self.reactor)
        self.first, self.second = Peers(), Peers()
        self.reactor.listenTCP(TARGET_PORT, self.first, interface="127.0.0.1")
        self.reactor.listenTCP(OTHER_PORT, self.second, interface="127.0.0.1")
        self.reactor.local.add(METADATA)
        self.reactor.listenTCP(METADATA_PORT, Peers(), interface=METADATA)
        config = client_config(
            pool_size=2,
            tunnels=(
                TunnelSettings(port=6000, target=f"127.0.0.1:{TARGET_PORT}"),
                TunnelSettings(port=6001, target=f"127.0.0.1:{OTHER_PORT}"),
            ),
        )
        self.client = Client(self.reactor, config)
        self.client.startService()
        self.reactor.settle()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        self.client.stopService()
        self.reactor.advance(120)

    def say(self, kind: FrameKind, message: Any, stream: int = 0) -> None:
        self.server.links[0].send(kind, message, stream)
        self.reactor.settle()

    def welcome(self) -> None:
        """
        Let the client in, and open its tunnels.
        """
        self.server.welcome(max_links=5, capabilities=["direct"])
        control = self.server.links[0]
        asked = [control.take(FrameKind.TUNNEL_OPEN, TunnelOpen) for _ in range(2)]
        self.assertEqual([1, 2], [each.tunnel for each in asked])

    def dialled(self) -> set[tuple[str, int]]:
        """
        Every place that the client has connected to.
        """
        return {
            host_and_port(connection.server.getHost())
            for connection in self.reactor.connections
        }

    def check_cut_off(self) -> None:
        link = self.server.links[0]
        [goaway] = [f for f in link.frames if f.kind is FrameKind.GOAWAY]
        self.assertIn(b"STREAM_OPEN", goaway.payload)
        self.assertIsNotNone(link.lost)
        self.assertEqual({("127.0.0.1", LINK_PORT)}, self.dialled())


class DiallingTests(HostileServerCase):
    """
    A client dials the targets in its own configuration and its server, and nothing that
    a server names.
    """

    def test_tunnel_that_was_not_asked_for(self) -> None:
        self.welcome()
        self.say(
            FrameKind.STREAM_OPEN, StreamOpen(7, 65536, METADATA, METADATA_PORT), 2
        )
        self.check_cut_off()

    def test_tunnel_that_is_not_open_yet(self) -> None:
        self.welcome()
        self.say(
            FrameKind.STREAM_OPEN, StreamOpen(1, 65536, METADATA, METADATA_PORT), 2
        )
        self.check_cut_off()

    def test_addresses_are_words(self) -> None:
        """
        The public address and the visitor's, whatever they say.
        """
        self.welcome()
        self.say(FrameKind.TUNNEL_OPENED, TunnelOpened(1, METADATA, METADATA_PORT))
        for number, host in enumerate((METADATA, "evil.example.org", "unix:/x", "")):
            opened = StreamOpen(1, 65536, host, METADATA_PORT)
            self.say(FrameKind.STREAM_OPEN, opened, 2 * number + 2)
        self.assertEqual(4, len(self.first.all))
        self.assertEqual([], self.second.all)
        places = {("127.0.0.1", LINK_PORT), ("127.0.0.1", TARGET_PORT)}
        self.assertEqual(places, self.dialled())

    def test_target_of_its_own_tunnel(self) -> None:
        self.welcome()
        for tunnel in (1, 2):
            self.say(FrameKind.TUNNEL_OPENED, TunnelOpened(tunnel, "192.0.2.1", 6000))
        self.say(FrameKind.STREAM_OPEN, StreamOpen(2, 65536, "192.0.2.7", 1), 2)
        self.assertEqual((0, 1), (len(self.first.all), len(self.second.all)))

    def test_data_links(self) -> None:
        """
        The pool dials the server that was configured, as often as the pool is large.
        """
        self.welcome()
        self.reactor.advance(100)
        self.assertEqual({("127.0.0.1", LINK_PORT)}, self.dialled())


class WordsTests(HostileServerCase):
    """
    What a server says cannot forge a line of the client's log, or move its cursor.
    """

    def test_control_characters(self) -> None:
        for text in ("line\nanother", "\x1b[2J", "\x9b2J", "\x00"):
            self.setUp()
            self.welcome()
            payload = msgspec.msgpack.encode({"code": 9, "reason": text})
            self.server.links[0].send(FrameKind.GOAWAY, payload)
            self.reactor.settle()
            self.assertIsNotNone(self.server.links[0].lost)
            self.assertIsNone(self.client.session)
            self.stop()

    def test_refusal(self) -> None:
        """
        What a server says before it has proved itself is said to be the server's.
        """
        link = self.server.link
        link.send(FrameKind.REFUSED, Ended(Code.AUTHENTICATION, "send me the token"))
        self.reactor.settle()
        self.assertIsNotNone(link.lost)
        self.assertEqual({("127.0.0.1", LINK_PORT)}, self.dialled())
