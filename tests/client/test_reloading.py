"""
A client that changes to another configuration while it runs.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel import Client, ConfigError, Secret
from reitunnel.client.attempts import ChangingEndpoint
from reitunnel.config import HookSettings, TunnelSettings
from tests.pair import (
    CLIENT,
    LINK_PORT,
    PUBLIC_PORT,
    TARGET_PORT,
    Pair,
    client_config,
    server_config,
)

[TUNNEL] = CLIENT.tunnels
OTHER = TunnelSettings(port=PUBLIC_PORT + 1, target=f"127.0.0.1:{TARGET_PORT}")
ELSEWHERE = TunnelSettings(port=PUBLIC_PORT, target="127.0.0.1:8081")


class ReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.pair.start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))

    def reload(self, **changes: Any) -> tuple[str, ...]:
        kept = self.pair.client.reload(client_config(**changes))
        self.pair.reactor.settle()
        return kept

    def test_tunnels(self) -> None:
        """
        New ones are opened, and those that are gone are closed; the others keep
        their streams.
        """
        visitor, target = self.pair.open_stream()
        self.assertEqual((), self.reload(tunnels=(OTHER, TUNNEL)))
        self.assertEqual({PUBLIC_PORT, PUBLIC_PORT + 1}, set(self.pair.public_ports))
        visitor.say(b"hello")
        self.pair.reactor.settle()
        self.assertEqual(b"hello", target.received)
        self.reload(tunnels=(OTHER,))
        self.assertEqual([PUBLIC_PORT + 1], self.pair.public_ports)
        self.assertIsNotNone(visitor.lost)

    def test_same_port_another_target(self) -> None:
        visitor, _ = self.pair.open_stream()
        self.reload(tunnels=(ELSEWHERE,))
        self.assertIsNotNone(visitor.lost)
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)
        [tunnel] = self.pair.client.tunnels
        self.assertEqual("127.0.0.1:8081", tunnel.target)

    def test_the_same_tunnel_twice(self) -> None:
        """
        Each is one of its own.
        """
        some = TunnelSettings(port=0, target=f"127.0.0.1:{TARGET_PORT}")
        self.reload(tunnels=(some, some))
        self.assertEqual(2, len(self.pair.public_ports))
        self.reload(tunnels=(some,))
        self.assertEqual(1, len(self.pair.public_ports))

    def test_tunnels_opened_in_code(self) -> None:
        """
        They are nothing to the configuration.
        """
        tunnel = self.pair.open_tunnel(f"127.0.0.1:{TARGET_PORT}", 9000)
        self.reload(tunnels=())
        self.assertEqual([9000], self.pair.public_ports)
        self.assertFalse(tunnel.closed)

    def test_tunnel_that_was_refused(self) -> None:
        """
        It is asked for again.
        """
        low = TunnelSettings(port=80, target="127.0.0.1:1")
        self.reload(tunnels=(TUNNEL, low))
        self.assertEqual(2, len(self.pair.client.wanted))
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)
        self.pair.told_client.take()
        self.reload(tunnels=(TUNNEL, low))
        [opened, closed] = self.pair.told_client.take()
        self.assertTrue(opened.startswith("tunnel+ "), opened)
        self.assertIn("port 80 is not allowed", closed)

    def test_mistakes(self) -> None:
        """
        A configuration that is wrong changes nothing.
        """
        for changes in (
            {"server": "tcp://192.0.2.1:1"},
            {"token": Secret("junk")},
            {"hooks": (HookSettings(name="nosuch"),)},
        ):
            with self.assertRaises(ConfigError):
                self.pair.client.reload(client_config(tunnels=(OTHER,), **changes))
            self.pair.reactor.settle()
            self.assertEqual(CLIENT.tunnels, self.pair.client.config.tunnels)
            self.assertEqual([PUBLIC_PORT], self.pair.public_ports)

    def test_all_mistakes(self) -> None:
        """
        They are named at once, as a start names them.
        """
        wrong: dict[str, Any] = {
            "server": "nosuch://a:1",
            "token": Secret("junk"),
            "hooks": (HookSettings(name="nosuch"),),
        }
        error = self.assertRaises(
            ConfigError, self.pair.client.reload, client_config(**wrong)
        )
        self.assertEqual(
            ["server", "token", "hooks[0].name"],
            [mistake.path for mistake in error.mistakes],
        )
        started = self.assertRaises(
            ConfigError, Client, self.pair.reactor, client_config(**wrong)
        )
        self.assertEqual(set(error.mistakes), set(started.mistakes))

    def test_next_session(self) -> None:
        """
        What a session has taken over is named.
        """
        kept = self.reload(carrier="mux", pool_size=3)
        self.assertEqual({"carrier", "pool_size"}, {"carrier", *kept})

    def test_another_id(self) -> None:
        """
        The client connects again; without one it keeps the one it has.
        """
        self.reload(client_id="desk")
        self.pair.reactor.advance(5)
        self.assertEqual("desk", self.pair.session.instance)
        self.reload(client_id=None)
        self.pair.reactor.advance(5)
        self.assertEqual("desk", self.pair.session.instance)
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)

    def test_another_server(self) -> None:
        """
        The session ends, and the client goes there.
        """
        other = f"tcp://127.0.0.1:{LINK_PORT + 1}"
        both = (*self.pair.server.config.listen, other)
        self.pair.server.reload(server_config(listen=both))
        self.pair.reactor.settle()
        visitor, _ = self.pair.open_stream()
        before = self.pair.session.id
        self.reload(server=other)
        self.pair.reactor.advance(5)
        self.assertIsNotNone(visitor.lost)
        self.assertNotEqual(before, self.pair.session.id)
        port = getattr(self.pair.session.facts.host, "port", 0)
        self.assertEqual(LINK_PORT + 1, port)
        self.assertIn(PUBLIC_PORT, self.pair.public_ports)

    def test_draining(self) -> None:
        """
        A client that stops only takes note.
        """
        self.pair.open_stream()
        stopping = self.pair.client.stopService()
        self.pair.reactor.settle()
        self.assertEqual((), self.reload(tunnels=(TUNNEL, OTHER)))
        self.assertNoResult(stopping)
        self.assertEqual([], self.pair.public_ports)


class NotConnectedTests(SynchronousTestCase):
    def test_tries_at_once(self) -> None:
        """
        A client that waits for its next attempt waits no longer.
        """
        pair = Pair(client=client_config(server=f"tcp://127.0.0.1:{LINK_PORT + 1}"))
        pair.start()
        pair.reactor.advance(20)
        self.assertIsNone(pair.client.session)
        pair.client.reload(client_config())
        pair.reactor.settle()
        self.assertIsNotNone(pair.client.session)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        self.assertEqual([], pair.stop())

    def test_before_the_start(self) -> None:
        pair = Pair()
        self.assertEqual((), pair.client.reload(client_config(tunnels=(OTHER,))))
        pair.start()
        self.assertEqual([PUBLIC_PORT + 1], pair.public_ports)
        self.assertEqual([], pair.stop())


class TriedTests(SynchronousTestCase):
    def test_let_in(self) -> None:
        pair = Pair()
        tried = pair.client.when_tried()
        self.assertNoResult(tried)
        pair.start()
        self.successResultOf(tried)
        self.successResultOf(pair.client.when_tried())
        expected = f"connected to {CLIENT.server}: 1 tunnels, 0 streams"
        self.assertEqual(expected, pair.client.status)
        self.assertEqual("1 clients, 1 tunnels, 0 streams", pair.server.status)
        self.assertEqual([], pair.stop())

    def test_not_connected(self) -> None:
        pair = Pair()
        tried = pair.client.when_tried()
        pair.start_client()
        pair.reactor.advance(1)
        self.successResultOf(tried)
        self.assertIn("not connected to tcp://127.0.0.1:7000: ", pair.client.status)
        self.assertEqual([], pair.stop())


class EndpointTests(SynchronousTestCase):
    def test_interface(self) -> None:
        endpoint = ChangingEndpoint(TCP4ClientEndpoint(MemoryReactorClock(), "h", 1))
        verifyObject(IStreamClientEndpoint, endpoint)
